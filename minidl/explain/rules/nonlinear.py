"""What a non-linearity of one input does with multipliers: Rescale, or RevealCancel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...backend import xp
from ...ops.signals import Pair, choose
from .linear import refuse_no_number


class NonlinearityRule:
    """A multiplier rule for non-linearities of one input: rescale(), reveal_cancel()."""

    needs_parts = False

    def multiplier(self, op: Any, m: Pair, y: Any, x: Any, *parameters: Any) -> Pair:
        """The multiplier of x from that of y = f(x)."""
        raise NotImplementedError

    def parts(self, op: Any, y: Any, x: Any, *parameters: Any) -> Pair:
        """The positive and the negative part of y's difference from its reference."""
        raise NotImplementedError


@dataclass(frozen=True)
class Rescale(NonlinearityRule):
    """One slope for both parts: dy / dx, and the derivative at the reference where dx vanishes."""

    near_zero: float | None = None

    def slope(self, op, y, x, *parameters):
        """dy / dx, and the derivative at the reference where that quotient has lost its digits."""
        d = x.diff
        if self.near_zero is not None:
            near = abs(d) <= self.near_zero
        else:
            near = d == 0
            if not op.kinked:  # there both dx and dy are what is left of two numbers that nearly cancel
                limit = float(xp(d).finfo(d.dtype).eps) ** 0.5
                near = near | ((abs(d) <= limit) & (abs(y.diff) <= limit * (abs(y.value) + abs(y.reference))))
        if not near.any():
            return y.diff / d
        at_rest = op.slope(y.reference, x.reference, *[p.reference for p in parameters])
        return choose(near, at_rest, y.diff / choose(near, d.dtype.type(1), d))

    def multiplier(self, op, m, y, x, *parameters):
        return m * self.slope(op, y, x, *parameters)

    def parts(self, op, y, x, *parameters):
        return x.parts * self.slope(op, y, x, *parameters)


@dataclass(frozen=True)
class RevealCancel(NonlinearityRule):
    """The two parts of dx as two players: each gets its impact averaged over both orders, its Shapley value."""

    needs_parts = True

    def parts(self, op, y, x, *parameters):
        p, n = x.parts.pos, x.parts.neg
        more = [q.value for q in parameters]
        up, down = op.forward(x.reference + p, *more), op.forward(x.reference + n, *more)
        # both parts together give y itself: with f(x0 + p + n) in its place the sum would be off by a rounding
        return Pair(
            0.5 * (up - y.reference) + 0.5 * (y.value - down),
            0.5 * (down - y.reference) + 0.5 * (y.value - up),
        )

    def multiplier(self, op, m, y, x, *parameters):
        p, n = x.parts.pos, x.parts.neg
        more, m_ = [q.value for q in parameters], xp(p)
        tiny = float(m_.finfo(p.dtype).eps) * (abs(x.reference) + p - n)

        def slope(at):
            return op.slope(op.forward(at, *more), at, *more)

        def quotient(impact, part, other):
            near = abs(part) <= tiny
            if not near.any():
                return impact / part
            limit = 0.5 * slope(x.reference + 0 * part) + 0.5 * slope(x.reference + other)
            return choose(near, limit, impact / choose(near, part.dtype.type(1), part))

        impact = self.parts(op, y, x, *parameters)
        return Pair(m.pos * quotient(impact.pos, p, n), m.neg * quotient(impact.neg, n, p))


def rescale(near_zero: float | None = None) -> NonlinearityRule:
    """m = dy / dx for both parts.

    near_zero: |dx| up to which the derivative at the reference stands in for the quotient. None: only 0 itself, and for
    smooth functions where dy has lost half of its digits too, so that summation-to-delta is exact; 1e-7 reproduces the
    published code, which loses up to that much.
    Source: deeplift:rescale-rule
    """
    if near_zero is not None:
        refuse_no_number("rescale", near_zero=near_zero)
        if not near_zero >= 0:
            raise ValueError(f"rescale: near_zero must be at least 0, got {near_zero!r}")
    return Rescale(near_zero)


def reveal_cancel() -> NonlinearityRule:
    """Separate multipliers for the positive and the negative part of dx: the Shapley values of the two.

    Where a part is 0 its multiplier is the limit: the mean of the slopes at x0 and at x0 + the other part.
    It evaluates f away from x and x0, so functions that do not live on the whole line (log, sqrt) take Rescale.
    Erratum: deeplift, section 3.2: printed m = C / dx, which says nothing of dx = 0; each rule here takes its limit.
    Source: deeplift:revealcancel-rule
    """
    return RevealCancel()
