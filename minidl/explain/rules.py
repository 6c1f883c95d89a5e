"""Rules as data: what a linear operation does with relevance, what a non-linearity does with multipliers.

Relevance rules are written once, on a linear operation's forward and its adjoint in x, so they serve the dense layer,
the convolution and every other linear operation alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..backend import xp
from ..ops.families import Linear, split_weights
from ..ops.rowwise import by_rows
from ..ops.signals import Pair, choose, ratio, split
from .table import ANY

__all__ = ["ANY", "LinearRule", "NonlinearityRule", "alpha_beta", "basic", "epsilon", "rescale", "reveal_cancel"]


class LinearRule:
    """A relevance rule for linear operations: basic(), epsilon(...), alpha_beta(...)."""

    bias = "absorb"

    def __call__(self, op: Linear, r: Any, y: Any, x: Any, W: Any, *b: Any) -> list:
        """Shares of x, W and b, then what the rule kept: stabiliser, undefined."""
        raise NotImplementedError

    def _to_bias(self, op: Linear, share: Any, y: Any, x: Any, W: Any) -> tuple[Any, Any]:
        """The bias's share of relevance: to the inputs (or None), and to the bias (or None)."""
        if self.bias == "absorb":
            return None, share
        return evenly(op, share, y, x, W)


def evenly(op: Linear, share: Any, y: Any, x: Any, W: Any) -> tuple[Any, Any]:
    """Relevance of each output, spread evenly over the inputs that it reads: share / n to each of n inputs.

    Returns what goes to x, and what stays with the bias: that of outputs that read padding only (None if none do).

    This is eq 5's b/V for every unit: in a dense layer V is the number of inputs, in a convolution the number of
    pixels in the receptive field, padding not counted.
    Erratum: lrp, after eq 57: printed that the bias's share "can be redistributed", not how; here evenly, as in eq 5.
    Source: lrp:bias-redistribution, lrp:eq5
    """
    one, reads = xp(x).ones_like(x), xp(W).ones_like(W)
    each, left = ratio(share, op.forward(one, reads))
    return op.adjoint(each, y, x, reads), left


@dataclass(frozen=True)
class Epsilon(LinearRule):
    """Proportional shares z_ij / (z_j + eps), the stabiliser with the sign of z_j, and sign(0) = +1.

    With eps = 0 the basic rule: exact proportions, and where z_j = 0 the relevance is undefined and said to be.
    For R_j > 0 and z_j > 0 a larger positive z_ij gets no smaller share.
    Source: lrp:ordering
    """

    eps: float = 0.0
    bias: str = "absorb"

    def __call__(self, op, r, y, x, W, *b):
        q, stabiliser, undefined = by_rows(self.shares, r, y)
        rx = x * op.adjoint(q, y, x, W)
        if not b:
            return [rx, None, stabiliser, undefined]
        more, rb = self._to_bias(op, q * op.spread(b[0], y), y, x, W)
        return [rx if more is None else rx + more, None, rb, stabiliser, undefined]

    def shares(self, r, y):
        """Relevance for a unit of contribution, and what the stabiliser keeps; what is undefined."""
        if not self.eps:
            q, undefined = ratio(r, y)
            return q, None, undefined
        eps = y.dtype.type(self.eps)
        stabiliser = (y >= 0) * (2 * eps) - eps  # a select would take five times as long
        q = r / (y + stabiliser)
        return q, stabiliser * q, None


@dataclass(frozen=True)
class AlphaBeta(LinearRule):
    """alpha z+_ij / z+_j + beta z-_ij / z-_j with alpha + beta = 1: positive and negative contributions apart.

    Where a unit has no positive (negative) contribution at all, its share alpha R_j (beta R_j) has nowhere to go and
    is accounted for as undefined; eq 61 presumes that both sums are there.
    """

    alpha: float
    beta: float
    bias: str = "absorb"

    def __call__(self, op, r, y, x, W, *b):
        (P, N), (up, down) = split_weights(W), (split(x).pos, split(x).neg)
        signed = bool((x < 0).any())  # behind a ReLU half of the work is zero

        def side(share, of_up, of_down, bias):
            """One sign of contributions: what it sends to x, to the bias, and what finds no way."""
            z = op.forward(up, of_up) + (op.forward(down, of_down) if signed else 0)
            z = z if bias is None else z + bias
            q, undefined = ratio(share * r, z)
            rx = up * op.adjoint(q, y, x, of_up)
            rx = rx + down * op.adjoint(q, y, x, of_down) if signed else rx
            return rx, None if bias is None else q * bias, undefined

        bias = split(op.spread(b[0], y)) if b else Pair(None, None)
        sides = [side(self.alpha, P, N, bias.pos)] if self.alpha else []
        sides += [side(self.beta, N, P, bias.neg)] if self.beta else []
        rx, rb, undefined = (_sum(shares) for shares in zip(*sides, strict=True))
        if not b:
            return [rx, None, None, undefined]
        more, rb = self._to_bias(op, rb, y, x, W)
        return [rx if more is None else rx + more, None, rb, None, undefined]


def _sum(shares):
    present = [s for s in shares if s is not None]
    return sum(present[1:], present[0]) if present else None


def basic(bias: str = "absorb") -> LinearRule:
    """Proportional shares R_{i<-j} = z_ij / z_j R_j; the bias takes b_j / z_j R_j.

    bias: "absorb" (eq 57), or "redistribute" evenly over the inputs that the unit reads. For R_j > 0 and a positive
    total, a larger positive contribution gets no smaller message.
    Erratum: lrp, eqs 55 and 57: printed that conservation must hold, then broken by b; right with what b absorbs.
    Erratum: lrp, eq 56: undefined where z_j = 0; a relevance that meets it is accounted for as undefined.
    Source: lrp:eq56, lrp:eq50
    """
    return Epsilon(0.0, _bias(bias))


def epsilon(eps: float = 1e-6, bias: str = "absorb") -> LinearRule:
    """Proportional shares with a stabiliser: z_ij / (z_j + eps sign(z_j)) R_j, sign(0) = +1; eps absorbs its share.

    eps: greater than 0, in the units of z_j. bias as in `basic`.
    Source: lrp:eq58
    """
    if not 0 < eps < float("inf"):
        raise ValueError(
            f"epsilon: eps must be greater than 0 and finite, got {eps!r}; without a stabiliser use basic()"
        )
    return Epsilon(float(eps), _bias(bias))


def alpha_beta(alpha: float = 0.5, beta: float = 0.5, bias: str = "absorb") -> LinearRule:
    """alpha times the positive contributions' proportions plus beta times the negative ones'; alpha + beta = 1.

    The text's example is (1/2, 1/2); (2, -1) is common. bias as in `basic`.
    Erratum: lrp, eqs 60 and 61: presume that z+ and z- are both there; a unit that lacks one passes on only the other's
    share, and the rest is accounted for as undefined.
    Source: lrp:eq60
    """
    if not abs(alpha + beta - 1) <= 1e-12:
        raise ValueError(
            f"alpha_beta: alpha + beta must be 1, got {alpha} + {beta} = {alpha + beta}; "
            "where a text writes alpha - beta = 1, pass its beta with a minus"
        )
    return AlphaBeta(float(alpha), float(beta), _bias(bias))


def _bias(bias: str) -> str:
    if bias not in ("absorb", "redistribute"):
        raise ValueError(f'bias must be "absorb" or "redistribute", got {bias!r}')
    return bias


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
    if near_zero is not None and not near_zero >= 0:
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
