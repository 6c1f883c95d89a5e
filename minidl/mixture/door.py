"""What the functions for mixtures refuse at the door: one sentence with the argument, what came, what was expected."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import is_array, refuse_mixture, to_numpy, xp
from .covariances import Matrices, of_type

if TYPE_CHECKING:
    from .em import Parameters


def rows(x: Any, caller: str) -> Any:
    """x. TypeError or ValueError unless it holds finite floats (N, d)."""
    if not is_array(x):
        raise TypeError(f"{caller}: x must be an array of floats (N, d), got {type(x).__name__}")
    if x.dtype.kind != "f":
        raise TypeError(f"{caller}: x must hold floats, got {x.dtype}; convert it: x.astype(float)")
    if x.ndim != 2 or not x.size:
        remedy = "; rows of one number are x[:, None]" if x.ndim == 1 else ""
        raise ValueError(f"{caller}: x must have shape (N, d), got {x.shape}{remedy}")
    if not xp(x).isfinite(x).all():
        raise ValueError(f"{caller}: x holds NaN or infinite values")
    return x


def rows_for(x: Any, mixture: Any, caller: str) -> tuple[Any, Parameters]:
    """x, checked against the mixture's width, and the mixture's parameters as arrays like x."""
    x, omega = rows(x, caller), getattr(mixture, "parameters", mixture)
    if not hasattr(omega, "covariance_type"):
        raise TypeError(f"{caller}: mixture must be a GaussianMixture or Parameters, got {type(mixture).__name__}")
    refuse_mixture(caller, (x, *omega[:3]))
    omega = omega._replace(**{n: xp(x).asarray(getattr(omega, n), dtype=x.dtype) for n in omega._fields[:3]})
    if x.shape[1] != omega.means.shape[1]:
        raise ValueError(f"{caller}: the mixture is over rows of {omega.means.shape[1]} numbers, x has shape {x.shape}")
    return x, omega


def probabilities(p: Any, caller: str, name: str) -> Any:
    """p. TypeError or ValueError unless it holds floats that are at least 0 and sum to 1 over the last axis."""
    if not is_array(p) or p.dtype.kind != "f":
        came = p.dtype if is_array(p) else type(p).__name__
        raise TypeError(f"{caller}: {name} must be an array of floats, got {came}")
    if p.ndim == 0 or not p.size:
        raise ValueError(f"{caller}: {name} must have probabilities on its last axis, got shape {p.shape}")
    if not (p >= 0).all():  # NaN is not either
        raise ValueError(f"{caller}: {name} must be at least 0 everywhere, got {float(p.min()):.3g}")
    off = float(abs(p.sum(-1) - 1).max())
    if not off <= float(np.finfo(p.dtype).eps) ** 0.5:
        raise ValueError(f"{caller}: {name} must sum to 1 over the last axis, but is off by {off:.3g} somewhere")
    return p


def responsibilities(q: Any, x: Any, k: int | None, caller: str) -> Any:
    """q in x's type. TypeError or ValueError unless it has a row for each of x, and k Gaussians if that is given."""
    shape = getattr(q, "shape", None)
    if shape is not None and (len(shape) != 2 or shape[0] != len(x) or k not in (None, shape[1])):
        raise ValueError(f"{caller}: q must have shape ({len(x)}, {'K' if k is None else k}), got {shape}")
    refuse_mixture(caller, (x, q))
    q = probabilities(q, caller, "q")
    if q.dtype == x.dtype:
        return q
    q = q.astype(x.dtype)
    return q / q.sum(1, keepdims=True)  # what rounded to 1 in the other type does not in this one


def refuse_empty(counts: Any) -> None:
    """ValueError if a Gaussian stands for less than a rounding of one row."""
    counts = to_numpy(counts)
    if not (counts > np.finfo(counts.dtype).eps).all():
        raise ValueError(
            f"m_step: Gaussian {int(counts.argmin())} is left without rows: q gives it {counts.min():.3g} of "
            f"{counts.sum():.6g}; use fewer Gaussians, another seed or start='k-means'"
        )


def refuse_few(x: Any, k: int, caller: str) -> None:
    """ValueError unless x has k rows."""
    if len(x) < k:
        raise ValueError(f"{caller}: x needs at least {k} rows, as many as there are to be groups, got {x.shape}")


def spread(x: Any, caller: str) -> float:
    """The mean variance of x's columns. ValueError if there is none, or none that the type can hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        variance = float(x.var(0).mean())
    if not 0 < variance < float("inf"):
        raise ValueError(
            f"{caller}: the rows of x must differ, and their squares be in the range of {x.dtype}: the mean variance "
            f"of the columns is {variance:.3g}"
        )
    return variance


def positive(caller: str, **sizes: Any) -> None:
    """ValueError unless every size is an int above 0."""
    for name, value in sizes.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{caller}: {name} must be an int of at least 1, got {value!r}")


def not_negative(caller: str, **values: Any) -> None:
    """ValueError unless every value is a finite number of at least 0."""
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < float("inf"):
            raise ValueError(f"{caller}: {name} must be a number of at least 0, got {value!r}")


def parameters(omega: Parameters, caller: str) -> None:
    """ValueError unless weights, means and covariances fit together and are a mixture's."""
    k, d = omega.means.shape if omega.means.ndim == 2 else (0, 0)
    shape = of_type(omega.covariance_type)
    if not k or not d or omega.weights.shape != (k,) or omega.covariances.shape != shape.shape(k, d):
        raise ValueError(
            f"{caller}: weights must be (K,), means (K, d), covariances {shape.axes} for type "
            f"{omega.covariance_type!r}, got {omega.weights.shape}, {omega.means.shape}, {omega.covariances.shape}"
        )
    probabilities(omega.weights, caller, "weights")
    for name in ("means", "covariances"):
        values = getattr(omega, name)
        if not xp(values).isfinite(values).all():
            raise ValueError(f"{caller}: {name} holds NaN or infinite values")
    if isinstance(shape, Matrices):
        off = abs(omega.covariances - omega.covariances.swapaxes(-1, -2))
        if off.max() > float(np.finfo(off.dtype).eps) ** 0.5 * abs(omega.covariances).max():
            raise ValueError(f"{caller}: covariances must be symmetric, but are off by {float(off.max()):.3g}")
    shape.whitener(omega.covariances, omega.means)  # refuses what is singular
