"""Judging scores by erasing: take away what speaks for one class and not for another, and see the log-odds move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..tape import Tensor, no_grad


def erase(x: Any, scores_from: Any, scores_to: Any, count: int, fill: float = 0.0) -> np.ndarray:
    """x with the elements erased that argue most for the one class against the other.

    x, scores_from, scores_to: (N, ...), NumPy. Elements are ranked by scores_from - scores_to; of those above 0 the
    `count` largest of each row become `fill` (ties: the first in memory order).
    Erratum: deeplift, figure 4: printed 1K images of the original class; MNIST's test set has 974 eights.
    Raises ValueError if the shapes differ or count is negative.
    Source: deeplift:fig4
    """
    x, difference = to_numpy(x), to_numpy(scores_from) - to_numpy(scores_to)
    if difference.shape != x.shape:
        raise ValueError(f"erase: scores must have the shape of x, {x.shape}, got {difference.shape}")
    if count < 0:
        raise ValueError(f"erase: count must be at least 0, got {count}")
    flat = difference.reshape(len(x), -1)
    ranked = np.argsort(-flat, axis=1, kind="stable")[:, :count]
    chosen = np.zeros(flat.shape, bool)
    np.put_along_axis(chosen, ranked, np.take_along_axis(flat, ranked, 1) > 0, 1)
    return np.where(chosen.reshape(x.shape), x.dtype.type(fill), x)


def log_odds(model: Callable[[Tensor], Tensor], x: Any, class_a: Any, class_b: Any) -> np.ndarray:
    """ln p_a - ln p_b of each row, in nats, from a model that ends in logits: their difference. Returns (N,).

    class_a, class_b: an int for all rows, or ints (N,).
    """
    with no_grad():
        logits = to_numpy(model(Tensor(x)).data)
    rows = np.arange(len(logits))
    return logits[rows, class_a] - logits[rows, class_b]


def log_odds_change(
    model: Callable[[Tensor], Tensor], x: Any, erased: Any, class_from: Any, class_to: Any
) -> np.ndarray:
    """How much erasing raised the log-odds of class_to against class_from, in nats: (N,).

    class_from, class_to: an int for all rows, or ints (N,).
    Source: deeplift:fig4
    """
    return log_odds(model, erased, class_to, class_from) - log_odds(model, x, class_to, class_from)
