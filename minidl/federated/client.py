"""A client: its examples, and what it does in a round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from .. import losses
from ..nn.module import Module
from ..optim import SGD
from ..randomness import stream

__all__ = ["Answer", "Client", "Order", "batches_of", "client_update", "updates_per_round"]

SELECT, BATCHES, NOISE = 0, 1, 2  # streams of random numbers: default_rng([seed, stream, round, client])
Loss = Callable[[Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Client:
    """Somebody who holds examples and never sends them: x and y, arrays with one row for each example.

    id: an int or a str by which reports and errors name the client; no two clients share one.
    """

    id: int | str
    x: Any
    y: Any

    def __len__(self) -> int:
        return len(self.x)


class Order(NamedTuple):
    """What the server asks of the clients of a round, beside the weights: the E, B and lr of algorithm 1.

    B: None for all examples of a client in one batch. reshuffle: new batches in each epoch; the algorithm splits once.
    """

    round: int
    E: int
    B: int | None
    lr: float
    seed: int
    loss: Loss = losses.cross_entropy
    reshuffle: bool = False


class Answer(NamedTuple):
    """What comes back from a client: its new weights {path: array}, and the number of examples that they rest on.

    steps: how many it took. loss: the mean over them, before each; None if nobody looked. seconds: how long it worked.
    delay: how long after the start of the round the answer comes, in simulated seconds. error: why there are no
    weights.
    """

    weights: Mapping[str, np.ndarray] | None
    n: int
    steps: int = 0
    loss: float | None = None
    seconds: float = 0.0
    delay: float = 0.0
    error: str | None = None


def client_update(model: Module, client: Client, k: int, order: Order) -> Answer:
    """ClientUpdate(k, w) of algorithm 1: E epochs of stochastic gradient descent from the server's weights w.

    model: holds w, and is changed. k: the client's place in the list of clients, which its random numbers depend on.
    The examples are split into batches of B once, before the first epoch.
    Raises what the model raises; FloatingPointError if the loss becomes NaN or infinite.
    Source: fedavg:alg1
    """
    start, descent, total, steps = perf_counter(), SGD(model.parameters(), order.lr), 0.0, 0
    shuffle = stream(order.seed, BATCHES, order.round, k)
    noise = stream(order.seed, NOISE, order.round, k)
    batches = batches_of(len(client), order.B, shuffle)
    model.train()
    try:
        for _ in range(order.E):
            for b in batches:
                descent.zero_grad()
                loss = order.loss(model(client.x[b], rng=noise), client.y[b])
                value = loss.item()
                if not isfinite(value):
                    raise FloatingPointError(f"the loss became {value}; try a smaller learning rate")
                loss.backward()
                descent.step()
                total, steps = total + value, steps + 1
            if order.reshuffle:
                batches = batches_of(len(client), order.B, shuffle)
    except Exception as error:
        error.add_note(f"step {steps}")
        raise
    finally:
        model.eval()
    return Answer(model.state_dict(), len(client), steps, total / steps, perf_counter() - start)


def batches_of(n: int, B: int | None, rng: np.random.Generator) -> list[Any]:
    """n examples in random order as batches of B, the last one smaller; all of them as they are if B is None or n."""
    if B is None or B >= n:
        return [slice(None)]
    rows = rng.permutation(n)
    return [rows[i : i + B] for i in range(0, n, B)]


def updates_per_round(sizes: Any, E: int, B: int | None) -> float:
    """u, the expected number of steps that a client takes in a round: E n / (K B), or E for B = None.

    sizes: n_k, the number of examples of each of the K clients. A single client takes E ceil(n_k / B) steps, which is
    what `steps` counts; the text's u is what one gets without rounding, on average over clients.
    Source: fedavg:updates-per-round
    """
    return float(E if B is None else E * np.mean(sizes) / B)
