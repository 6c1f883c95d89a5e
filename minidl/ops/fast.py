"""Fast kernels on plain arrays, away from what is read. Each has its slow twin as oracle.

A convolution gathers the patches of a few images as columns (C kh kw, images OH OW) that fit the processor's cache
and multiplies them with the kernels in one product; two threads take half of a large batch each. The results lie in
memory as (channels, N, H, W) behind an (N, channels, H, W) view: the next layer's gather does not mind, and nothing
is transposed on the way.
"""

from __future__ import annotations

import numpy as np

from .. import threads
from ..backend import xp
from .kernels import offsets, unfold

CACHE = 1 << 18  # numbers in one block of columns: one to two megabytes
LARGE = 2e7  # multiplications from which a second thread pays


def halves(m, n, each, work):
    """The images 0..n as lists of blocks, one list for each thread. Fixed by the sizes alone."""
    if m is not np:
        return [[slice(0, n)]]
    size = max(1, CACHE // each)
    cuts = [(0, n)] if n < 2 or work < LARGE else [(0, (n + 1) // 2), ((n + 1) // 2, n)]
    return [[slice(i, min(i + size, stop)) for i in range(start, stop, size)] for start, stop in cuts]


class Plan:
    """The sizes of one convolution, and its batch in blocks."""

    def __init__(self, shape, W_shape, stride, widths, m):
        (self.n, self.c, h, w), (self.o, _, kh, kw) = shape, W_shape
        (self.top, bottom), (self.left, right) = widths
        self.kernel, self.stride, self.h, self.w = (kh, kw), stride, h, w
        self.padded = (h + self.top + bottom, w + self.left + right)
        self.oh, self.ow = ((a - k) // s + 1 for a, k, s in zip(self.padded, self.kernel, stride, strict=True))
        self.rows, self.pixels = self.c * kh * kw, self.oh * self.ow
        self.halves = halves(m, self.n, self.rows * self.pixels, self.n * self.rows * self.pixels * self.o)

    def pad(self, x):
        """x with its zeros around it, channels first in memory."""
        if self.padded == (self.h, self.w):
            return x
        image = xp(x).zeros((self.c, self.n, *self.padded), x.dtype).transpose(1, 0, 2, 3)
        image[self.inside] = x
        return image

    @property
    def inside(self):
        """The part of a padded image that is no padding."""
        return (..., slice(self.top, self.top + self.h), slice(self.left, self.left + self.w))

    def columns(self, x, block):
        """The patches of a block of padded images: (C kh kw, images OH OW)."""
        windows = unfold(x[block], self.kernel, self.stride)
        return windows.transpose(1, 4, 5, 0, 2, 3).reshape(self.rows, -1)

    def flat(self, block):
        """The same block among the columns of all images."""
        return slice(block.start * self.pixels, block.stop * self.pixels)


def convolve(x, W, b, stride, widths):
    """Convolution of x (N, C, H, W) with W (O, C, kh, kw) plus b (O,) or None: (N, O, OH, OW)."""
    m = xp(x)
    plan = Plan(x.shape, W.shape, stride, widths, m)
    x, kernels = plan.pad(x), W.reshape(plan.o, -1)
    y = m.empty((plan.o, plan.n * plan.pixels), np.result_type(x, W))

    def work(blocks):
        for block in blocks:
            part = y[:, plan.flat(block)]
            m.matmul(kernels, plan.columns(x, block), out=part)
            if b is not None:
                part += b[:, None]

    threads.run(work, plan.halves)
    return y.reshape(plan.o, plan.n, plan.oh, plan.ow).transpose(1, 0, 2, 3)


def convolve_back(g, W, stride, widths, shape):
    """The adjoint in x: g (N, O, OH, OW) back to images of that shape."""
    m = xp(g)
    plan = Plan((len(g), *shape[1:]), W.shape, stride, widths, m)
    (kh, kw), (sh, sw), (hp, wp) = plan.kernel, stride, plan.padded
    kernels, g = W.reshape(plan.o, -1).T, g.transpose(1, 0, 2, 3)
    image = m.zeros((plan.c, plan.n, hp, wp), np.result_type(g, W))

    def work(blocks):
        for block in blocks:
            columns = kernels @ g[:, block].reshape(plan.o, -1)
            columns = columns.reshape(plan.c, kh, kw, -1, plan.oh, plan.ow)
            # two steps, rows then columns: kh + kw sums in place of kh kw
            tall = m.zeros((plan.c, kw, columns.shape[3], hp, plan.ow), image.dtype)
            for i in range(kh):
                tall[:, :, :, i : i + sh * plan.oh : sh] += columns[:, i]
            for j in range(kw):
                image[:, block, :, j : j + sw * plan.ow : sw] += tall[:, j]

    threads.run(work, plan.halves)
    return image.transpose(1, 0, 2, 3)[plan.inside]


def convolve_weights(g, x, shape, stride, widths):
    """The adjoint in W: the sum over patches of g times patch, in W's shape."""
    m = xp(g)
    plan = Plan(x.shape, shape, stride, widths, m)
    x, g = plan.pad(x), g.transpose(1, 0, 2, 3)

    def work(blocks):
        return ordered(g[:, block].reshape(plan.o, -1) @ plan.columns(x, block).T for block in blocks)

    return ordered(threads.run(work, plan.halves)).reshape(shape)


def ordered(parts):
    """Their sum, from first to last."""
    total = None
    for part in parts:
        if total is None:
            total = part
        else:
            total += part
    return total


def rows(m, x):
    """The batch as one slice, or as two where it is large enough for two threads."""
    n = len(x)
    large = m is np and n > 1 and x.size > LARGE / 20
    return [slice(0, (n + 1) // 2), slice((n + 1) // 2, n)] if large else [slice(0, n)]


def like(m, x, size):
    """An empty array (N, C, *size) in the order of axes that x (N, C, H, W) has in memory."""
    if x.strides[0] < x.strides[1]:
        return m.empty((x.shape[1], x.shape[0], *size), x.dtype).transpose(1, 0, 2, 3)
    return m.empty((*x.shape[:2], *size), x.dtype)


def max_pool(x, kernel, stride, size):
    """The largest of each window of x (N, C, H, W): (N, C, *size)."""
    m = xp(x)
    y = like(m, x, size)

    def work(part):
        first, *rest = offsets(size, kernel, stride)
        y[part] = x[part][first]
        for at in rest:
            m.maximum(y[part], x[part][at], out=y[part])

    threads.run(work, rows(m, x))
    return y


def max_pool_back(g, y, x, kernel, stride):
    """g of each window, shared evenly among its largest elements, in x's shape."""
    m = xp(x)
    image = m.zeros_like(x, dtype=g.dtype)
    apart = stride[0] >= kernel[0] and stride[1] >= kernel[1]  # no element is in two windows
    places = list(offsets(y.shape[-2:], kernel, stride))

    def work(part):
        xs, out = x[part], image[part]
        won = [xs[at] == y[part] for at in places]
        ties = won[0].astype("int8" if len(places) < 128 else "int32")
        for w in won[1:]:
            ties += w
        share = g[part] / ties.astype(g.dtype)
        for at, w in zip(places, won, strict=True):
            if apart:
                m.multiply(share, w, out=out[at])
            else:
                out[at] += share * w

    threads.run(work, rows(m, x))
    return image
