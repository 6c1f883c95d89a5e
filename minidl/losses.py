"""Losses: one number, the mean over the batch, in nats where there are logarithms."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import backend, ops
from .tape import Tensor, raw

__all__ = ["binary_cross_entropy", "cross_entropy", "euclidean", "mse"]


def cross_entropy(logits: Tensor, labels: Any, ignore: int | None = None) -> Tensor:
    """Mean of minus the log softmax probability of the labels, in nats.

    logits: (N, C), or (..., C), e.g. a class for each step of a sequence; labels: integers (N,) or (...), in 0..C-1.
    ignore: a label that marks places which do not count, such as those behind a sequence's end; the mean is over the
    others.
    Raises TypeError if the labels are not integers, ValueError for another shape, a label out of range, or no place
    that counts.
    """
    labels = checked_labels(logits, labels, "cross_entropy", ignore)
    if logits.ndim > 2:
        logits, labels = ops.reshape(logits, (-1, logits.shape[-1])), labels.reshape(-1)
    if ignore is not None and (labels == ignore).any():
        counting = backend.xp(labels).flatnonzero(labels != ignore)
        logits, labels = logits[counting], labels[counting]
    return ops.softmax_cross_entropy(logits, labels, mean=True)


def binary_cross_entropy(logits: Tensor, targets: Any) -> Tensor:
    """Mean over all elements of -t ln p - (1 - t) ln(1 - p) with p = sigmoid(logits), in nats.

    Computed as softplus(z) - t z, which does not overflow. logits, targets: one shape; targets in [0, 1].
    Raises ValueError for another shape or a target outside [0, 1].
    """
    t = _target(logits, targets, "binary_cross_entropy")
    if t.size and (t.min() < 0 or t.max() > 1):
        raise ValueError(f"binary_cross_entropy: targets must lie in [0, 1], got {float(t.min())}..{float(t.max())}")
    return ops.mean(ops.softplus(logits) - logits * t)


def euclidean(y: Tensor, t: Any) -> Tensor:
    """1 / (2 N) times the sum of squared differences: y, t of one shape (N, ...). Raises ValueError for another."""
    d = y - _target(y, t, "euclidean")
    return ops.total(d * d) / (2 * y.shape[0])


def mse(y: Tensor, t: Any) -> Tensor:
    """Mean over all elements of the squared difference: y, t of one shape. Raises ValueError for another."""
    d = y - _target(y, t, "mse")
    return ops.mean(d * d)


def checked_labels(logits: Tensor, labels: Any, caller: str, ignore: int | None = None) -> Any:
    """The labels as an array like the logits. TypeError or ValueError unless they are a class for each row of them."""
    labels = _like(labels, logits)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{caller}: labels must be integers, got {labels.dtype}")
    if logits.ndim < 2 or labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"{caller}: logits {logits.shape} need labels of shape {logits.shape[:-1]} (one class for each row), "
            f"got {labels.shape}"
        )
    classes = logits.shape[-1]
    counting = labels if ignore is None else labels[labels != ignore]
    if ignore is not None and labels.size and not counting.size:
        raise ValueError(f"{caller}: all labels are {ignore}, which is to be ignored; none is left to count")
    if counting.size and not 0 <= counting.min() <= counting.max() < classes:
        raise ValueError(
            f"{caller}: labels must lie in 0..{classes - 1}, got {int(counting.min())}..{int(counting.max())}"
        )
    return labels


def _like(values: Any, y: Tensor) -> Any:
    """The values as an array in the array module of y."""
    values, m = raw(values), backend.xp(raw(y))
    if not backend.is_array(values):
        values = np.asarray(values)
    return values if backend.xp(values) is m else m.asarray(backend.to_numpy(values))


def _target(y: Tensor, t: Any, caller: str) -> Any:
    """The target in y's array module and dtype. Another shape would broadcast: a silent mistake."""
    t = _like(t, y)
    if t.shape != y.shape:
        raise ValueError(f"{caller}: the target must have the shape of the output, {y.shape}, got {t.shape}")
    return t.astype(y.dtype, copy=False)
