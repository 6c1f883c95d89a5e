"""What federated averaging is compared with: gradients averaged in place of models, one average at the end, no clients.

They are written separately from the loop, as the text states them, so that each is a test of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np

from .. import blas, losses
from ..nn.module import Module
from ..optim import SGD
from ..randomness import stream
from ..tape import touch
from ..train import evaluate
from . import door
from .aggregate import average, clients_a_round, select
from .averaging import FederatedResult, Pair, measured
from .client import BATCHES, NOISE, Client, Loss, Order, client_update
from .history import History

__all__ = ["along_the_line", "fedsgd", "gradient_of", "one_shot", "sequential_sgd"]


def fedsgd(
    model: Module, clients: Sequence[Client], *, rounds: int, C: float, lr: float, seed: int,
    loss: Loss = losses.cross_entropy, test: Pair | None = None, decay: float = 1.0,
) -> FederatedResult:  # fmt: skip
    """FederatedSGD: each client sends the gradient of its loss, the server takes one step with their mean.

    w <- w - eta sum_k n_k / m_t g_k with g_k the gradient over all examples of client k. It is `fedavg` with E = 1 and
    B = None, up to rounding. Arguments and errors as for `fedavg`; the model is not changed. What goes wrong in a
    client's work ends the run, with a note that names round and client.
    Over the choice of clients the mean of the steps is that of all examples if the n_k are equal; if not, it leans
    towards clients with few examples.
    Erratum: fedavg, footnote 2: printed E[g] = grad f without a condition; right: for clients of one size only.
    Source: fedavg:fedsgd, fedavg:sampling-expectation
    """
    clients, test = door.checked(model, clients, rounds, C, 1, None, lr, seed, decay, None, test)
    door.check_fit("fedsgd", model, loss, clients, test)
    own, history = deepcopy(model), History()
    parameters = own.parameters()
    with blas.one_thread():
        for t in range(rounds):
            S_t = select(len(clients), clients_a_round(C, len(clients)), seed, t)
            m_t = sum(len(clients[k]) for k in S_t)
            mean = {path: np.zeros(p.shape) for path, p in parameters.items()}
            total = 0.0
            for k in S_t:
                with _named(f"fedsgd: round {t}, client {clients[k].id!r}"):
                    value, g = gradient_of(own, clients[k], loss, stream(seed, NOISE, t, k))
                total += value * len(clients[k]) / m_t
                for path in mean:
                    mean[path] += g[path] * np.float64(len(clients[k]) / m_t)
            for path, p in parameters.items():
                p.data -= (lr * decay**t * mean[path]).astype(p.dtype)
            touch(parameters.values())
            history.add({"round": t, "lr": lr * decay**t, "selected": len(S_t), "examples": m_t, "loss": total})
            history.add(measured(own, loss, test))
    return FederatedResult(own.state_dict(), history)


def gradient_of(model: Module, client: Client, loss: Loss, rng: Any) -> tuple[float, dict[str, np.ndarray]]:
    """The loss over all examples of a client, and its gradient {path: array}: what a client of FederatedSGD sends."""
    parameters = model.parameters()
    for p in parameters.values():
        p.grad = None
    value = loss(model(client.x, rng=rng), client.y)
    value.backward()
    found = {path: np.zeros_like(p.data) if p.grad is None else p.grad for path, p in parameters.items()}
    for p in parameters.values():
        p.grad = None
    return value.item(), found


@contextmanager
def _named(whose: str) -> Iterator[None]:
    """What goes wrong inside the block says whose work it was."""
    try:
        yield
    except Exception as error:
        error.add_note(whose)
        raise


def one_shot(
    model: Module, clients: Sequence[Client], *, E: int, B: int | None, lr: float, seed: int,
    loss: Loss = losses.cross_entropy,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Every client trains for E passes from the same weights, and their models are averaged once: {path: array}.

    One end of the family; at the other, `fedsgd` averages after every step. Arguments and errors as for `fedavg`.
    Source: fedavg:one-shot
    """
    clients, _ = door.checked(model, clients, 1, 1.0, E, B, lr, seed, 1.0)
    door.check_fit("one_shot", model, loss, clients)
    w, own, answers = model.state_dict(), deepcopy(model), []
    with blas.one_thread():
        for k, client in enumerate(clients):
            own.load_state_dict(w)
            with _named(f"one_shot: client {client.id!r}"):
                answers.append(client_update(own, client, k, Order(0, *door.in_round(0, E, B), lr, seed, loss)))
    return average([(answer.weights, answer.n) for answer in answers])


def sequential_sgd(
    model: Module, x: Any, y: Any, *, steps: int, B: int, lr: float, seed: int,
    loss: Loss = losses.cross_entropy, test: Pair | None = None, every: int = 1, decay: float = 1.0,
) -> FederatedResult:  # fmt: skip
    """Plain stochastic gradient descent on everybody's examples in one place, a batch of B random ones a step.

    In the federated setting each step would be a round of communication. test: (x, y), measured after every `every`
    steps; decay: of the learning rate, a step. The model is not changed.
    Raises ValueError or TypeError for bad arguments.
    Source: fedavg:sgd-baseline
    """
    x, y, test = door.check_plain(model, loss, x, y, steps, B, lr, seed, every, decay, test)
    own, history = deepcopy(model), History()
    descent = SGD(own.parameters(), lambda step: lr * decay**step)
    with blas.one_thread():
        for step in range(steps):
            rows = stream(seed, BATCHES, step).choice(len(x), B, replace=False)
            descent.zero_grad()
            value = loss(own(x[rows], rng=stream(seed, NOISE, step)), y[rows])
            value.backward()
            rate = descent.rate
            descent.step()
            if (step + 1) % every == 0:
                history.add({"round": step, "lr": rate, "selected": 1, "examples": B, "loss": value.item()})
                history.add(measured(own, loss, test))
    return FederatedResult(own.state_dict(), history)


def along_the_line(
    model: Module, w: Any, v: Any, thetas: Sequence[float], x: Any, y: Any, loss: Loss = losses.cross_entropy
) -> np.ndarray:
    """The loss at theta w + (1 - theta) v for each theta: whether a mean of two models is a model.

    w, v: {path: array}. Returns (len(thetas),).
    Source: fedavg:fig1
    """
    own, found = deepcopy(model), []
    for theta in thetas:
        own.load_state_dict({path: (theta * a + (1 - theta) * v[path]).astype(a.dtype) for path, a in w.items()})
        found.append(evaluate(own, loss, x, y)[0])
    return np.array(found)
