"""How well scores part two classes: numbers for judging a model on rows that it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import to_numpy

__all__ = ["auroc"]


def auroc(scores: Any, labels: Any) -> float:
    """The area under the ROC curve: how often a row of label 1 scores above a row of label 0, a tie counting half.

    It depends on the order of the scores alone, so logits do as well as probabilities; 1/2 is guessing.
    scores: numbers (N,), the higher the more label 1. labels: 0 or 1, (N,).
    Raises ValueError for other shapes or labels, for scores that are NaN, and where one of the labels does not occur.
    """
    scores, labels = to_numpy(scores), to_numpy(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"auroc: scores and labels must both be (N,), got {scores.shape} and {labels.shape}")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError(f"auroc: labels must be 0 or 1, got {np.unique(labels)[:5].tolist()}")
    if np.isnan(scores).any():
        raise ValueError("auroc: scores hold NaN")
    ones, zeros = scores[labels == 1], np.sort(scores[labels == 0])
    if not (len(ones) and len(zeros)):
        raise ValueError(f"auroc: both labels must occur, got {len(ones)} rows of 1 and {len(zeros)} of 0")
    # of the zeros, those below and those not above: a tie is in the second only
    below, not_above = (np.searchsorted(zeros, ones, side) for side in ("left", "right"))
    return float((below + not_above).mean() / (2 * len(zeros)))
