"""What T draws from the predictive distribution say: mean, variance, likelihood, and how sure the model is.

Samples lead: (T, N, ...), as from `mc_predict`. Every formula also takes `weights`, one probability for each of the T:
fed with all masks there are and their probabilities it gives the exact value in place of the Monte Carlo estimate.
Information is in nats.
"""

from __future__ import annotations

from math import log, pi
from numbers import Real
from typing import Any

import numpy as np

from ..backend import is_array, to_numpy, xp
from ..randomness import generator
from ..tape import raw

__all__ = [
    "dogs_and_cats", "linear_calibration", "most_informative", "mutual_information", "percentiles",
    "predictive_covariance", "predictive_entropy", "predictive_log_likelihood", "predictive_log_probability",
    "predictive_mean", "predictive_variance", "sample_labels", "second_moment", "variation_ratio",
]  # fmt: skip

TOLERANCE = 1e-3  # how far probabilities may be from summing to 1: room for float32, none for logits


# ---- regression -----------------------------------------------------------------------------------------------------


def predictive_mean(samples: Any, weights: Any = None) -> Any:
    """The mean over the passes: (T, N, ...) to (N, ...). Unbiased, as any mean of draws.

    Of probabilities it is the predictive probability; logits are not what to average.
    Raises TypeError or ValueError for samples of another type or shape, and for weights that are no probabilities.
    Source: gal:prop2, gal:eq3.8, gal:eq3.15
    """
    samples, w = _draws(samples, weights, "predictive_mean")
    return _mean(w, samples)


def second_moment(samples: Any, tau: float, weights: Any = None) -> Any:
    """E[y'y] of row vectors y: I / tau plus the mean of the outer products f'f. (T, N, D) to (N, D, D). Unbiased.

    tau: the model precision, one over the variance of the observation noise. Raises as `predictive_covariance`.
    Source: gal:prop3
    """
    f, w = _draws(samples, weights, "second_moment", 3)
    return _noise(f, tau, "second_moment") + _outer(w, f)


def predictive_covariance(samples: Any, tau: float, weights: Any = None, *, unbiased: bool = False) -> Any:
    """Covariance of y: I / tau plus the sample covariance of the passes. (T, N, D) to (N, D, D).

    tau: the model precision. unbiased: divide by T - 1 in place of T; it needs T of at least 2, and no weights.
    Raises ValueError for tau not above 0, and as `predictive_mean`.
    Erratum: gal, predictive variance: printed "unbiased", with divisor T; right: its sample part is low by (T - 1) / T.
    Source: gal:predictive-variance
    """
    f, w = _draws(samples, weights, "predictive_covariance", 3)
    noise = _noise(f, tau, "predictive_covariance")
    return noise + _correction(f, weights, unbiased, "predictive_covariance") * _outer(w, _centred(w, f))


def predictive_variance(samples: Any, tau: float, weights: Any = None, *, unbiased: bool = False) -> Any:
    """The variance of each output, the diagonal of `predictive_covariance`: (T, N, ...) to (N, ...).

    Arguments and errors as there. Equal passes leave exactly 1 / tau.
    Source: gal:predictive-variance
    """
    f, w = _draws(samples, weights, "predictive_variance")
    noise = 1 / precision_of(tau, "predictive_variance")
    return noise + _correction(f, weights, unbiased, "predictive_variance") * _mean(w, _centred(w, f) ** 2)


def predictive_log_likelihood(samples: Any, y: Any, tau: float, weights: Any = None) -> Any:
    """ln p(y | x) of a regression, by log-sum-exp over the passes: samples (T, N, D), y (N, D) to (N,), in nats.

    tau: the model precision. As an estimate from draws it is low, by Jensen's inequality, and less so as T grows.
    Raises ValueError for tau not above 0 and a y of another shape, and as `predictive_mean`.
    Erratum: gal, eq 3.18: printed -1/2 log 2 pi + 1/2 log tau; right: both times D, the number of outputs.
    Erratum: gal, eq 3.18: printed the distance from y; right: from y*, the value whose likelihood it is.
    Source: gal:eq3.18, gal:eq3.8, gal:estimator-bias
    """
    f, w = _draws(samples, weights, "predictive_log_likelihood", 3)
    tau, m, D = precision_of(tau, "predictive_log_likelihood"), xp(f), f.shape[2]
    y = m.asarray(y if is_array(y) else to_numpy(y)).astype(f.dtype, copy=False)
    if y.shape != f.shape[1:]:
        raise ValueError(f"predictive_log_likelihood: y must have the shape of one pass, {f.shape[1:]}, got {y.shape}")
    exponent = -tau / 2 * ((y - f) ** 2).sum(2)
    top = exponent.max(0)  # taken out, so that the most likely pass does not underflow
    return top + m.log(_mean(w, m.exp(exponent - top))) + D / 2 * log(tau / (2 * pi))


# ---- classification -------------------------------------------------------------------------------------------------


def predictive_log_probability(p: Any, labels: Any, weights: Any = None) -> Any:
    """ln of the predictive probability of the labels: p (T, N, C), labels (N,) of ints to (N,), in nats.

    The classification counterpart of `predictive_log_likelihood`; as low on average. A label that no pass holds
    possible has -inf. Raises TypeError for labels that are no integers, ValueError for other shapes or a label out of
    range.
    Source: gal:eq3.8, gal:estimator-bias
    """
    p, w = _probabilities(p, weights, "predictive_log_probability")
    mean, m = _mean(w, p), xp(p)
    n, classes = mean.shape
    labels = _integers(labels, "predictive_log_probability")
    if labels.shape != (n,) or (n and not 0 <= int(labels.min()) <= int(labels.max()) < classes):
        raise ValueError(
            f"predictive_log_probability: labels must be ({n},) in 0..{classes - 1}, got shape {labels.shape}"
            + (f", values {int(labels.min())}..{int(labels.max())}" if labels.size else "")
        )
    of_label = mean[m.arange(n), labels]
    return m.where(of_label > 0, m.log(m.where(of_label > 0, of_label, 1)), -m.inf)


def predictive_entropy(p: Any, weights: Any = None) -> Any:
    """Entropy of the mean of the T probability vectors: p (T, N, C) to (N,), in [0, ln C] nats; 0 ln 0 = 0.

    Raises ValueError where p holds no probabilities (a softmax makes them of logits), and for other shapes or weights.
    Source: gal:eq3.20, gal:estimator-bias
    """
    p, w = _probabilities(p, weights, "predictive_entropy")
    return _entropy(_mean(w, p))


def mutual_information(p: Any, weights: Any = None) -> Any:
    """What the label would tell about the weights: entropy of the mean less mean of the entropies, (T, N, C) to (N,).

    In [0, predictive entropy], in nats: large where the passes are sure of different classes, 0 where they agree.
    Raises ValueError as `predictive_entropy`.
    Erratum: gal, mutual information, last line: printed approx E[y, omega | x]; right: approx I[y, omega | x].
    Source: gal:mutual-information
    """
    p, w = _probabilities(p, weights, "mutual_information")
    return xp(p).maximum(_entropy(_mean(w, p)) - _mean(w, _entropy(p)), 0)  # rounding may leave it below 0


def variation_ratio(labels: Any) -> Any:
    """One minus the share of the most frequent label among T sampled ones: ints (T, N) to (N,) in [0, 1 - 1/C].

    labels: as `sample_labels` draws them. The likeliest label of each pass in their place hides what is uncertain
    within a pass. Raises TypeError if labels are no integers, ValueError if they are not (T, N) or T is 0.
    Source: gal:eq3.19, gal:remark-variation-ratio
    """
    labels = _integers(labels, "variation_ratio")
    if labels.ndim != 2 or not len(labels):
        raise ValueError(f"variation_ratio: labels must be (T, N) with T of at least 1, got shape {labels.shape}")
    m = xp(labels)
    most = m.zeros(labels.shape[1], int)
    for c in to_numpy(m.unique(labels)).tolist():
        most = m.maximum((labels == c).sum(0), most)
    return 1 - most / len(labels)


def sample_labels(p: Any, rng: Any) -> Any:
    """A label drawn from each of the T probability vectors: p (T, N, C) to ints (T, N). rng: a Generator or an int.

    Raises ValueError as `predictive_entropy`.
    Source: gal:eq3.19
    """
    p, _ = _probabilities(p, None, "sample_labels")
    edges = p.cumsum(-1)
    u = xp(p).asarray(generator(rng, "sample_labels").random((*p.shape[:-1], 1)))  # float32 would round to 1 at times
    return (u * edges[..., -1:] >= edges[..., :-1]).sum(-1)


def most_informative(p: Any, count: int, weights: Any = None) -> Any:
    """The points to ask a label for: ints (count,), those of the highest mutual information, the highest first.

    p: (T, N, C). Raises ValueError for a count outside 1..N, and as `mutual_information`.
    Source: gal:active-learning
    """
    information = mutual_information(p, weights)
    if not isinstance(count, (int, np.integer)) or not 1 <= count <= len(information):
        raise ValueError(f"most_informative: count must be an int in 1..{len(information)}, got {count!r}")
    return xp(information).argsort(-information)[:count]


def dogs_and_cats(T: int = 10) -> Any:
    """The text's three sets of T vectors of probabilities for (dog, cat), as three points: float64 (T, 3, 2).

    1: all are sure of a dog; 2: all say half and half; 3: half of them are sure of a dog, half of a cat.
    Raises ValueError unless T is an even int of at least 2.
    Erratum: gal, section 3.3.1: printed 0.5 for all three measures of sets 2 and 3; right: 0.5 for the variation ratio,
    but ln 2 = 0.693 nats for the entropy (2 and 3) and the mutual information (3).
    Source: gal:three-examples
    """
    if not isinstance(T, (int, np.integer)) or T < 2 or T % 2:
        raise ValueError(f"dogs_and_cats: T must be an even int of at least 2, got {T!r}")
    dog = np.stack([np.ones(T), np.full(T, 0.5), np.arange(T) % 2], 1)
    return np.stack([dog, 1 - dog], 2)


# ---- comparing uncertainties ----------------------------------------------------------------------------------------


def percentiles(uncertainty: Any, validation: Any) -> Any:
    """How many of the validation points, in percent, are at most as uncertain as each test point: (N,) in [0, 100].

    uncertainty: (N,), validation: (V,), of one measure, such as a standard deviation; the unit cancels.
    Raises TypeError for what is no array, ValueError for other shapes, NaN, or no validation points.
    Source: gal:calibration-percentile
    """
    _finite("percentiles", uncertainty=uncertainty, validation=validation)
    if uncertainty.ndim != 1 or validation.ndim != 1 or not len(validation):
        raise ValueError(
            "percentiles: uncertainty must be (N,) and validation (V,) with V of at least 1, "
            f"got {uncertainty.shape} and {validation.shape}"
        )
    m = xp(uncertainty)
    return m.searchsorted(m.sort(validation), uncertainty, side="right") * (100 / len(validation))


def linear_calibration(mean: Any, variance: Any, y: Any) -> float:
    """The factor for predictive standard deviations with which validation errors have the size that they say.

    It is the root of the mean of (y - mean)^2 / variance, 1 for a calibrated model, above 1 for one too sure of itself;
    of all factors it gives the validation points their highest Gaussian likelihood.
    mean, variance, y: one shape, of validation points. Raises TypeError for what is no array, ValueError for other
    shapes, no points, NaN, or a variance not above 0.
    Source: gal:calibration-percentile
    """
    _finite("linear_calibration", mean=mean, variance=variance, y=y)
    if not mean.shape == variance.shape == y.shape or not y.size:
        raise ValueError(
            "linear_calibration: mean, variance and y must have one shape, of at least one point, "
            f"got {mean.shape}, {variance.shape}, {y.shape}"
        )
    if not (variance > 0).all():
        raise ValueError(f"linear_calibration: variance must be above 0, got {float(variance.min()):.3g}")
    return float(((y - mean) ** 2 / variance).mean()) ** 0.5


# ---- what they share ------------------------------------------------------------------------------------------------


def _draws(samples: Any, weights: Any, caller: str, axes: int | None = None, name: str = "samples") -> tuple[Any, Any]:
    """Samples and the weight of each pass, 1/T unless weights are given, in their type; errors for what is neither."""
    samples = raw(samples)
    if not is_array(samples) or samples.dtype.kind != "f":
        came = samples.dtype if is_array(samples) else type(samples).__name__
        raise TypeError(f"{caller}: {name} must be an array of floating-point numbers, got {came}")
    if samples.ndim != (axes or max(2, samples.ndim)) or not len(samples):
        wanted = ("(T, N, C)" if name == "p" else "(T, N, D)") if axes else "(T, N, ...)"
        raise ValueError(f"{caller}: {name} must be {wanted} with T of at least 1, got shape {samples.shape}")
    return samples, chances(weights, samples, caller)


def chances(weights: Any, samples: Any, caller: str) -> Any:
    """The weight of each pass, (T,) in the samples' type: 1/T unless weights are given; ValueError for bad ones."""
    m, T = xp(samples), len(samples)
    if weights is None:
        return m.full(T, 1 / T, samples.dtype)
    w = m.asarray(weights if is_array(weights) else to_numpy(weights)).astype(samples.dtype)
    if w.shape != (T,) or not (w >= 0).all() or abs(float(w.sum()) - 1) > TOLERANCE:
        raise ValueError(
            f"{caller}: weights must be ({T},), probabilities of the passes that sum to 1, got shape {w.shape} "
            f"with sum {float(w.sum()):.4g}"
        )
    return w


def _probabilities(p: Any, weights: Any, caller: str) -> tuple[Any, Any]:
    """As `_draws`, for p (T, N, C); ValueError unless these are probabilities."""
    p, w = _draws(p, weights, caller, 3, "p")
    if not ((p >= 0).all() and (abs(p.sum(-1) - 1) <= TOLERANCE).all()):  # NaN is neither
        raise ValueError(f"{caller}: p must hold probabilities that sum to 1 over the last axis; a softmax makes them")
    return p, w


def _finite(caller: str, **arrays: Any) -> None:
    """TypeError unless these are arrays, ValueError if one holds NaN or infinite values."""
    for name, a in arrays.items():
        if not is_array(a):
            raise TypeError(f"{caller}: {name} must be an array of numbers, got {type(a).__name__}")
        if not xp(a).isfinite(a).all():
            raise ValueError(f"{caller}: {name} holds NaN or infinite values")


def _integers(labels: Any, caller: str) -> Any:
    """The labels as an array of ints; TypeError for others."""
    labels = labels if is_array(labels) else to_numpy(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{caller}: labels must be integers, got {labels.dtype}")
    return labels


def _mean(w: Any, a: Any) -> Any:
    """The mean over the passes: their weighted sum."""
    return xp(a).tensordot(w, a, 1)


def _centred(w: Any, f: Any) -> Any:
    """The passes less their mean. Less the first of them before, so that equal passes leave exactly 0."""
    f = f - f[0]
    return f - _mean(w, f)


def _outer(w: Any, f: Any) -> Any:
    """The mean over the passes of the outer products f'f: (T, N, D) to (N, D, D)."""
    return (w[:, None, None] * f).transpose(1, 2, 0) @ f.transpose(1, 0, 2)


def _noise(f: Any, tau: Any, caller: str) -> Any:
    """I / tau: the covariance of the observation noise, (D, D)."""
    return xp(f).eye(f.shape[2], dtype=f.dtype) * (1 / precision_of(tau, caller))


def _correction(f: Any, weights: Any, unbiased: bool, caller: str) -> float:
    """T / (T - 1) for the unbiased form, else 1."""
    T = len(f)
    if unbiased and (weights is not None or T < 2):
        raise ValueError(f"{caller}: unbiased=True needs at least 2 passes and no weights, got {T} passes")
    return T / (T - 1) if unbiased else 1.0


def _entropy(p: Any) -> Any:
    """Minus the sum of p ln p over the last axis; 0 ln 0 = 0."""
    m = xp(p)
    return 0 - (p * m.log(m.where(p > 0, p, 1))).sum(-1)


def precision_of(tau: Any, caller: str) -> float:
    """tau as a float; ValueError unless it is a finite number above 0."""
    if not isinstance(tau, Real) or not 0 < tau < float("inf"):
        raise ValueError(f"{caller}: tau, the model precision, must be a finite number above 0, got {tau!r}")
    return float(tau)
