"""What travels on the tape in the multiplier pass: pairs of parts, and values beside their references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import xp


class Pair:
    """Positive and negative part: of a difference from the reference (forward), or a multiplier for each (backward).

    Until a RevealCancel parts them, a pair of multipliers is one array under two names (`pos is neg`), and every
    operation below costs what a gradient costs.
    Source: deeplift:positive-negative
    """

    __slots__ = ("neg", "pos")

    def __init__(self, pos: Any, neg: Any):
        self.pos, self.neg = pos, neg

    shape = property(lambda self: self.pos.shape)
    ndim = property(lambda self: self.pos.ndim)
    one = property(lambda self: self.pos is self.neg, doc="Whether both parts are one array.")

    def map(self, f: Callable[[Any], Any]) -> Pair:
        """f of each part; f must be linear with coefficients that are not negative, or a move."""
        pos = f(self.pos)
        return Pair(pos, pos if self.one else f(self.neg))

    def sum(self, axes: tuple[int, ...], keepdims: bool) -> Pair:
        return self.map(lambda a: a.sum(axes, keepdims=keepdims))

    def reshape(self, shape: tuple[int, ...]) -> Pair:
        return self.map(lambda a: a.reshape(shape))

    def __add__(self, other: Pair) -> Pair:
        pos = self.pos + other.pos
        return Pair(pos, pos if self.one and other.one else self.neg + other.neg)

    def __mul__(self, s: Any) -> Pair:
        """Times a coefficient for each element; below zero it swaps the parts."""
        if self.one:
            return self.map(lambda a: a * s)
        if hasattr(s, "dtype") and s.dtype.kind == "b":
            s = s.astype(self.pos.dtype)
        m = xp(s, self.pos)
        up, down = (max(s, 0), min(s, 0)) if isinstance(s, (int, float)) else (m.maximum(s, 0), m.minimum(s, 0))
        return Pair(self.pos * up + self.neg * down, self.neg * up + self.pos * down)


class Delta:
    """A value beside its reference; `parts` is set only where a rule below will ask for it."""

    __slots__ = ("parts", "reference", "value")

    def __init__(self, value: Any, reference: Any, parts: Pair | None = None):
        self.value, self.reference, self.parts = value, reference, parts

    diff = property(lambda self: self.value - self.reference, doc="Difference from the reference.")

    @property
    def middle(self) -> Any:
        """Halfway between reference and value: what multiplies a partner's difference in a product."""
        return self.reference + (self.value - self.reference) * 0.5


def constant(value: Any) -> Delta:
    """A value that is its own reference: parameters, masks, numbers."""
    zero = value * 0
    return Delta(value, value, Pair(zero, zero))


def split(d: Any) -> Pair:
    """The positive and the negative elements of a difference."""
    m = xp(d)
    return Pair(m.maximum(d, 0), m.minimum(d, 0))


def choose(mask: Any, a: Any, b: Any) -> Any:
    """a where the mask holds, else b: by arithmetic, which takes a fifth of the time of a select, if all is finite."""
    m = xp(mask)
    return a * mask + b * ~mask if m.isfinite(a).all() and m.isfinite(b).all() else m.where(mask, a, b)


def ratio(r: Any, z: Any) -> tuple[Any, Any]:
    """r / z with 0 where z is 0, and the r that has nowhere to go there (None if there is none).

    The proportional rule divides a unit's relevance r by its total z; where z = 0, or so near that r / z is no number
    any more, no proportion exists, so that share is accounted for as undefined, never NaN and never dropped.
    """
    nothing = abs(z) <= abs(r) * xp(z).finfo(z.dtype).tiny
    if not nothing.any():
        return r / z, None
    return r / choose(nothing, z.dtype.type(1), z) * ~nothing, r * nothing
