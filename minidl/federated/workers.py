"""Where clients work: here one after another, or wherever an executor's `map` brings them.

Anything with `.map(function, items)` is an executor: processes, threads, Dask's, MPI's, Ray's. A round's clients are
dealt out to as many parcels as there are workers, so that the weights travel once a worker. Examples stay out of the
messages: they lie in a folder, and workers map its files into their memory, of which one machine needs one copy.
"""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from .. import blas, threads
from ..nn.module import Module
from .client import Answer, Client, Order

__all__ = ["Workers", "worker_count"]

Update = Callable[[Module, Client, int, Order], Answer]

# What an executor raises if the work never got to a worker. Everything else is taken for the end of one.
UNSENT = (pickle.PicklingError, AttributeError, TypeError, ImportError, FileNotFoundError, PermissionError)


class Stored(NamedTuple):
    """A client in another process: its id, and where its examples lie, `path`-x.npy and `path`-y.npy."""

    id: int | str
    path: str

    @classmethod
    def of(cls, client: Client, path: str) -> Stored:
        """Write a client's examples."""
        for name in "xy":
            np.save(f"{path}-{name}.npy", getattr(client, name), allow_pickle=False)
        return cls(client.id, path)

    def client(self) -> Client:
        """The client with arrays that are read where they are used."""
        x, y = (np.load(f"{self.path}-{name}.npy", mmap_mode="r", allow_pickle=False) for name in "xy")
        return Client(self.id, np.asarray(x), np.asarray(y))


class Parcel(NamedTuple):
    """Work for one worker: the model, which holds the server's weights, and clients of a round by their numbers k."""

    model: Module
    update: Update
    clients: Mapping[int, Client | Stored]
    order: Order


class Workers:
    """The clients of one run and where they work; a context manager, which removes the folder of examples at the end.

    executor: None for one client after another in this thread, or anything with `.map`. share: a folder that all
    workers see, for executors on other machines; by default the system's temporary one.
    Raises TypeError for an executor without `.map`; OSError, on entry, if the examples cannot be written.
    """

    def __init__(self, model: Module, clients: Sequence[Client], executor: Any = None, share: Any = None):
        if hasattr(executor, "get_executor"):
            raise TypeError(
                "fedavg: executor must give answers from its map, got Dask's Client, which gives futures; its executor "
                "is client.get_executor(pure=False)"
            )
        if executor is not None and not callable(getattr(executor, "map", None)):
            raise TypeError(f"fedavg: executor must have a method map or be None, got {type(executor).__name__}")
        self.model, self.executor, self.share = copy.deepcopy(model), executor, share
        self.clients: Sequence[Client | Stored] = clients
        self.sizes, self.folder = [len(client) for client in clients], None
        for p in self.model.parameters().values():
            p.grad = None  # what an earlier training left there would travel along

    def __enter__(self) -> Workers:
        if self.executor is None or isinstance(self.executor, ThreadPoolExecutor):
            return self
        try:
            self.folder = os.path.abspath(tempfile.mkdtemp(prefix="minidl-clients-", dir=self.share))
            self.clients = [Stored.of(c, os.path.join(self.folder, str(k))) for k, c in enumerate(self.clients)]
        except BaseException as error:
            self.__exit__()
            if not isinstance(error, OSError):
                raise
            raise type(error)(
                f"fedavg: share must be a folder with room for all examples, to which they can be written: {error}"
            ) from error
        return self

    def __exit__(self, *_: Any) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def ask(
        self, update: Update, chosen: Sequence[int], w: Mapping[str, np.ndarray], order: Order
    ) -> Iterator[tuple[int, Answer]]:
        """The answers of the chosen clients to the weights w, (k, answer), in the order of their numbers k.

        Without an executor a client begins when its answer is fetched; with one all answers are held until the last.
        A client's own exception becomes an answer with an error. If a worker dies, so do the answers of its clients;
        with some executors that is the end of all workers.
        Raises RuntimeError if the executor takes no work any more, or if work does not get to its workers.
        """
        if self.executor is None:
            yield from ((int(k), self._here(update, int(k), w, order)) for k in chosen)
            return
        self.model.load_state_dict(w)
        parts = dealt([int(k) for k in chosen], self.sizes, worker_count(self.executor))
        parcels = [Parcel(self.model, update, {k: self.clients[k] for k in part}, order) for part in parts]
        answers: list[tuple[int, Answer]] = []
        who = ""
        try:
            results = iter(self.executor.map(work, parcels))
            who = "; a worker ended, at one of the clients whose answers were not back: "
            answers.extend(self._back(results, parcels))
        except UNSENT as error:
            raise RuntimeError(
                f"fedavg: work does not get to the workers of executor ({type(error).__name__}: {error}); they must be "
                "able to import the model's class, loss and update, and see the folder share"
            ) from error
        except Exception as error:
            missing = sorted({int(k) for k in chosen} - {k for k, _ in answers})
            who = who and who + self._named(missing)
            raise RuntimeError(
                f"fedavg: executor takes no work any more ({type(error).__name__}: {error}){who}; start another one "
                f"and, with a checkpoint, the run goes on with round {order.round}"
            ) from error
        yield from sorted(answers, key=itemgetter(0))

    def _named(self, ks: Sequence[int], few: int = 5) -> str:
        names = ", ".join(repr(self.clients[k].id) for k in ks[:few])
        return names if len(ks) <= few else f"{names} and {len(ks) - few} more"

    def _here(self, update: Update, k: int, w: Mapping[str, np.ndarray], order: Order) -> Answer:
        self.model.load_state_dict(w)
        return answer_of(self.model, update, self.clients[k], k, order)

    def _back(self, results: Iterator, parcels: Sequence[Parcel]) -> Iterator[tuple[int, Answer]]:
        """(k, answer) as parcels come back. Raises what ends the executor, or tells that work did not get there."""
        reason = ""
        for parcel in parcels:
            try:
                yield from next(results).items()
            except (*UNSENT, BrokenExecutor):
                raise
            except Exception as error:
                # after the first error many an executor only says that there is nothing more
                reason = reason or f"its worker is gone: {type(error).__name__}: {error}"
                yield from ((k, Answer(None, 0, error=reason)) for k in parcel.clients)


def dealt(chosen: Sequence[int], sizes: Sequence[int], hands: int) -> list[list[int]]:
    """The chosen clients in at most so many parts of about as many examples: the largest first, to who has the fewest.

    sizes: n_k of all clients. No part holds more than an equal share and one client's examples.
    """
    parts: list[list[int]] = [[] for _ in range(min(hands, len(chosen)))]
    held = [0] * len(parts)
    for k in sorted(chosen, key=lambda k: -sizes[k]):
        least = held.index(min(held))
        parts[least].append(k)
        held[least] += sizes[k]
    return parts


def work(parcel: Parcel) -> dict[int, Answer]:
    """What a worker does with a parcel, in one thread."""
    threads.keep_memory()
    model = copy.deepcopy(parcel.model)  # threads share what they are sent
    w, answers = model.state_dict(), {}
    with blas.one_thread(), threads.alone():
        for k, client in parcel.clients.items():
            model.load_state_dict(w)
            own = client.client() if isinstance(client, Stored) else client
            answers[k] = answer_of(model, parcel.update, own, k, parcel.order)
    return answers


def answer_of(model: Module, update: Update, client: Client, k: int, order: Order) -> Answer:
    """The client's answer; an exception as one that says where it happened."""
    try:
        return update(model, client, k, order)
    except Exception as error:
        where = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
        return Answer(None, 0, error=f"round {order.round}{where}: {type(error).__name__}: {error}")


def worker_count(executor: Any) -> int:
    """How many workers an executor says it has; as many as this machine has processors if it does not say.

    One of your own says it in an attribute `num_workers`, as mpi4py's does. Those of `concurrent.futures` and
    `multiprocessing` are known by name, and so is Dask's, which is asked each time.
    """
    if hasattr(client := getattr(executor, "_client", None), "nthreads"):
        return max(1, sum(client.nthreads().values()))
    for name in ("num_workers", "_max_workers", "_processes"):
        if isinstance(count := getattr(executor, name, None), int) and count > 0:
            return count
    return os.cpu_count() or 1
