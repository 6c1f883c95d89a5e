"""How far the weights that noise draws are from a prior: Kullback-Leibler divergences in nats, as tensors.

M holds the weights before the noise, (rows, columns); a row is what one input sends out. The prior is N(0, I / l^2),
with the length-scale l, unless another one is named. Gradients are taken in M.
"""

from __future__ import annotations

from math import e, log, pi
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..backend import xp
from ..tape import Tensor, raw
from . import door

__all__ = ["Sandwich", "bernoulli_kl", "bernoulli_kl_bounds", "discrete_kl", "entropy", "gaussian_kl", "log_uniform_kl"]

# the trapezoid rule for a standard normal: what is left out beyond 9 is below 1e-18
NODES = np.linspace(-9, 9, 901)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
SMALL = 1e-5  # variances below which a series in them is exact to rounding


class Sandwich(NamedTuple):
    """A lower and an upper bound, each a tensor of one number."""

    lower: Tensor
    upper: Tensor


def gaussian_kl(M: Tensor, alpha: float, length_scale: float) -> Tensor:
    """The KL of additive noise, q = N(M, alpha I), from the prior: exact.

    Its gradient l^2 M is that of l^2 / 2 times the sum of squares, so weight decay meets the KL condition exactly.
    alpha: the variance. Raises ValueError for alpha or length_scale not above 0.
    Source: gal:srt-additive
    """
    door.above_zero("gaussian_kl", alpha=alpha, length_scale=length_scale)
    l2 = length_scale**2
    return (ops.total(M * M) * l2 + M.size * (l2 * alpha - 1 - log(l2 * alpha))) / 2


def bernoulli_kl_bounds(M: Tensor, p: float, length_scale: float, sigma: float, *, masks: str = "01") -> Sandwich:
    """Bounds of the KL of dropout's weights from the prior; they are apart by the entropy of p for each row.

    Each row is drawn from p N(0, sigma^2 I) + (1 - p) N(m, sigma^2 I), m the row of M, or that over 1 - p for scaled
    masks: dropout's two points, with a small width so that there are densities. With the KL of either part from the
    prior, KL_0 and KL_1, it is p KL_0 + (1 - p) KL_1 less what a draw tells about the part that it came from, which is
    at most H(p). Both bounds have the gradient of (1 - p) l^2 / 2 times the sum of squares: what eq 3.13 makes weight
    decay of.
    Raises ValueError for p outside [0, 1), numbers not above 0, other masks.
    Source: gal:eq3.13
    """
    kept = _kept("bernoulli_kl_bounds", M, p, length_scale, sigma, masks)
    rows, columns = M.shape
    l2 = length_scale**2
    upper = ops.total(kept * kept) * ((1 - p) * l2 / 2) + M.size * (l2 * sigma**2 - 1 - log(l2 * sigma**2)) / 2
    return Sandwich(upper - rows * entropy(p), upper)


def bernoulli_kl(M: Tensor, p: float, length_scale: float, sigma: float, *, masks: str = "01") -> Tensor:
    """The KL that `bernoulli_kl_bounds` bounds, by quadrature; arguments and errors as there.

    Only along m do the two parts differ, so each row takes one integral: the trapezoid rule on 901 points, which for
    such smooth functions is exact to rounding. Memory is 901 numbers a row.
    Source: gal:eq3.13
    """
    kept = _kept("bernoulli_kl", M, p, length_scale, sigma, masks)
    upper = bernoulli_kl_bounds(M, p, length_scale, sigma, masks=masks).upper
    if p == 0:
        return upper
    square = ops.total(kept * kept, 1, keepdims=True) + float(np.finfo(M.dtype).tiny)  # a root has no slope at 0
    return upper - ops.total(_told(ops.sqrt(square) / sigma, p))


def _told(s: Tensor, p: float) -> Tensor:
    """What a draw tells about the part it came from, the mean of ln q_i / q, where the parts are s deviations apart."""
    m = xp(raw(s))
    z, w = (m.asarray(a.astype(s.dtype)) for a in (NODES, WEIGHTS))
    odds, shift = log((1 - p) / p), s * s / 2 - s * z
    of_dropped = -log(p) - ops.softplus(odds - shift)
    of_kept = -log(1 - p) - ops.softplus(-odds - shift)
    return (of_dropped * p + of_kept * (1 - p)) * w


def discrete_kl(M: Tensor, p: float, length_scale: float, *, masks: str = "01", log_normaliser: float = 0.0) -> Tensor:
    """The KL of dropout's rows, 0 or m, from a prior proportional to e^(-l^2 w'w / 2) on finitely many w: exact.

    It is ln Z - H(p) + (1 - p) l^2 / 2 |m|^2 for each row, so weight decay meets the KL condition exactly, as long as
    the prior's points move with M and ln Z stays as it is: that is how the text means it. M, p, masks: as for
    `bernoulli_kl_bounds`. log_normaliser: ln Z, with Z the sum of e^(-l^2 w'w / 2) over the points.
    Raises ValueError for p outside [0, 1), a length_scale not above 0, other masks.
    Source: gal:discrete-prior
    """
    kept = _kept("discrete_kl", M, p, length_scale, 1.0, masks)
    return ops.total(kept * kept) * ((1 - p) * length_scale**2 / 2) + M.shape[0] * (log_normaliser - entropy(p))


def log_uniform_kl(alpha: float) -> float:
    """The KL of w = eps m, with eps from N(1, alpha), from the prior 1 / |w|: a number, up to a constant.

    Neither m nor its sign is in it: E ln |eps| - ln(2 pi e alpha) / 2. So no weight decay belongs to such noise; it
    falls as alpha grows. The prior is improper, which is why a constant is open.
    Raises ValueError for alpha not above 0.
    Source: gal:log-uniform-prior
    """
    door.above_zero("log_uniform_kl", alpha=alpha)
    if alpha < SMALL:
        return -alpha / 2 - 3 * alpha**2 / 4 - log(2 * pi * e * alpha) / 2
    # eps^2 / alpha is a chi-square with one degree of freedom more for each of a Poisson number of pairs
    mean = 1 / (2 * alpha)
    j = np.arange(int(mean + 12 * mean**0.5 + 40))
    harmonic = np.concatenate([[0], np.cumsum(1 / (j[:-1] + 0.5))])  # digamma(j + 1/2) less digamma(1/2)
    log_factorial = np.concatenate([[0], np.cumsum(np.log(j[1:]))])
    poisson = np.exp(j * log(mean) - mean - log_factorial)
    poisson /= poisson.sum()
    return float(poisson @ harmonic - np.euler_gamma - log(4 * pi * e)) / 2


def entropy(p: float) -> float:
    """H(p) of a coin that falls on one side with probability p, in nats; 0 ln 0 = 0."""
    return -sum(q * log(q) for q in (p, 1 - p) if q > 0)


def _kept(caller: str, M: Tensor, p: Any, length_scale: Any, sigma: Any, masks: Any) -> Tensor:
    """The rows where they are kept; ValueError for arguments out of range."""
    door.dropping(caller, p, masks)
    if M.ndim != 2:
        raise ValueError(f"{caller}: M must be a matrix (rows, columns), a row for each input, got shape {M.shape}")
    door.above_zero(caller, length_scale=length_scale, sigma=sigma)
    return M if masks == "01" else M / (1 - p)
