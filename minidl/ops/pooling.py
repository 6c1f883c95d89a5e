"""Pooling over windows of an image: the largest, the sum, the mean."""

from __future__ import annotations

from ..backend import xp
from ..tape import record
from . import fast
from .arithmetic import Divide
from .families import Sum, Winner
from .kernels import offsets, pair
from .moves import im2col, reshape, transpose
from .reduce import amax, total
from .rowwise import by_rows
from .signals import Pair


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

    def places(self, y, x):
        """For each place in a window: where it is, its elements, and what share each has in the maximum."""
        places = list(offsets(y.shape[-2:], self.kernel, self.stride))
        values = [x[at].copy("K") for at in places]  # one jump through memory for all that follows
        won = [(v == y).astype(y.dtype) for v in values]
        each = 1 / sum(won[1:], won[0])
        return zip(places, values, (w * each for w in won), strict=True)

    def shares(self, y, x):
        """The secant's coefficients, place by place in the window."""
        top = xp(y.value).maximum(y.value, y.reference)
        up, down = top - y.reference, y.value - top
        pairs = zip(self.places(y.value, x.value), self.places(y.reference, x.reference), strict=True)
        for (at, value, won), (_, reference, first) in pairs:
            credit = up * won
            credit += down * first
            yield at, self.secant(credit, value - reference, first)

    def multiplier(self, m, y, x):
        return (by_rows(self.back, x, y, m),)

    def back(self, x, y, m):
        """The multipliers of x from those of y."""
        zeros = xp(x.value).zeros_like
        pos = zeros(x.value)
        neg = pos if m.one else zeros(x.value)
        for at, s in self.shares(y, x):
            pos[at] += s * m.pos
            if not m.one:
                neg[at] += s * m.neg
        return Pair(pos, neg)

    def parts(self, y, x):
        pos = neg = 0
        for at, s in self.shares(y, x):
            pos, neg = pos + s * x.parts.pos[at], neg + s * x.parts.neg[at]
        return Pair(pos, neg)

    def simple(self, x):
        """The largest along the last axis of the windows."""
        return transpose(amax(windows_of(x, self.kernel, self.stride), 4), (0, 3, 1, 2))


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
