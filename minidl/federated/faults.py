"""Clients that misbehave, for experiments: some never answer, some too late, some send what is of no use.

Which of them do what in which round follows from a seed, so that a run with faults repeats itself like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..nn.module import Module
from ..randomness import stream
from .client import Answer, Client, Order, client_update
from .workers import Update

__all__ = ["Faulty"]

KINDS = ("never", "late", "nan", "shape", "count", "crash")
FAULTS = 3  # the stream of random numbers beside those in client.py


@dataclass(frozen=True)
class Faulty:
    """What a client does, except that it misbehaves with these probabilities, which sum to at most 1.

    never: it does not answer. late: its answer comes `delay` seconds after the others, in simulated time. nan: one of
    its weights is NaN. shape: one of its arrays lacks a row. count: it says that it has one example more. crash: an
    exception inside its work. Give it to `fedavg(update=Faulty(never=0.1))`.
    Raises ValueError for probabilities below 0 or a sum above 1.
    Source: fedavg:client-availability
    """

    never: float = 0.0
    late: float = 0.0
    nan: float = 0.0
    shape: float = 0.0
    count: float = 0.0
    crash: float = 0.0
    delay: float = 60.0
    seed: int = 0
    update: Update = client_update

    def __post_init__(self):
        chances = [getattr(self, kind) for kind in KINDS]
        if min(chances) < 0 or sum(chances) > 1:
            raise ValueError(f"Faulty: probabilities must be >= 0 and sum to at most 1, got {chances}")

    def fault(self, round: int, k: int) -> str | None:
        """What client k does wrong in a round, or None."""
        drawn, bounds = stream(self.seed, FAULTS, round, k).random(), np.cumsum([getattr(self, kind) for kind in KINDS])
        return next((kind for kind, bound in zip(KINDS, bounds) if drawn < bound), None)

    def __call__(self, model: Module, client: Client, k: int, order: Order) -> Answer:
        fault = self.fault(order.round, k)
        if fault == "never":
            return Answer(None, 0, error="no answer")
        if fault == "crash":
            raise RuntimeError("the client's machine went down")
        answer = self.update(model, client, k, order)
        if fault == "late":
            return answer._replace(delay=answer.delay + self.delay)
        if fault == "count":
            return answer._replace(n=answer.n + 1)
        if fault in ("nan", "shape"):
            path, a = next(iter(answer.weights.items()))
            damaged = a[1:] if fault == "shape" else np.where(np.arange(a.size).reshape(a.shape) == 0, np.nan, a)
            return answer._replace(weights={**answer.weights, path: damaged.astype(a.dtype)})
        return answer
