"""The two steps of EM for a mixture of Gaussians, on all rows at once and a block of rows at a time.

P[X = x, Y = y] = c_y N(x; mu_y, Sigma_y) is the joint density of a row x and of the Gaussian y that it was drawn from.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi
from typing import Any, NamedTuple

import numpy as np

from .. import threads
from ..backend import xp
from ..ops import logsumexp
from ..ops.fast import ordered
from . import door
from .covariances import of_type

CACHE = 1 << 18  # numbers in one block of rows: two megabytes, which stay in the processor's cache
DEVICE = 1 << 26  # the same elsewhere, where few large blocks are faster: half a gigabyte


class Parameters(NamedTuple):
    """omega: what a mixture of K Gaussians over d numbers is made of.

    weights: c_y, (K,), which sum to 1. means: mu_y, (K, d). covariances: Sigma_y, in squared units of x, by type "full"
    (K, d, d), "tied" (d, d), "diagonal" (K, d), "spherical" (K,).
    """

    weights: Any
    means: Any
    covariances: Any
    covariance_type: str = "full"


def log_joint(x: Any, mixture: Any) -> Any:
    """ln P[X = x_i, Y = y] = ln c_y + ln N(x_i; mu_y, Sigma_y) for every row and Gaussian.

    x: floats (N, d). mixture: a GaussianMixture or Parameters. Returns (N, K), in nats.
    Raises TypeError and ValueError for a bad argument, ValueError for a singular covariance.
    Source: em:gmm-density
    """
    x, omega = door.rows_for(x, mixture, "log_joint")
    joint = _log_joint(omega)
    return _rows(lambda x: joint(x).T, omega, x)


def log_evidence(x: Any, mixture: Any) -> Any:
    """ln P[X = x_i] = ln sum_y P[X = x_i, Y = y] for every row; their sum is the log likelihood L(omega).

    x, mixture: as for `log_joint`. Returns (N,), in nats.
    Raises as `log_joint`.
    Erratum: em, L(omega): printed beside it "likelihood of complete data"; right: of observed data, as the last page
    has it.
    Source: em:gmm-density, em:log-likelihood
    """
    x, omega = door.rows_for(x, mixture, "log_evidence")
    joint = _log_joint(omega)
    return _rows(lambda x: logsumexp(joint(x), 0), omega, x)


def e_step(x: Any, mixture: Any) -> tuple[Any, Any]:
    """The responsibilities q_{i,y} = P[Y = y | X = x_i], which make F(q, omega) as large as L(omega).

    x, mixture: as for `log_joint`. Returns q, (N, K), whose rows sum to 1, and ln P[X = x_i], (N,), in nats.
    Raises as `log_joint`.
    Erratum: em, the table of q: printed P(y_i | x_i); right: P(Y = y | x_i), a row of k numbers for each x_i.
    Source: em:responsibilities, em:e-step
    """
    x, omega = door.rows_for(x, mixture, "e_step")
    log_density = _log_joint(omega)

    def posterior(x: Any) -> tuple[Any, Any]:
        joint = log_density(x)
        evidence = logsumexp(joint, 0)
        return xp(x).exp(joint - evidence).T, evidence

    return _rows(posterior, omega, x)


def m_step(x: Any, q: Any, covariance_type: str = "full", floor: float = 0.0) -> Parameters:
    """The parameters omega that make G(q, omega) = sum_{i,y} q_{i,y} ln P_omega[X = x_i, Y = y] largest.

    With m_y = sum_i q_{i,y} rows for Gaussian y: c_y = m_y / N, mu_y = sum_i q_{i,y} x_i / m_y, and
    Sigma_y = sum_i q_{i,y} (x_i - mu_y)(x_i - mu_y)^T / m_y; tied, their mean weighted by c_y; diagonal, its diagonal;
    spherical, the mean of that. For one Gaussian and q = 1 these are the mean and the covariance of the rows.

    x: floats (N, d). q: responsibilities (N, K), rows that sum to 1. floor: the least variance that is allowed in any
    direction, in squared units of x; smaller ones are raised to it, which is the maximum of G under that condition.
    Raises TypeError and ValueError for a bad argument, ValueError for a Gaussian that is left without rows.
    Erratum: em, maximisation step: printed by name only; right: the formulas above, where the slope of G is zero.
    Source: em:m-step, em:gaussian-mle
    """
    x = door.rows(x, "m_step")
    door.not_negative("m_step", floor=floor)
    shape, q = of_type(covariance_type), door.responsibilities(q, x, None, "m_step")
    width = q.shape[1] * x.shape[1]
    parts = by_blocks(lambda x, q: (q.sum(0), q.T @ x), width, x, q)
    counts, sums = (ordered(part) for part in zip(*parts))
    door.refuse_empty(counts)
    means = sums / counts[:, None]
    scatter = ordered(by_blocks(lambda x, q: shape.scatter(_turned(q), differences(x, means)), width, x, q))
    covariances = shape.mean(scatter, counts)
    if floor:
        covariances = shape.floored(covariances, floor)
    return Parameters(counts / len(x), means, covariances, covariance_type)


def differences(x: Any, means: Any) -> Any:
    """x_i - mu_y as (K, d, n)."""
    return _turned(x) - means[..., None]


def log_of(p: Any) -> Any:
    """ln p, minus infinity at 0, without a complaint."""
    m = xp(p)
    return m.where(p > 0, m.log(m.where(p > 0, p, 1)), -m.inf)


def by_blocks(f: Callable[..., Any], width: int, x: Any, *others: Any) -> list[Any]:
    """[f(rows of x, rows of the others)] for one block of rows after the other, on two threads.

    width: how many numbers f makes of a row. The blocks follow from the sizes alone, so sums of what f returns, taken
    in order, have the same bits on one thread and on two.
    """
    here = xp(x) is np
    size = max(1, (CACHE if here else DEVICE) // width)
    blocks = [slice(start, start + size) for start in range(0, len(x), size)]
    half = (len(blocks) + 1) // 2
    parts = [blocks[:half], blocks[half:]] if here and len(blocks) > 1 else [blocks]
    done = threads.run(lambda part: [f(x[rows], *(a[rows] for a in others)) for rows in part], parts)
    return [result for results in done for result in results]


def _rows(f: Callable[[Any], Any], omega: Parameters, x: Any) -> Any:
    """f(x), an array or a tuple of arrays with as many rows as x, a block at a time."""
    parts, m = by_blocks(f, omega.means.size, x), xp(x)
    if isinstance(parts[0], tuple):
        return tuple(m.concatenate(part) for part in zip(*parts))
    return m.concatenate(parts)


def _log_joint(omega: Parameters) -> Callable[[Any], Any]:
    """The function from rows (n, d) to ln P[X = x_i, Y = y], (K, n)."""
    shape = of_type(omega.covariance_type)
    A, half_log_det = shape.whitener(omega.covariances, omega.means)
    constant = log_of(omega.weights) + half_log_det - omega.means.shape[1] * log(2 * pi) / 2

    def joint(x: Any) -> Any:
        z = shape.whiten(A, differences(x, omega.means))
        return constant[:, None] - (z * z).sum(1) / 2

    return joint


def _turned(a: Any) -> Any:
    """The transpose, laid out anew."""
    return xp(a).ascontiguousarray(a.T)
