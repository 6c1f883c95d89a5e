"""What an estimator does exactly: expectations under a Gaussian by Gauss-Hermite quadrature.

A rule of n nodes is exact for polynomials up to degree 2n - 1. For other functions n is doubled until two rules agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from . import door
from .estimators import Function, Values

__all__ = ["Exact", "exact", "expectation", "gauss_hermite"]

ORDERS = 128, 256, 512, 1024  # nodes of the rules; 2048 of them would take seconds to find


@dataclass(frozen=True)
class Exact:
    """The mean and the variance of an estimator, for mu and for sigma: (2,) each."""

    mean: np.ndarray
    variance: np.ndarray


@lru_cache(maxsize=8)
def gauss_hermite(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes x and weights w of the rule of n nodes: E h(eps), eps ~ N(0, 1), is about the sum of w h(x).

    The nodes are the eigenvalues of the matrix of the recurrence x p_k = sqrt(k + 1) p_{k+1} + sqrt(k) p_{k-1} of the
    Hermite polynomials that are orthonormal under N(0, 1); a node's weight is 1 / sum_{k<n} p_k(x)^2, a sum without
    cancellation. Nodes whose weight is below the smallest number are left out.
    """
    roots = np.sqrt(np.arange(n + 1.0))
    x = np.linalg.eigvalsh(np.diag(roots[1:n], 1) + np.diag(roots[1:n], -1))
    x = (x - x[::-1]) / 2  # symmetric, as they are
    before, p, total = np.zeros(n), np.ones(n), np.zeros(n)
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(n):
            total += p * p
            before, p = p, (x * p - roots[k] * before) / roots[k + 1]
    kept = np.isfinite(total)
    x, w = x[kept], 1 / total[kept]
    x.flags.writeable = w.flags.writeable = False  # the next caller gets the same arrays
    return x, w


def expectation(h: Function, mu: float, sigma: float, tolerance: float = 1e-10) -> float:
    """E h(x) for x ~ N(mu, sigma^2).

    h: a function of a NumPy array (n,) that returns n numbers. tolerance: how far two rules, one of twice the nodes of
    the other, may differ, relative to E |h|.
    Raises ValueError for sigma not above 0, for h that does not give one number for each element of x, and if no two
    rules up to 1024 nodes agree: h then has a corner or a jump, or oscillates too fast.
    """
    mu, sigma = door.gaussian(mu, sigma, "expectation")

    def values(eps):
        x = mu + sigma * eps
        y = np.asarray(h(x))
        door.one_each(y, x, "expectation", "h")
        return y[None]

    return float(_settled(values, tolerance, "expectation")[0])


def exact(values: Values, f: Function, mu: float, sigma: float, tolerance: float = 1e-10) -> Exact:
    """The exact mean and variance of one sample of an estimator, for mu and for sigma.

    values: its formula, `score_values`, `pathwise_values`, `characteristic_values` or another of their kind; with a
    baseline, functools.partial(score_values, baseline=b). f, mu, sigma: as for the estimators. tolerance: as for
    `expectation`, relative to the second moment for the variance.
    Raises as `expectation`.
    Erratum: gal, tables 3.1 and 3.2: printed as one table of eight columns; right: the first four are table 3.1, the
    derivative for mu, the last four table 3.2, that for sigma.
    Source: gal:table3.1, gal:table3.2, gal:no-best-estimator
    """
    mu, sigma = door.gaussian(mu, sigma, "exact")

    def both(eps):
        return np.stack(values(f, mu, sigma, eps))

    mean = _settled(both, tolerance, "exact")
    return Exact(mean, _settled(lambda eps: (both(eps) - mean[:, None]) ** 2, tolerance, "exact", mean**2))


def _settled(h: Callable[[Any], np.ndarray], tolerance: float, caller: str, more: Any = 0.0) -> np.ndarray:
    """E h(eps) for each row of h, from the first rule that agrees with the one before; more: adds to the scale."""
    before = None
    for n in ORDERS:
        eps, w = gauss_hermite(n)
        terms = h(eps) * w
        now, scale = terms.sum(1), abs(terms).sum(1) + more
        if before is not None and (abs(now - before) <= tolerance * scale).all():
            return now
        before, last = now, before
    raise ValueError(
        f"{caller}: the quadrature does not settle: {ORDERS[-2]} and {ORDERS[-1]} nodes give {last} and {now}; "
        "f or a derivative of it has a corner or a jump, oscillates too fast, or grows too fast"
    )
