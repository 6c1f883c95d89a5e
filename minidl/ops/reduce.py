"""Reductions: sum, mean, maximum, and the softmax family."""

from __future__ import annotations

from math import prod

from ..backend import xp
from ..tape import Op, Tensor, raw, record
from .arithmetic import gate, negate, shift
from .elementwise import exp, log, power
from .families import Sum, Winner, beside
from .moves import axis_of, broadcast_to, reshape
from .signals import Delta

LOGIT = "explain the logit (the layer before it), or pass expand=True to go through its parts"


class SumOver(Sum):
    """Sum over some axes; None means all."""

    def __init__(self, axis):
        self.axis = axis

    def forward(self, x):
        return x.sum(self.axis)

    def gradient(self, g, y, x):
        return (lambda: spread(g, x, self.axis),)


class MeanOver(SumOver):
    """Mean over some axes: the sum of its n terms x / n."""

    def __init__(self, axis, n):
        self.axis, self.n = axis, n

    def forward(self, x):
        return x.sum(self.axis) / self.n

    def gradient(self, g, y, x):
        return (lambda: spread(g / self.n, x, self.axis),)


class MaxOver(Winner):
    """Largest element along some axes. Ties share."""

    def __init__(self, axis):
        self.axis = axis

    def forward(self, x):
        return x.max(self.axis)

    def winners(self, y, x):
        """What share each element has in the maximum: 1 for a single winner, 1/n for n of them, else 0."""
        won = raw(x) == keep(raw(y), x, self.axis)
        return won / won.sum(self.axis, keepdims=True).astype(x.dtype)

    def gradient(self, g, y, x):
        return (lambda: keep(g, x, self.axis) * self.winners(y, x),)

    def shares(self, y: Delta, x: Delta):
        """The secant's coefficients, in [0, 1]."""

        def spread(a):
            return keep(a, x.value, self.axis)

        top = xp(y.value).maximum(y.value, y.reference)
        rest = self.winners(y.reference, x.reference)
        credit = spread(top - y.reference) * self.winners(y.value, x.value) + spread(y.value - top) * rest
        return self.secant(credit, x.diff, rest)

    def multiplier(self, m, y, x):
        s = self.shares(y, x)
        return (m.map(lambda a: s * keep(a, x.value, self.axis)),)

    def parts(self, y, x):
        s = self.shares(y, x)
        return x.parts.map(lambda a: (s * a).sum(self.axis))


class Maximum(Winner):
    """The larger of a and b, element by element. Ties share."""

    def forward(self, a, b):
        return xp(a, b).maximum(a, b)

    def winners(self, y, a, b):
        """The shares of a and of b in the maximum."""
        y, a, b = raw(y), raw(a), raw(b)
        share_a = (a == y) / ((a == y) * 1 + (b == y)).astype(y.dtype)
        return share_a, 1 - share_a

    def gradient(self, g, y, a, b):
        of_a, of_b = self.winners(y, a, b)
        return lambda: g * of_a, lambda: g * of_b

    def shares(self, y, a, b):
        """The secant's coefficients for a and for b, each in [0, 1]."""
        top = xp(y.value).maximum(y.value, y.reference)
        won = self.winners(y.value, a.value, b.value)
        rest = self.winners(y.reference, a.reference, b.reference)
        return [
            self.secant((top - y.reference) * w + (y.value - top) * w0, i.diff + 0 * y.value, w0)
            for i, w, w0 in zip((a, b), won, rest, strict=True)
        ]

    def multiplier(self, m, y, a, b):
        return [m * s for s in self.shares(y, a, b)]

    def parts(self, y, a, b):
        of_a, of_b = self.shares(y, a, b)
        return a.parts * of_a + b.parts * of_b


class LogSumExp(Op):
    """y = ln sum e^x along one axis, computed without overflow."""

    advice = LOGIT

    def __init__(self, axis):
        self.axis = axis

    def forward(self, x):
        top = x.max(self.axis, keepdims=True)
        return xp(x).log(xp(x).exp(x - top).sum(self.axis)) + keep(top, x, self.axis, drop=True)

    def gradient(self, g, y, x):
        return (keep(g, x, self.axis) * exp(x - keep(y, x, self.axis)),)

    def simple(self, x):
        """ln of the sum of exponentials, shifted by the largest."""
        top = amax(x, self.axis, keepdims=True)  # taken anew on a reference, which may be far away
        return log(total(exp(shift(x, -top)), self.axis)) + amax(x, self.axis)


class Softmax(Op):
    """y = e^x / sum e^x along one axis."""

    advice = LOGIT

    def __init__(self, axis):
        self.axis = axis

    def forward(self, x):
        e = xp(x).exp(x - x.max(self.axis, keepdims=True))
        return e / e.sum(self.axis, keepdims=True)

    def gradient(self, g, y, x):
        return (y * (g - keep(total(g * y, self.axis), x, self.axis)),)

    def simple(self, x):
        """Exponentials divided by their sum, which is the gate of each."""
        e = exp(shift(x, -amax(x, self.axis, keepdims=True)))  # taken anew on a reference, which may be far away
        return gate(e, power(keep(total(e, self.axis), x, self.axis), -1))


class SoftmaxCrossEntropy(Op):
    """Loss of each row, (N,): minus the log softmax of logits (N, C) at integer labels (N,); or their mean, ()."""

    fused = True
    advice = LOGIT

    def __init__(self, labels, mean=False):
        self.labels, self.mean = labels, mean
        self._last = (None,)

    def exponentials(self, z):
        """z less its largest, e to that, and the sums over the classes. Remembered for the last z."""
        if self._last[0] is not z:
            d = z - z.max(1, keepdims=True)
            e = xp(z).exp(d)
            self._last = z, d, e, e.sum(1)
        return self._last[1:]

    def forward(self, z):
        d, _, s = self.exponentials(z)
        rows = xp(z).log(s) - self.at_label(d)
        return rows.sum() / len(z) if self.mean else rows

    def gradient(self, g, y, z):
        _, e, s = self.exponentials(z)
        g = g / len(z) if self.mean else g
        p = e * (g / s)[:, None]
        p[xp(z).arange(len(z)), self.labels] -= g
        return (p,)

    def at_label(self, z):
        """The logits of the labels."""
        return z[xp(raw(z)).arange(z.shape[0]), self.labels]

    def simple(self, z):
        """The composed form: logsumexp minus the label's logit."""
        rows = logsumexp(z, 1) - self.at_label(z)
        return mean(rows) if self.mean else rows


MAXIMUM = Maximum()


def axes_of(x, axis):
    """The axes as non-negative ints; None means all."""
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(axis_of(x, a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))


def keep(y, x, axis, drop=False):
    """y, reduced from x over the axes, with these axes put back as length 1 (or taken away with drop)."""
    axes = axes_of(x, axis)
    if drop:
        return y.reshape(tuple(n for k, n in enumerate(x.shape) if k not in axes))
    lead = y.shape[: y.ndim - (x.ndim - len(axes))]  # one reference row against a whole batch has none
    rest = iter(y.shape[len(lead) :])
    return reshape(y, lead + tuple(1 if k in axes else next(rest) for k in range(x.ndim)))


def spread(g, x, axis):
    """g, of a reduction of x, for every element of x."""
    g = keep(g, x, axis)
    if isinstance(g, Tensor):
        return broadcast_to(g, x.shape)
    shares = xp(g).empty(x.shape, g.dtype)
    shares[...] = g
    return shares


def total(x, axis=None, keepdims=False):
    """Sum over axes: an int, a tuple, or None for all."""
    y = record(SumOver(axis if axis is None else axes_of(x, axis)), x)
    return keep(y, x, axis) if keepdims else y


def mean(x, axis=None, keepdims=False):
    """Mean over axes: the sum divided by their number."""
    axes = axes_of(x, axis)
    y = record(MeanOver(None if axis is None else axes, prod(x.shape[a] for a in axes)), x)
    return keep(y, x, axis) if keepdims else y


def amax(x, axis=None, keepdims=False):
    """Largest element over axes."""
    y = record(MaxOver(axes_of(x, axis)), x)
    return keep(y, x, axis) if keepdims else y


def maximum(a, b):
    """The larger of a and b."""
    return record(MAXIMUM, *beside(a, b))


def minimum(a, b):
    """The smaller of a and b."""
    return negate(maximum(negate(a), negate(b)))


def logsumexp(x, axis=-1):
    """ln of the sum of e^x along an axis."""
    return record(LogSumExp(axis_of(x, axis)), x)


def softmax(x, axis=-1):
    """e^x over its sum along an axis."""
    return record(Softmax(axis_of(x, axis)), x)


def softmax_cross_entropy(logits, labels, mean=False):
    """Minus the log probability of each row's label: logits (N, C), integer labels (N,), result (N,) in nats.

    mean: one number, the mean over the rows.
    """
    return record(SoftmaxCrossEntropy(labels, mean), logits)
