"""Where clients work: here one after another, or wherever an executor's `map` brings them.

Anything with `.map(function, items)` is an executor: processes, threads, Dask's, MPI's, Ray's. A round's clients are
dealt out to as many parcels as there are workers, so that the weights travel once a worker; examples stay away from the
messages: they lie in a folder, from which each worker reads those of a client when it first meets it.
"""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np

from .. import blas, threads
from ..nn.module import Module
from .client import Answer, Client, Order

__all__ = ["Workers", "worker_count"]

Update = Callable[[Module, Client, int, Order], Answer]
_MET: dict[str, dict[int, Client]] = {}  # {run: {k: client}} of the runs that this process works for


class Parcel(NamedTuple):
    """Work for one worker: some clients of a round, and the model that holds the server's weights."""

    run: str
    folder: str | None
    model: Module
    update: Update
    clients: list[int]
    order: Order


class Workers:
    """The clients of one run and where they work; a context manager, which removes the folder of examples at the end.

    executor: None for one client after another in this thread, or anything with `.map`. share: a folder that all
    workers see, for executors on other machines; by default a temporary one.
    """

    def __init__(self, model: Module, clients: Sequence[Client], executor: Any = None, share: Any = None):
        self.model, self.clients, self.executor = copy.deepcopy(model), clients, executor
        self.run, self.folder = uuid4().hex, None
        self.count = 1 if executor is None else worker_count(executor)
        self.share = share

    def __enter__(self) -> Workers:
        _MET[self.run] = dict(enumerate(self.clients))
        if self.executor is not None and not isinstance(self.executor, ThreadPoolExecutor):
            self.folder = tempfile.mkdtemp(prefix="minidl-clients-", dir=self.share)
            for k, client in enumerate(self.clients):
                for name, array in (("x", client.x), ("y", client.y)):
                    np.save(Path(self.folder) / f"{k}-{name}.npy", array, allow_pickle=False)
        return self

    def __exit__(self, *_: Any) -> None:
        _MET.pop(self.run, None)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def ask(
        self, update: Update, chosen: Sequence[int], w: Mapping[str, np.ndarray], order: Order
    ) -> Iterator[tuple[int, Answer]]:
        """The answers of the chosen clients to the weights w, as (k, answer), in the order of their numbers k.

        A client's own exception becomes an answer with an error. If a worker dies, so do the answers of its clients.
        """
        self.model.load_state_dict(w)
        if self.executor is None:
            for k in chosen:
                self.model.load_state_dict(w)
                yield k, answer_of(self.model, update, self.clients[k], k, order)
            return
        chosen = [int(k) for k in chosen]
        size = -(-len(chosen) // self.count)
        parts = [chosen[i : i + size] for i in range(0, len(chosen), size)]
        parcels = [Parcel(self.run, self.folder, self.model, update, part, order) for part in parts]
        try:
            results = iter(self.executor.map(work, parcels))
        except Exception as error:
            raise RuntimeError(
                f"fedavg: executor takes no work any more ({type(error).__name__}: {error}); start another one and, "
                "with a checkpoint, the run goes on where it was"
            ) from error
        for part in parts:
            try:
                yield from zip(part, next(results))
            except (Exception, StopIteration) as error:  # whatever an executor raises where a worker is gone
                reason = f"its worker is gone: {type(error).__name__}: {error}"
                yield from ((k, Answer(None, 0, error=reason)) for k in part)


def work(parcel: Parcel) -> list[Answer]:
    """What a worker does with a parcel."""
    met = _MET.setdefault(parcel.run, {})
    model = copy.deepcopy(parcel.model)  # threads share what they are sent
    w, answers = model.state_dict(), []
    with blas.one_thread(), threads.alone():
        for k in parcel.clients:
            if k not in met:
                met[k] = _read(parcel.folder, k)
            model.load_state_dict(w)
            answers.append(answer_of(model, parcel.update, met[k], k, parcel.order))
    return answers


def answer_of(model: Module, update: Update, client: Client, k: int, order: Order) -> Answer:
    """The client's answer; an exception as one that says where it happened."""
    try:
        return update(model, client, k, order)
    except Exception as error:
        where = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
        return Answer(None, 0, error=f"round {order.round}{where}: {type(error).__name__}: {error}")


def _read(folder: str | None, k: int) -> Client:
    if folder is None or not os.path.isdir(folder):
        raise FileNotFoundError(
            f"a worker does not see the folder of examples {folder!r}; name one that all of them see: fedavg(share=...)"
        )
    x, y = (np.load(Path(folder) / f"{k}-{name}.npy", allow_pickle=False) for name in "xy")
    return Client(k, x, y)


def worker_count(executor: Any) -> int:
    """How many workers an executor says it has; as many as this machine has processors if it does not say."""
    for name in ("_max_workers", "_processes", "num_workers"):
        if isinstance(count := getattr(executor, name, None), int) and count > 0:
            return count
    return os.cpu_count() or 1
