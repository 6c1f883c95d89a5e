"""Federated averaging, algorithm 1: a server sends weights to some clients, each trains on, the server averages."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from .. import blas, losses, threads
from ..nn.module import Module
from ..optim import Optimiser
from ..train import evaluate
from . import checkpoint as disk
from . import door
from .aggregate import average, clients_a_round, gather, select
from .client import Answer, Client, Loss, Order, client_update
from .history import History
from .workers import Update, Workers

__all__ = ["FederatedResult", "fedavg"]

Pair = tuple[Any, Any]


class FederatedResult(NamedTuple):
    """weights: {path: array} of the last round, for `model.load_state_dict`. history: what happened, round by round."""

    weights: dict[str, np.ndarray]
    history: History


def fedavg(
    model: Module,
    clients: Sequence[Client],
    *,
    rounds: int,
    C: float,
    E: int | Callable[[int], int],
    B: int | None | Callable[[int], int | None],
    lr: float,
    seed: int,
    executor: Any = None,
    checkpoint: str | os.PathLike | None = None,
    target: float | None = None,
    loss: Loss = losses.cross_entropy,
    test: Pair | None = None,
    decay: float = 1.0,
    server: Callable[[Mapping[str, Any]], Optimiser] | None = None,
    update: Update = client_update,
    combine: Callable[..., dict[str, np.ndarray]] = average,
    extra: float = 0.0,
    deadline: float | None = None,
    reshuffle: bool = False,
    watch: Mapping[str, Callable[[Module], float]] | None = None,
    share: str | os.PathLike | None = None,
    progress: bool = True,
) -> FederatedResult:
    """Train a model on examples that stay with their clients. The model passed in is not changed.

    rounds: how many in all, resumed ones included. C: the fraction of clients asked in a round, 0 for one of them. E:
    passes of a client over its examples in a round. B: its batch size, None for all examples in one batch. Both may be
    functions of the round, which counts from 0, as E=lambda t: 5 if t < 50 else 1. lr: the clients' learning rate;
    decay: what it is multiplied by after each round. seed: of the choice of clients, their batches and their noise.
    loss(output, y): a mean over rows. reshuffle: new batches in each pass of a client.
    test: (x, y), on which each round's model is measured. target: stop once its accuracy is reached. watch: further
    measures, {name: function of the model}, under names that the history has no column for.
    server: makes an optimiser of parameters, for which w_t minus the clients' mean stands for the gradient; by default
    the mean is taken as it is, as SGD with rate 1 would.
    extra: so many times more clients are asked than are needed; the first to answer count. deadline: answers with a
    delay above it, in simulated seconds, do not count. update: what a client does, `client_update` by default.
    combine: makes one model of the answers [(w_k, n_k)], `average` by default; also told w and the round by name.
    An answer that never comes, is damaged or late is left out, with the reason in the history; without any answer the
    model stays as it is, and a warning says so.
    executor: anything with `.map`; share: a folder that its workers see; bits do not depend on where clients work.
    checkpoint: a folder in which the state is kept after each round, and from which a run with the same settings goes
    on; functions count as the same if they have the same name, E and B if they are the same in the rounds that are
    done, which both must know. progress: show a bar.
    Runs with one BLAS thread. Raises ValueError or TypeError for bad arguments, a model that does not take the first
    client's examples, anybody's labels or test, and a checkpoint of other settings; RuntimeError if the executor
    takes no work any more.
    Erratum: fedavg, algorithm 1, line m <- max(C K, 1): printed without rounding; here rounded to the nearest.
    Source: fedavg:alg1, fedavg:lr-decay, fedavg:decay-local-work, fedavg:client-availability
    """
    clients, test = door.checked(model, clients, rounds, C, E, B, lr, seed, decay, target, test, extra, deadline)
    door.check_watch(watch)
    trains = getattr(update, "update", update) is client_update  # Faulty's too; what others do with examples is theirs
    door.check_fit("fedavg", model, loss, clients if trains else [], test)
    K, m = len(clients), clients_a_round(C, len(clients))
    asked = min(K, round(m * (1 + extra)))
    own, w = deepcopy(model), model.state_dict()
    optimiser = None if server is None else server(own.parameters())
    fixed = {} if checkpoint is None else door.settings(
        model, clients, test, C=C, lr=lr, seed=seed, decay=decay, extra=extra, deadline=deadline,
        reshuffle=reshuffle, loss=loss, update=update, combine=combine, server=optimiser, watch=watch,
    )  # fmt: skip

    def settings(done: int) -> dict[str, Any]:
        return fixed | {"E": door.so_far("E", E, done), "B": door.so_far("B", B, done)}

    history, folder = History(), door.folder(checkpoint)
    if folder is not None and (state := disk.read(folder, settings)) is not None:
        w, history = dict(state.weights), state.history
        if optimiser is not None:
            optimiser.load_state_dict(state.memory)
    size = sum(a.nbytes for a in w.values())
    threads.keep_memory()
    with blas.one_thread(), Workers(model, clients, executor, share) as workers, _bar(progress, rounds, history) as bar:
        for t in range(len(history), rounds):
            if _reached(history, target):
                break
            start = perf_counter()
            order = Order(t, *door.in_round(t, E, B), lr * decay**t, seed, loss, reshuffle)
            S_t = select(K, asked, seed, t)
            answers = workers.ask(update, S_t, w, order)
            kept, dropped, mean = gather(answers, clients, w, m, S_t, t, deadline, combine)
            if mean is None:
                door.nobody(t, dropped)
            else:
                w = mean if optimiser is None else _served(own, optimiser, w, mean)
            own.load_state_dict(w)
            history.dropped += dropped
            history.add(_numbers(t, order, S_t, kept.values(), size, perf_counter() - start))
            history.add(measured(own, loss, test, watch))
            if folder is not None:
                memory = {} if optimiser is None else optimiser.state_dict()
                disk.write(folder, disk.State(w, memory, history), settings(t + 1))
            bar(history)
    return FederatedResult(w, history)


def _served(own: Module, optimiser: Optimiser, w: Mapping, mean: Mapping) -> dict[str, np.ndarray]:
    """A step of the server's optimiser from w, with w minus the mean for a gradient; buffers become the mean."""
    parameters = own.parameters()
    own.load_state_dict({path: a if path in parameters else mean[path] for path, a in w.items()})
    for path, p in parameters.items():
        p.grad = w[path] - mean[path]
    optimiser.step()
    optimiser.zero_grad()
    return own.state_dict()


def _numbers(t: int, order: Order, S_t: Any, kept: Collection[Answer], size: int, seconds: float) -> dict[str, float]:
    examples = sum(a.n for a in kept)
    told = [a for a in kept if a.loss is not None]
    return {
        "round": t,
        "lr": order.lr,
        "selected": len(S_t),
        "returned": len(kept),
        "lost": len(S_t) - len(kept),
        "examples": examples,
        "steps": sum(a.steps for a in kept),
        "bytes_down": size * len(S_t),
        "bytes_up": size * len(kept),
        "seconds": seconds,
        "loss": sum(a.loss * a.n for a in told) / sum(a.n for a in told) if told else float("nan"),
    }


def measured(own: Module, loss: Loss, test: Pair | None, watch: Mapping | None = None) -> dict[str, float]:
    """What the round's model is like."""
    found = {}
    if test is not None:
        value, accuracy = evaluate(own, loss, *test)
        found = {"accuracy": float("nan") if accuracy is None else accuracy, "test_loss": value}
    return found | {name: float(function(own)) for name, function in (watch or {}).items()}


def _reached(history: History, target: float | None) -> bool:
    return target is not None and len(history) > 0 and max(history.columns["accuracy"]) >= target


@contextmanager
def _bar(shown: bool, rounds: int, history: History) -> Iterator[Callable[[History], None]]:
    """A function to tell of a round that is done; it moves a bar if one is to be shown."""
    if not shown:
        yield lambda history: None
        return
    from tqdm import tqdm

    with tqdm(total=rounds, initial=len(history), desc="fedavg", unit="round") as bar:

        def done(history: History) -> None:
            bar.update()
            if accuracies := history.columns.get("accuracy"):
                bar.set_postfix(accuracy=f"{accuracies[-1]:.4f}", refresh=False)

        yield done
