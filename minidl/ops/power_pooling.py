"""Pooling by p-means: between the mean of each window (p = 1) and its largest element (p to infinity)."""

from __future__ import annotations

from numbers import Real

from ..backend import xp
from ..tape import Op, raw, record
from .elementwise import power
from .families import constant
from .kernels import offsets, pair
from .moves import transpose, where
from .pooling import SumPool, windows_of
from .reduce import mean


class PowerMeanPool(Op):
    """y = (mean of x^p over the window)^(1/p), for x >= 0 and p >= 1; (N, C, H, W) to (N, C, OH, OW).

    Powers are taken of x over the window's largest element, or over y: none overflows.
    Erratum: lrp, eq 19: printed that p = 1 is sum pooling; right: it is the mean, which is the sum up to 1/M.
    Source: lrp:eq19
    """

    fused = True

    def __init__(self, kernel, stride, p):
        self.kernel, self.stride, self.p = kernel, stride, p
        self.count = kernel[0] * kernel[1]  # M

    def forward(self, x):
        if (x < 0).any():
            raise ValueError(f"power_mean_pool2d: x must be >= 0, got values from {float(x.min()):.4g}; use relu first")
        w = self.windows(x)
        top = w.max(0)
        return top * ((w / some(top)) ** self.p).mean(0) ** (1 / self.p)

    def gradient(self, g, y, x):
        return (lambda: self.send(g, self.slopes(y, x), x),)

    def relevance(self, r, y, x):
        return (self.send(r, self.shares(x), x),)

    def multiplier(self, m, y, x):
        coefficients = self.secant(y, x)
        return (m.map(lambda a: self.send(a, coefficients, x.value)),)

    def parts(self, y, x):
        coefficients = self.secant(y, x)
        return x.parts.map(lambda a: (coefficients * self.windows(a)).sum(0))

    def slopes(self, y, x):
        """dy/dx = (x/y)^(p-1) / M; where y = 0 the stated subgradient is 0, but for p = 1 the mean's 1/M."""
        return (self.windows(x) / some(y)) ** (self.p - 1) / self.count

    def shares(self, x):
        """x^p over its sum, and 1/M in windows of zeros: nothing is lost. As p grows, all goes to the largest.

        Source: lrp:def4, lrp:eq32
        """
        w = self.windows(x)
        top = w.max(0)
        powers = (w / some(top)) ** self.p + (top == 0)
        return powers / powers.sum(0)

    def secant(self, y, x):
        """Coefficients S >= 0 with sum S (x - x0) = y - y0: the chord of t^p at each element, over M times that at y.

        For M (y^p - y0^p) is the sum of x^p - x0^p, and each of these differences is its chord times a difference.
        """
        m, unit = xp(y.value), some(xp(y.value).maximum(y.value, y.reference))
        value, reference = (self.windows(a) / unit for a in (x.value, x.reference))
        high, low = m.maximum(value, reference), m.minimum(value, reference)
        each = high ** (self.p - 1) * chord(low / some(high), self.p)
        whole = chord(m.minimum(y.value, y.reference) / unit, self.p)
        return each / (whole * self.count)

    def windows(self, x):
        """The elements of each window: (M, N, C, OH, OW)."""
        return xp(x).stack([x[at] for at in self.places(x)])

    def places(self, x):
        """For each of the M places in a window, where it lies in x."""
        return offsets(SumPool(self.kernel, self.stride).size(x), self.kernel, self.stride)

    def send(self, signal, coefficients, x):
        """The signal of each window to its elements by their coefficients: an array in x's shape."""
        image = xp(x).zeros(x.shape, x.dtype)
        for at, c in zip(self.places(x), coefficients):
            image[at] += c * signal
        return image

    def simple(self, x):
        """Powers, their mean, its root. The root has no slope at 0, so windows of zeros stop at the mean."""
        w = windows_of(x, self.kernel, self.stride)
        top = some(raw(w).max(4, keepdims=True))
        s = mean(power(w / top, self.p), 4)
        nothing = raw(s) == 0
        y = where(nothing, s, power(where(nothing, 1.0, s), 1 / self.p)) * top[..., 0]
        return transpose(y, (0, 3, 1, 2))


def some(a):
    """a with 1 in the place of 0, to divide by."""
    return a + (a == 0)


def chord(r, p):
    """(1 - r^p) / (1 - r) for 0 <= r <= 1, the slope of t^p from r to 1, without cancellation; p at r = 1."""
    m = xp(r)
    # above 1/2 the power of r may be close to 1, and its distance from 1 wants expm1
    rise = m.where(r < 0.5, 1 - r**p, -m.expm1(m.log(m.maximum(r, 0.5)) * p))
    return m.where(r == 1, r.dtype.type(p), rise / some(1 - r))


def power_mean_pool2d(x, size, stride=None, p=2.0):
    """The p-mean (mean of x^p)^(1/p) of each window of (N, C, H, W), x >= 0: p = 1 the mean, p to infinity the maximum.

    size, stride: an int or two; the stride is the size if not given. p: a finite number of at least 1.
    The text also takes signed x where p is a natural number; then odd powers cancel, and shares grow without bound.
    Raises ValueError for an x below 0, and for another p.
    Source: lrp:eq19, lrp:def4
    """
    kernel = pair(size, "size")
    stride = kernel if stride is None else pair(stride, "stride")
    return record(PowerMeanPool(kernel, stride, exponent(p, "power_mean_pool2d")), x)


def exponent(p, caller):
    """p as a Python float; ValueError unless it is finite and at least 1."""
    p = constant(p)
    if not isinstance(p, Real) or isinstance(p, bool) or not 1 <= p < float("inf"):
        raise ValueError(f"{caller}: p must be finite and at least 1, got {p!r}; its limit is max pooling")
    return float(p)
