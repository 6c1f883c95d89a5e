"""Judging scores by erasing: take away what speaks for one class and not for another, and see the log-odds move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..tape import Tensor, no_grad
from .explanation import scores_of


def erase(x: Any, scores_from: Any, scores_to: Any, count: int, fill: float = 0.0) -> np.ndarray:
    """x with the elements erased that argue most for the one class against the other.

    x: (N, ...). scores_from, scores_to: Explanations, or scores in the shape of x, one for each class. Elements are
    ranked by scores_from - scores_to; of those above 0 the `count` largest of each row become `fill` (ties: the first
    in memory order).
    Erratum: deeplift, figure 4: printed 1K images of the original class; MNIST's test set has 974 eights.
    Returns NumPy. Raises ValueError if the shapes differ, scores are not finite or count is negative.
    Source: deeplift:fig4
    """
    x, own, other = to_numpy(x), scores_of(scores_from, "erase"), scores_of(scores_to, "erase")
    if not own.shape == other.shape == x.shape:
        raise ValueError(f"erase: scores must have the shape of x, {x.shape}, got {own.shape} and {other.shape}")
    if count < 0:
        raise ValueError(f"erase: count must be at least 0, got {count}")
    flat = (own - other).reshape(len(x), -1)
    ranked = np.argsort(-flat, axis=1, kind="stable")[:, :count]
    chosen = np.zeros(flat.shape, bool)
    np.put_along_axis(chosen, ranked, np.take_along_axis(flat, ranked, 1) > 0, 1)
    return np.where(chosen.reshape(x.shape), x.dtype.type(fill), x)


def log_odds(model: Callable[[Tensor], Tensor], x: Any, class_a: Any, class_b: Any) -> np.ndarray:
    """ln p_a - ln p_b of each row, in nats, from a model that ends in logits: their difference. Returns (N,).

    class_a, class_b: an int for all rows, or ints (N,). Raises ValueError for one that the model does not have.
    """
    with no_grad():
        logits = to_numpy(model(Tensor(x)).data)
    rows = np.arange(len(logits))
    for name, of_rows in (("class_a", np.asarray(class_a)), ("class_b", np.asarray(class_b))):
        if of_rows.size and not 0 <= of_rows.min() <= of_rows.max() < logits.shape[1]:
            raise ValueError(f"log_odds: {name} must lie in 0..{logits.shape[1] - 1}, got {of_rows.tolist()}")
    return logits[rows, class_a] - logits[rows, class_b]


def log_odds_change(
    model: Callable[[Tensor], Tensor], x: Any, erased: Any, class_from: Any, class_to: Any
) -> np.ndarray:
    """How much erasing raised the log-odds of class_to against class_from, in nats: (N,).

    class_from, class_to: an int for all rows, or ints (N,).
    Source: deeplift:fig4
    """
    return log_odds(model, erased, class_to, class_from) - log_odds(model, x, class_to, class_from)
