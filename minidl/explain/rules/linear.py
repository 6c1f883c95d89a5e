"""What a linear operation does with relevance: a rule says what counts as a contribution, and nothing else.

A rule parts the relevance of the units into sides, each with its terms (a, V): the numbers a_i V_ij are what counts as
contributions of input i to unit j. The basic rule has one side with the one term (x, W). Each side is sent in
proportion, by the operation's own forward and its adjoint in x, so one text serves the dense layer, the convolution
and every other linear operation.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any, NamedTuple

from ...backend import xp
from ...ops.families import Linear
from ...ops.rowwise import by_rows
from ...ops.signals import ratio

BIASES = ("absorb", "redistribute", "ignore")


class Side(NamedTuple):
    """Relevance r and the terms along which it goes, with the bias among them; z: the sum of all, where it is known."""

    r: Any
    terms: list
    bias: Any = None
    z: Any = None

    def send(self, op: Linear, x: Any, y: Any, eps: float) -> tuple:
        """Shares of x and of the bias, then what the rule kept: stabiliser, undefined."""
        z = self.z
        if z is None:
            z = add_up(op.forward(a, V) for a, V in self.terms)
            z = z if self.bias is None else z + self.bias
        q, stabiliser, undefined = by_rows(lambda r, z: proportions(r, z, eps), self.r, z)
        rx = add_up(a * op.adjoint(q, y, x, V) for a, V in self.terms)
        return rx, None if self.bias is None else q * self.bias, stabiliser, undefined


def proportions(r: Any, z: Any, eps: float) -> tuple:
    """Relevance for a unit of contribution, r / (z + eps), then what goes to the stabiliser and what is undefined.

    The stabiliser has the sign of z, and sign(0) = +1. Without one, relevance that meets z = 0 is undefined; so it is
    with one that is next to nothing in the type of z.
    """
    if not eps:
        q, undefined = ratio(r, z)
        return q, None, undefined
    info = xp(z).finfo(z.dtype)
    small = float(info.tiny) ** 0.5
    if not small < eps < 1 / small:  # r / eps or eps r / eps may leave the type
        towards = z + ((z >= 0) * 2.0 - 1.0).astype(z.dtype) * z.dtype.type(min(eps, float(info.max) / 4))
        q, undefined = ratio(r, towards)
        return q, r - q * z - (0 if undefined is None else undefined), undefined
    eps = z.dtype.type(eps)
    stabiliser = (z >= 0) * (2 * eps) - eps  # a select would take five times as long
    q = r / (z + stabiliser)
    return q, stabiliser * q, None


class LinearRule:
    """A relevance rule for linear operations: basic(), epsilon(...), alpha_beta(...), gamma(...) and their kin."""

    bias = "absorb"
    eps = 0.0

    def sides(self, r: Any, z: Any, x: Any, W: Any, bias: Any) -> list[Side]:
        """How the relevance r of the units z = A(x; W) + bias is parted; bias is None where there is none."""
        raise NotImplementedError

    def __call__(self, op: Linear, r: Any, y: Any, x: Any, W: Any, *b: Any) -> list:
        """Shares of x, W and b, then what the rule kept: stabiliser, undefined."""
        bias, z = op.spread(b[0], y) if b else None, y
        if b and self.bias == "ignore":
            bias, z = None, op.forward(x, W)
        sent = [side.send(op, x, y, self.eps) for side in self.sides(r, z, x, W, bias)]
        rx, rb, stabiliser, undefined = (add_up(shares) for shares in zip(*sent, strict=True))
        if rb is not None and self.bias == "redistribute":
            more, rb = evenly(op, rb, y, x, W)
            rx = rx + more
        return [rx, None, *([rb] if b else []), stabiliser, undefined]


def add_up(shares: Iterable[Any]) -> Any:
    """The sum of those that are not None; None if all are."""
    present = [s for s in shares if s is not None]
    return sum(present[1:], present[0]) if present else None


def evenly(op: Linear, share: Any, y: Any, x: Any, W: Any) -> tuple[Any, Any]:
    """Relevance of each output, spread evenly over the inputs that it reads: share / n to each of n inputs.

    Returns what goes to x, and what stays with the bias: that of outputs that read padding only (None if none do).

    This is eq 5's b/V for every unit: in a dense layer V is the number of inputs, in a convolution the number of
    pixels in the receptive field, padding not counted.
    Erratum: lrp, after eq 57: printed that the bias's share "can be redistributed", not how; here evenly, as in eq 5.
    Source: lrp:bias-redistribution, lrp:eq5
    """
    one, reads = ones(x), xp(W).ones_like(W)
    each, left = ratio(share, op.forward(one, reads))
    return op.adjoint(each, y, x, reads), left


def ones(x: Any) -> Any:
    """One row of ones, which stands for all rows of x."""
    return xp(x).ones(one_row(x), x.dtype)


def one_row(x: Any) -> tuple[int, ...]:
    """The shape of an array that stands for all rows of x."""
    return (1, *x.shape[1:]) if x.ndim > 1 else x.shape


def refuse_no_number(rule: str, **settings: Any) -> None:
    """TypeError if a setting of a rule, by its name, is no number."""
    for name, value in settings.items():
        if not isinstance(value, Real) or isinstance(value, bool):
            raise TypeError(f"{rule}: {name} must be a number, got {value!r}")


def checked_bias(bias: str) -> str:
    """The bias mode; ValueError for another word."""
    if bias not in BIASES:
        raise ValueError(f"bias must be one of {', '.join(map(repr, BIASES))}, got {bias!r}")
    return bias
