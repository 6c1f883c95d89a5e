"""The server's side of a round: who is asked, whose answer counts, and how the answers become one model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from ..nn.module import check_leaves
from ..randomness import stream
from .client import SELECT, Answer, Client
from .history import Dropped

__all__ = ["Gathered", "RunningMean", "average", "clients_a_round", "gather", "refused", "select"]

Weights = Mapping[str, np.ndarray]


def clients_a_round(C: float, K: int) -> int:
    """m = max(round(C K), 1): C = 0 is one client a round, C = 1 all K of them.

    The text prints no rounding. Rounding down would make 28 clients out of C = 0.29 and K = 100, since 0.29 * 100 falls
    just short of 29.
    Source: fedavg:alg1
    """
    return max(round(C * K), 1)


def select(K: int, m: int, seed: int, round: int) -> np.ndarray:
    """S_t: m of K clients at random, each at most once; their numbers in rising order. Source: fedavg:alg1"""
    return np.sort(stream(seed, SELECT, round).choice(K, m, replace=False))


def average(answers: Sequence[tuple[Weights, int]], w: Any = None, round: Any = None) -> dict[str, np.ndarray]:
    """The mean of the clients' weights, by their numbers of examples: sum_k n_k / m_t w_k with m_t = sum_k n_k.

    answers: (w_k, n_k) of those who answered, in the order in which they are summed. Sums run in float64; the result
    has the dtypes of the weights. w, round: every way of combining is told them; here they are not needed. m_t counts
    the clients of this round alone: with n, all examples of all clients, in its place the model would shrink towards 0.
    Source: fedavg:alg1, fedavg:eq1
    """
    mean = RunningMean(sum(n_k for _, n_k in answers))
    for w_k, n_k in answers:
        mean.add(w_k, n_k)
    return mean.value()


class RunningMean:
    """`average`, one model after another: however many there are, it holds a sum, and room for one more.

    Equal models are to average to themselves, though the shares n_k / m_t sum to 1 up to rounding only. A float32 model
    has bits to spare in a float64 sum. Of float64 models the differences to the first are summed, w_1 + sum_k n_k / m_t
    (w_k - w_1).
    expected: m_t, if all of those asked answer. If some do not, the sum is scaled once at the end.
    """

    def __init__(self, expected: int):
        self.expected, self.m_t = expected, 0
        self.base: dict[str, np.ndarray | float] = {}
        self.total: dict[str, np.ndarray] = {}
        self.room: dict[str, np.ndarray] = {}
        self.dtypes: dict[str, np.dtype] = {}

    def add(self, w_k: Weights, n_k: int) -> None:
        """Count a model that rests on n_k examples."""
        for path, a in w_k.items():
            if path not in self.base:
                self.base[path] = np.array(a) if a.dtype == np.float64 else 0.0
                self.dtypes[path] = a.dtype
                self.total[path], self.room[path] = np.zeros(a.shape), np.empty(a.shape)
            part = self.room[path]
            part[...] = a  # in float64, and in place: a model's worth of new memory each time costs more than the sum
            part -= self.base[path]
            part *= n_k / self.expected
            self.total[path] += part
        self.m_t += n_k

    def value(self) -> dict[str, np.ndarray]:
        """The mean of those counted."""
        scale, mean = self.expected / self.m_t, {}  # 1 if nobody is missing
        for path, base in self.base.items():
            step = np.multiply(self.total[path], scale, out=self.room[path])
            step += base
            mean[path] = step.astype(self.dtypes[path])
        return mean


class Gathered(NamedTuple):
    """What came of a round: the answers that count, by the clients' numbers; those that do not; the mean of the former.

    mean: None if no answer counts.
    """

    kept: dict[int, Answer]
    dropped: list[Dropped]
    mean: dict[str, np.ndarray] | None


def gather(
    answers: Iterable[tuple[int, Answer]],
    clients: Sequence[Client],
    w: Weights,
    m: int,
    asked: Sequence[int],
    round: int,
    deadline: float | None = None,
    combine: Callable[..., dict[str, np.ndarray]] = average,
) -> Gathered:
    """Take a round's answers (k, answer), in rising order of k, and make one model of those that count, at most m.

    Of more than m sound answers the first to come count, by their delays, and among equals by the clients' numbers.
    asked: the numbers k of all clients asked. Where they are no more than m their sum runs along, and no model is kept.
    Source: fedavg:alg1, fedavg:client-availability
    """
    sound, dropped = {}, []
    running = None
    if combine is average and len(asked) <= m:
        running = RunningMean(sum(len(clients[k]) for k in asked))
    for k, answer in answers:
        reason = refused(answer, w, len(clients[k]))
        if reason is None and deadline is not None and answer.delay > deadline:
            reason = f"late: after {answer.delay:g} seconds, the deadline is {deadline:g}"
        if reason is None:
            if running is not None:
                running.add(answer.weights, answer.n)
                answer = answer._replace(weights=None)
            sound[k] = answer
        else:
            dropped.append(Dropped(round, clients[k].id, reason))
    first = sorted(sound, key=lambda k: (sound[k].delay, k))
    dropped += [Dropped(round, clients[k].id, "not needed: enough came before it") for k in sorted(first[m:])]
    kept = {k: sound[k] for k in sorted(first[:m])}
    if not kept:
        return Gathered(kept, dropped, None)
    if running is not None:
        return Gathered(kept, dropped, running.value())
    return Gathered(kept, dropped, combine([(a.weights, a.n) for a in kept.values()], w=w, round=round))


def refused(answer: Answer, w: Weights, n: int) -> str | None:
    """Why an answer cannot count, or None if it can. w: the server's weights, n: the examples that the client has."""
    if not isinstance(answer, Answer):
        return f"it is no Answer but {type(answer).__name__}"
    if answer.error is not None or answer.weights is None:
        return str(answer.error or "no answer")
    if not isinstance(answer.n, (int, np.integer)) or answer.n != n:
        return f"it counts {answer.n!r} examples, but has {n}"
    for name in ("steps", "loss", "delay"):
        value = getattr(answer, name)
        if name == "loss" and value is None:
            continue
        if not isinstance(value, Real) or not isfinite(value):
            return f"its {name} must be a finite number, got {value!r}"
    try:
        check_leaves(_shapes(w), _shapes(answer.weights), "its weights")
    except (ValueError, AttributeError, TypeError) as error:
        return str(error)
    for path, a in answer.weights.items():
        if not isinstance(a, (np.ndarray, np.generic)):
            return f"its weights: {path} is no array but {type(a).__name__}"
        if not np.isfinite(a).all():
            return f"its weights: {path} holds NaN or infinite numbers"
    return None


def _shapes(w: Weights) -> dict[str, tuple[Any, Any]]:
    return {path: (a.shape, a.dtype) for path, a in w.items()}
