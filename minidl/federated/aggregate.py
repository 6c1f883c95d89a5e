"""The server's side of a round: who is asked, whose answer counts, and how the answers become one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..nn.module import check_leaves
from ..randomness import stream
from .client import SELECT, Answer

__all__ = ["average", "clients_a_round", "refused", "select"]

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
    m_t = sum(n for _, n in answers)
    mean = {}
    for path, first in answers[0][0].items():
        total = np.zeros(first.shape)
        for w, n in answers:
            total += w[path] * np.float64(n / m_t)
        mean[path] = total.astype(first.dtype)
    return mean


def refused(answer: Answer, w: Weights, n: int) -> str | None:
    """Why an answer cannot count, or None if it can. w: the server's weights, n: the examples that the client has."""
    if answer.error is not None or answer.weights is None:
        return answer.error or "no answer"
    if not isinstance(answer.n, (int, np.integer)) or answer.n != n:
        return f"it counts {answer.n!r} examples, but has {n}"
    try:
        check_leaves(_shapes(w), _shapes(answer.weights), "its weights")
    except (ValueError, AttributeError, TypeError) as error:
        return str(error)
    for path, a in answer.weights.items():
        if not np.isfinite(a).all():
            return f"its weights: {path} holds NaN or infinite numbers"
    return None


def _shapes(w: Weights) -> dict[str, tuple[Any, Any]]:
    return {path: (a.shape, a.dtype) for path, a in w.items()}
