"""Variational inference by noise: what is minimised, twice, and the two algorithms that turn out to be one.

A noise layer draws weights from q, w = g(M, eps), so a pass through the model is a draw from q for each data point. The
one objective is minus the expected log likelihood plus KL(q || prior), the other what everybody trains with dropout: a
mean error plus weight decay. Where the KL is N tau times the penalty their gradients are one, up to N tau.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log, pi
from numbers import Integral
from typing import Any

from .. import ops
from ..backend import is_array, to_numpy, xp
from ..losses import checked_labels
from ..nn import Module
from ..optim import SGD
from ..randomness import stream
from ..tape import Tensor, raw
from ..train import check_numbers
from .uncertainty import chances, precision_of

__all__ = [
    "categorical_log_likelihood", "dropout_objective", "euclidean_error", "gaussian_log_likelihood",
    "minimise_divergence", "objective", "penalty", "quadratic_kl", "train_with_dropout",
]  # fmt: skip

SHUFFLE, NOISE = 0, 1  # streams of random numbers: default_rng([seed, stream, step])
PerPoint = Callable[[Tensor, Any], Tensor]  # (outputs, targets) to one number a data point


# ---- one number a data point ----------------------------------------------------------------------------------------


def gaussian_log_likelihood(f: Tensor, y: Any, tau: float) -> Tensor:
    """ln N(y; f, I / tau) of each data point: f (..., N, D), y (N, D) to (..., N), in nats.

    Raises ValueError for tau not above 0, or a y of another shape.
    Source: gal:eq3.10
    """
    tau, D = precision_of(tau, "gaussian_log_likelihood"), f.shape[-1]
    return euclidean_error(f, y) * -tau + D / 2 * log(tau / (2 * pi))


def categorical_log_likelihood(f: Tensor, y: Any) -> Tensor:
    """ln of the softmax probability of the label of each data point: logits f (N, C), ints y (N,) to (N,), in nats.

    Raises TypeError for labels that are no integers, ValueError for other shapes or a label out of range.
    Source: gal:eq3.10
    """
    return -ops.softmax_cross_entropy(f, checked_labels(f, y, "categorical_log_likelihood"))


def euclidean_error(f: Tensor, y: Any) -> Tensor:
    """1/2 ||y - f||^2 of each data point: f (..., N, D), y (N, D) to (..., N).

    It is -1/tau times the Gaussian log likelihood, up to the constant D / (2 tau) ln(tau / 2 pi).
    Raises ValueError for a y of another shape, which would broadcast.
    Source: gal:eq3.10
    """
    m = xp(raw(f))
    y = m.asarray(y if is_array(y) else to_numpy(y)).astype(f.dtype, copy=False)
    if f.shape[-2:] != y.shape:
        raise ValueError(f"euclidean_error: y must be (N, D) as the outputs {f.shape}, got {y.shape}")
    d = f - y
    return ops.total(d * d, -1) / 2


# ---- the two objectives ---------------------------------------------------------------------------------------------


def objective(log_likelihood: Tensor, kl: Any, n: int | None = None, weights: Any = None) -> Tensor:
    """-N/M times the sum over M data points of their expected log likelihood, plus KL: what inference minimises.

    log_likelihood: (M,), of one draw of weights for each data point (eq 3.7; a sequence is a data point, eq 3.21); or
    (T, M), of T draws, whose mean is taken, by `weights` (T,) if there are any: fed with all masks there are and their
    probabilities this is the integral itself (eqs 3.1, 3.2). kl: a number or a tensor of one. n: the number N of data
    points of which these M are a random batch; M if not given (eq 3.1).
    Over random batches and draws the mean is that of all data and the integral, and so is the gradient's.
    Raises ValueError for a log_likelihood of another shape, n no int or below M, weights that are no probabilities.
    Erratum: gal, eq 3.21: printed as a sum over all N sequences; right with a batch of them: N/M times its sum, eq 3.2.
    Source: gal:eq3.1, gal:eq3.2, gal:eq3.7, gal:eq3.21
    """
    axes = log_likelihood.ndim
    if axes not in (1, 2) or not log_likelihood.size or (axes == 1 and weights is not None):
        raise ValueError(
            "objective: log_likelihood must be (M,), or (T, M) where there are weights, with M of at least 1, "
            f"got shape {log_likelihood.shape}"
        )
    M = log_likelihood.shape[-1]
    n = M if n is None else n
    if not isinstance(n, Integral) or n < M:
        raise ValueError(f"objective: n, the number of data points, must be an int >= {M}, the batch's, got {n!r}")
    if axes == 2:
        w = chances(weights, raw(log_likelihood), "objective")
        log_likelihood = ops.total(log_likelihood * w[:, None], 0)
    return ops.total(log_likelihood) * (-n / M) + kl


def dropout_objective(errors: Tensor, penalty: Any) -> Tensor:
    """The mean over a batch of the errors of its data points, (M,), plus a penalty on the weights: dropout training.

    With errors -1/tau log p(y | f) this is eq 3.11; each data point's f has masks of its own.
    Erratum: gal, eq 3.11, its derivative and algorithm 2: printed f(x); right: f(x_i), of the i-th data point.
    Erratum: gal, eq 3.11, brace: printed KL under the penalties; right: N tau times the penalties is the KL, up to a
    constant.
    Source: gal:eq3.9, gal:eq3.11
    """
    return ops.mean(errors) + penalty


def penalty(parameters: Mapping[str, Tensor], decay: Mapping[str, float]) -> Tensor:
    """The sum over parameters of lambda times the sum of squares. decay: {path: lambda}; what is not in it is free.

    Raises ValueError for a path that no parameter has.
    Source: gal:eq3.9
    """
    if unknown := sorted(decay.keys() - parameters.keys()):
        raise ValueError(f"penalty: there is no parameter {unknown[0]!r}; there are {', '.join(parameters)}")
    return sum(ops.total(parameters[path] * parameters[path]) * weight for path, weight in decay.items())


def quadratic_kl(parameters: Mapping[str, Tensor], decay: Mapping[str, float], n: int, tau: float) -> Tensor:
    """N tau times the penalty: a KL that meets the KL condition exactly, up to a constant.

    With it the gradient of `dropout_objective` is that of `objective` over N tau, for the same masks and batch.
    Source: gal:eq3.12, gal:scale-relation
    """
    return penalty(parameters, decay) * (n * precision_of(tau, "quadratic_kl"))


# ---- the two algorithms ---------------------------------------------------------------------------------------------


def minimise_divergence(
    model: Module,
    x: Any,
    y: Any,
    *,
    log_likelihood: PerPoint,
    kl: Callable[[Module], Any],
    rate: Any,
    steps: int,
    batch_size: int,
    seed: int,
) -> list[float]:
    """Algorithm 1: minimise KL(q || posterior) by steps on random batches, one draw for each data point.

    log_likelihood(outputs, targets): (M,). kl(model): a tensor of one number. rate: eta, or a function of the step.
    seed: of the batches and of the noise. Returns the objective at each step, before it; the model is changed.
    Raises ValueError for numbers out of range, or x and y of different lengths.
    Erratum: gal, algorithm 1, line 6: printed -N/M sum (dlog p + dKL); right: -N/M sum dlog p + dKL.
    Erratum: gal, algorithm 1, line 7: printed theta + eta delta; right: theta - eta delta.
    Source: gal:alg1
    """

    def loss(f: Tensor, t: Any) -> Tensor:
        return objective(log_likelihood(f, t), kl(model), len(x))

    return _descend("minimise_divergence", model, x, y, loss, rate, steps, batch_size, seed)


def train_with_dropout(
    model: Module,
    x: Any,
    y: Any,
    *,
    error: PerPoint,
    decay: Mapping[str, float],
    rate: Any,
    steps: int,
    batch_size: int,
    seed: int,
) -> list[float]:
    """Algorithm 2: ordinary training with noise layers and weight decay. Arguments as for `minimise_divergence`.

    error(outputs, targets): (M,). decay: {path: lambda}. With the same seed, a rate N tau times that of algorithm 1 and
    a KL that meets the KL condition, both take the same steps.
    Erratum: gal, algorithm 2, line 7: printed nothing; right: theta - eta delta.
    Source: gal:alg2
    """
    parameters = model.parameters()

    def loss(f: Tensor, t: Any) -> Tensor:
        return dropout_objective(error(f, t), penalty(parameters, decay))

    return _descend("train_with_dropout", model, x, y, loss, rate, steps, batch_size, seed)


def _descend(caller, model, x, y, loss, rate, steps, batch_size, seed) -> list[float]:
    """theta - eta delta, step by step."""
    check_numbers(caller, steps=(steps, 1), batch_size=(batch_size, 1), seed=(seed, 0))
    if batch_size > len(x) or len(x) != len(y):
        raise ValueError(
            f"{caller}: batch_size must lie in 1..N for x and y of N rows, got {batch_size!r} for {len(x)} and "
            f"{len(y)} rows"
        )
    descent, values = SGD(model.parameters(), rate), []
    for step in range(steps):
        S = xp(x).asarray(stream(seed, SHUFFLE, step).choice(len(x), batch_size, replace=False))
        descent.zero_grad()
        value = loss(model(x[S], rng=stream(seed, NOISE, step)), y[S])
        value.backward()
        descent.step()
        values.append(value.item())
    return values
