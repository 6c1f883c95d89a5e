"""The score function estimator for discrete variables, where nothing can be moved along a path and f has no slope."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ..randomness import generator
from ..tape import raw
from . import door
from .estimators import Function

__all__ = ["DiscreteEstimate", "score_bernoulli", "score_categorical"]


@dataclass(frozen=True)
class DiscreteEstimate:
    """n estimates of a derivative of E f(x), x discrete, and what they say together.

    samples: (n,) for one parameter, (n, K) for K of them. mean, variance, standard_error: numbers, or (K,): the mean of
    the samples, their variance with divisor n - 1, and the root of variance / n.
    """

    samples: np.ndarray
    mean: Any
    variance: Any
    standard_error: Any


def score_bernoulli(f: Function, p: float, n: int, rng: Any, baseline: float | str = 0.0) -> DiscreteEstimate:
    """Estimate d/dp of E f(x), x = 1 with probability p and else 0, by (f(x) - baseline) (x - p) / (p (1 - p)).

    f: a function of an array of zeros and ones, (n,) in float64, that returns n numbers; E f has the derivative
    f(1) - f(0). p: in (0, 1), for at 0 and 1 the score is infinite. n, rng, baseline: as for `score_function`.
    Raises TypeError or ValueError for a bad argument and for f that does not give one finite number a sample.
    Source: gal:eq3.4
    """
    if not isinstance(p, Real) or not 0 < p < 1:
        raise ValueError(f"score_bernoulli: p, the probability of a 1, must lie in (0, 1), got {p!r}")
    n, rng = door.samples(n, "score_bernoulli"), generator(rng, "score_bernoulli")
    x = (rng.random(n) < p).astype(np.float64)
    return _summed(_above(f, x, baseline, "score_bernoulli") * ((x - p) / (p * (1 - p))))


def score_categorical(f: Function, p: Any, n: int, rng: Any, baseline: float | str = 0.0) -> DiscreteEstimate:
    """Estimate the gradient of E f(k), k = 0 ... K-1 with probabilities p = softmax(logits), for the logits.

    A sample is (f(k) - baseline) (onehot(k) - p), (K,); their mean tends to p (f - E f). f: a function of an integer
    array (n,) that returns n numbers. p: (K,), in [0, 1], of sum 1. n, rng, baseline: as for `score_function`. Memory:
    n K numbers.
    Raises TypeError or ValueError for a bad argument and for f that does not give one finite number a sample.
    Source: gal:eq3.4
    """
    p = np.asarray(raw(p), dtype=np.float64)
    if p.ndim != 1 or len(p) < 2:
        raise ValueError(f"score_categorical: p must be (K,), K at least 2, got shape {p.shape}")
    if not ((p >= 0) & (p <= 1)).all() or abs(p.sum() - 1) > 1e-6:
        raise ValueError(f"score_categorical: p must be probabilities in [0, 1] of sum 1, got {p.tolist()}")
    n, rng = door.samples(n, "score_categorical"), generator(rng, "score_categorical")
    p = p / p.sum()
    k = rng.choice(len(p), n, p=p)
    score = np.eye(len(p))[k] - p
    return _summed(_above(f, k, baseline, "score_categorical")[:, None] * score)


def _above(f: Function, x: np.ndarray, baseline: float | str, caller: str) -> np.ndarray:
    """f less its baseline: a number, or for each sample the mean of f over the others."""
    y, number = np.asarray(raw(f(x)), dtype=np.float64), door.baseline(baseline, caller)
    door.one_each(y, x, caller)
    if not np.isfinite(y).all():
        raise ValueError(f"{caller}: f is NaN or infinite for some samples")
    return (y - y.mean()) * (len(y) / (len(y) - 1)) if number is None else y - number


def _summed(samples: np.ndarray) -> DiscreteEstimate:
    variance = samples.var(0, ddof=1)
    return DiscreteEstimate(samples, samples.mean(0), variance, np.sqrt(variance / len(samples)))
