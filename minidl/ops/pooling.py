"""Pooling over windows of an image: the largest, the sum, the mean."""

from __future__ import annotations

from .. import threads
from ..backend import xp
from ..tape import record
from . import fast
from .arithmetic import Divide
from .families import Sum, Winner
from .kernels import offsets, pair
from .moves import im2col, reshape, transpose
from .reduce import amax, total
from .signals import Delta, Pair


def windows_of(x, kernel, stride):
    """The elements of each window on the last axis: (N, OH, OW, C, kh kw)."""
    rows = im2col(x, kernel, stride)
    return reshape(rows, (-1, *rows.shape[1:3], x.shape[1], kernel[0] * kernel[1]))


class _Pool:
    def __init__(self, kernel, stride):
        self.kernel, self.stride = kernel, stride

    def size(self, x):
        """Height and width of the result."""
        size = tuple((n - k) // s + 1 for n, k, s in zip(x.shape[-2:], self.kernel, self.stride, strict=True))
        if min(size) < 1:
            raise ValueError(f"a pooling window of {self.kernel} does not fit an image of {x.shape[-2:]}")
        return size


class MaxPool(_Pool, Winner):
    """The largest element of each window (N, C, H, W) to (N, C, OH, OW). Ties share."""

    fused = True

    def forward(self, x):
        return fast.max_pool(x, self.kernel, self.stride, self.size(x))

    def gradient(self, g, y, x):
        return (lambda: fast.max_pool_back(g, y, x, self.kernel, self.stride),)

    def ties(self, y, x):
        """How many elements of each window are the largest."""
        return sum((x[at] == y) * y.dtype.type(1) for at in offsets(y.shape[-2:], self.kernel, self.stride))

    def shares(self, y, x):
        """The secant's coefficients, place by place in the window."""
        top = xp(y.value).maximum(y.value, y.reference)
        up = (top - y.reference) / self.ties(y.value, x.value)
        rest = 1 / self.ties(y.reference, x.reference)
        down = (y.value - top) * rest
        for at in offsets(y.value.shape[-2:], self.kernel, self.stride):
            first = x.reference[at] == y.reference
            credit = up * (x.value[at] == y.value)
            credit += down * first
            yield at, self.secant(credit, x.value[at] - x.reference[at], rest * first)

    def multiplier(self, m, y, x):
        zeros = xp(x.value).zeros_like
        pos = zeros(x.value)
        neg = pos if m.one else zeros(x.value)

        def work(part):
            for at, s in self.shares(_rows(y, part), _rows(x, part)):
                pos[part][at] += s * m.pos[part]
                if not m.one:
                    neg[part][at] += s * m.neg[part]

        threads.run(work, fast.rows(xp(x.value), x.value))
        return (Pair(pos, neg),)

    def parts(self, y, x):
        pos = neg = 0
        for at, s in self.shares(y, x):
            pos, neg = pos + s * x.parts.pos[at], neg + s * x.parts.neg[at]
        return Pair(pos, neg)

    def simple(self, x):
        """The largest along the last axis of the windows."""
        return transpose(amax(windows_of(x, self.kernel, self.stride), 4), (0, 3, 1, 2))


def _rows(d, part):
    """Some rows of a value beside its reference, which may be one row for all."""
    return Delta(d.value[part], d.reference[part] if len(d.reference) == len(d.value) else d.reference)


class SumPool(_Pool, Sum):
    """The sum of each window."""

    fused = True

    def forward(self, x):
        return sum(x[at] for at in offsets(self.size(x), self.kernel, self.stride))

    def gradient(self, g, y, x):
        return (lambda: self.spread(g, x),)

    def spread(self, g, x):
        """g of each window to all of its elements."""
        image = xp(x).zeros(x.shape, g.dtype)
        for at in offsets(g.shape[-2:], self.kernel, self.stride):
            image[at] += g
        return image

    def simple(self, x):
        """The sum along the last axis of the windows."""
        return transpose(total(windows_of(x, self.kernel, self.stride), 4), (0, 3, 1, 2))


def _sizes(size, stride):
    kernel = pair(size, "size")
    return kernel, kernel if stride is None else pair(stride, "stride")


def max_pool2d(x, size, stride=None):
    """The largest element of each window of (N, C, H, W); stride: the size if not given."""
    return record(MaxPool(*_sizes(size, stride)), x)


def sum_pool2d(x, size, stride=None):
    """The sum of each window of (N, C, H, W)."""
    return record(SumPool(*_sizes(size, stride)), x)


def avg_pool2d(x, size, stride=None):
    """The mean of each window of (N, C, H, W)."""
    kernel, stride = _sizes(size, stride)
    return record(Divide(kernel[0] * kernel[1]), record(SumPool(kernel, stride), x))
