"""The four shapes that the covariances of a mixture can have, and what EM needs to know of each.

Inside, data lie as differences from the means, (K, d, n): for each of K Gaussians d numbers of n rows, so that every
sum runs over long stretches of memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import to_numpy, xp


class Matrices:
    """Covariances as matrices: the whole of `full` and `tied` but for how many there are."""

    def scatter(self, q: Any, differences: Any) -> Any:
        """Sum over the rows of q (x - mu)(x - mu)^T for each Gaussian; q: (K, n). Returns (K, d, d)."""
        return (q[:, None] * differences) @ differences.transpose(0, 2, 1)

    def whitener(self, covariances: Any, means: Any) -> tuple[Any, Any]:
        """A with A^T A = Sigma^-1 for each matrix, and ln det A: a Gaussian's -1/2 ln det Sigma."""
        m = xp(covariances)
        inverse = m.linalg.inv(cholesky(covariances))
        return inverse, m.log(m.diagonal(inverse, 0, -2, -1)).sum(-1)

    def whiten(self, A: Any, differences: Any) -> Any:
        """A (x - mu), whose squares sum to (x - mu)^T Sigma^-1 (x - mu)."""
        return A @ differences

    def directions(self, covariances: Any) -> Any:
        """The variances along the main directions, those of each matrix on the last axis."""
        return xp(covariances).linalg.eigvalsh(covariances)

    def floored(self, covariances: Any, least: float) -> Any:
        """The likeliest covariances without any variance below `least`: smaller eigenvalues are raised to it."""
        m = xp(covariances)
        values, vectors = m.linalg.eigh(covariances)
        raised = (vectors * m.maximum(values, least)[..., None, :]) @ vectors.swapaxes(-1, -2)
        return m.where((values < least).any(-1)[..., None, None], raised, covariances)

    def matrices(self, covariances: Any, means: Any) -> Any:
        """A matrix for each Gaussian, (K, d, d)."""
        k, d = means.shape
        return xp(covariances).broadcast_to(covariances, (k, d, d))


class Full(Matrices):
    """A matrix for each Gaussian: covariances (K, d, d)."""

    axes = "(K, d, d)"

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d, d)

    def mean(self, scatter: Any, counts: Any) -> Any:
        return scatter / counts[:, None, None]


class Tied(Matrices):
    """One matrix for all Gaussians: covariances (d, d)."""

    axes = "(d, d)"

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (d, d)

    def mean(self, scatter: Any, counts: Any) -> Any:
        return scatter.sum(0) / counts.sum()


class Variances:
    """Covariances that are zero off the diagonal, as variances: the whole of `diagonal` and most of `spherical`."""

    def scatter(self, q: Any, differences: Any) -> Any:
        """Sum over the rows of q (x - mu)^2 for each Gaussian and each of its d numbers; q: (K, n). Returns (K, d)."""
        return (q[:, None] * differences * differences).sum(-1)

    def each(self, covariances: Any, means: Any) -> Any:
        """A variance for each Gaussian and each of its d numbers, (K, d)."""
        return covariances

    def whitener(self, covariances: Any, means: Any) -> tuple[Any, Any]:
        """1 / sigma, and its ln summed over the d numbers: a Gaussian's -1/2 ln det Sigma."""
        m = xp(covariances)
        variances = self.each(covariances, means)
        _refuse_singular((variances > 0).all(-1))
        inverse = 1 / m.sqrt(variances)
        return inverse[..., None], m.log(inverse).sum(-1)

    def whiten(self, A: Any, differences: Any) -> Any:
        """(x - mu) / sigma."""
        return A * differences

    def directions(self, covariances: Any) -> Any:
        """The variances along the main directions, those of each Gaussian on the last axis."""
        return covariances.reshape(len(covariances), -1)

    def floored(self, covariances: Any, least: float) -> Any:
        """The likeliest covariances without any variance below `least`."""
        return xp(covariances).maximum(covariances, least)

    def matrices(self, covariances: Any, means: Any) -> Any:
        """A matrix for each Gaussian, (K, d, d)."""
        variances = self.each(covariances, means)
        return variances[..., None] * xp(variances).eye(means.shape[1], dtype=variances.dtype)


class Diagonal(Variances):
    """A variance for each Gaussian and each of its d numbers: covariances (K, d)."""

    axes = "(K, d)"

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d)

    def mean(self, scatter: Any, counts: Any) -> Any:
        return scatter / counts[:, None]


class Spherical(Variances):
    """One variance for each Gaussian: covariances (K,)."""

    axes = "(K,)"

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k,)

    def each(self, covariances: Any, means: Any) -> Any:
        return xp(covariances).broadcast_to(covariances[:, None], means.shape)

    def mean(self, scatter: Any, counts: Any) -> Any:
        return scatter.mean(1) / counts


TYPES = {"full": Full(), "tied": Tied(), "diagonal": Diagonal(), "spherical": Spherical()}


def of_type(name: str) -> Any:
    """The shape of that name. Raises ValueError for an unknown one."""
    if not isinstance(name, str) or name not in TYPES:
        raise ValueError(f"covariance_type must be one of {', '.join(TYPES)}, got {name!r}")
    return TYPES[name]


def cholesky(covariances: Any) -> Any:
    """L with L L^T = Sigma for each matrix. Raises ValueError for a singular one."""
    m = xp(covariances)
    try:
        L = m.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        L = covariances * m.nan
    if not m.isfinite(L).all():  # a device says it this way
        smallest = m.linalg.eigvalsh(covariances)[..., 0].reshape(-1)
        _refuse_singular(smallest > smallest.min())
    return L


def _refuse_singular(definite: Any) -> None:
    """ValueError unless it is true of all Gaussians."""
    if not definite.all():
        raise ValueError(
            f"the covariance of Gaussian {int(to_numpy(definite).argmin())} is singular: it has no width in some "
            "direction, as where a Gaussian stands on a single row or x has a constant column; use fewer Gaussians, "
            "another seed or a floor above 0"
        )
