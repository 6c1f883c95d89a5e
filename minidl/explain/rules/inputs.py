"""Relevance rules for the layer that reads the input: pixels between bounds, or no regard to the input at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backend import is_array, to_numpy, xp
from ...ops.families import split_weights
from .linear import LinearRule, Side, checked_bias, one_row, ones


@dataclass(frozen=True)
class Bounded(LinearRule):
    """Contributions against the worst input possible: z_ij = x_i w_ij - l_i w+_ij - h_i w-_ij, never negative."""

    low: Any
    high: Any
    bias: str = "ignore"

    def sides(self, r, z, x, W, bias):
        low, high = (bound(value, x, name) for value, name in ((self.low, "low"), (self.high, "high")))
        if (x < low).any() or (x > high).any():
            raise ValueError(
                f"z_bounded: x must lie between low and high, got values in {float(x.min()):.4g}..{float(x.max()):.4g}"
            )
        P, N = split_weights(W)
        return [Side(r, [(x, W), (-low, P), (-high, N)], bias)]


def bound(value, x, name):
    """A bound as one row that stands for all rows of x, or as an array like x."""
    m = xp(x)
    value = value if is_array(value) else m.asarray(np.asarray(value))
    value = value.astype(x.dtype)
    each = value.ndim == x.ndim and value.shape[0] != 1  # rows with bounds of their own
    try:
        return m.broadcast_to(value, x.shape if each else one_row(x)) + x.dtype.type(0)
    except ValueError:
        raise ValueError(f"z_bounded: {name} must broadcast to the shape of x, {x.shape}; got {value.shape}") from None


@dataclass(frozen=True)
class Flat(LinearRule):
    """Every input that a unit reads counts alike."""

    bias: str = "ignore"

    def sides(self, r, z, x, W, bias):
        return [Side(r, [(ones(x), xp(W).ones_like(W))], bias)]


@dataclass(frozen=True)
class Squares(LinearRule):
    """Every input counts by its squared weight, whatever its value: z_ij = w_ij^2."""

    bias: str = "ignore"

    def sides(self, r, z, x, W, bias):
        return [Side(r, [(ones(x), W * W)], bias)]


def z_bounded(low: Any = 0.0, high: Any = 1.0, bias: str = "ignore") -> LinearRule:
    """For inputs between known bounds, such as pixels (zB): (x_i w_ij - l_i w+_ij - h_i w-_ij) / z_j R_j.

    low, high: numbers, or arrays that broadcast to x, in its units, with low <= x <= high. A black pixel gets relevance
    too, for it could have been white. bias as in `basic`. Raises TypeError and ValueError for bounds that are no
    finite numbers with low <= high, and ValueError, when it is used, for x outside them.
    """
    lowest, highest = (finite(value, name) for value, name in ((low, "low"), (high, "high")))
    if (lowest > highest).any():
        raise ValueError(f"z_bounded: low must not be above high, got {low!r} and {high!r}")
    return Bounded(low, high, checked_bias(bias))


def finite(value: Any, name: str) -> np.ndarray:
    """A bound as NumPy numbers, to look at."""
    value = to_numpy(value)
    if value.dtype.kind not in "iuf":
        raise TypeError(f"z_bounded: {name} must be a number or an array of numbers, got {value.dtype}")
    if not np.isfinite(value).all():
        raise ValueError(f"z_bounded: {name} holds NaN or infinite values")
    return value


def flat() -> LinearRule:
    """Spread evenly over all inputs that a unit reads, padding not counted: a heatmap as coarse as the layer."""
    return Flat()


def w_squared() -> LinearRule:
    """In proportion to the squared weights, w_ij^2 / sum_i w_ij^2 R_j, for inputs that know neither zero nor bounds."""
    return Squares()
