"""Fast kernels on plain arrays, away from what is read. Each has its slow twin as oracle.

A convolution gathers patches of a few images, as many as fit the processor's cache, and multiplies them with the
kernels; two threads take half of a large batch each. The results lie in memory as (channels, N, H, W) behind an
(N, channels, H, W) view: the next layer's gather does not mind, and nothing is transposed on the way.
"""

from __future__ import annotations

import numpy as np

from .. import blas, threads
from ..backend import xp
from ..tape import Tensor
from .kernels import offsets

CACHE = 1 << 18  # numbers in one block of columns: one to two megabytes
FEW = 16  # rows for which narrow panels pay
SMALL = 2.5e5  # multiplications of a product below which every detour costs more than it brings
LARGE = 1.2e7  # those from which a second thread pays
GATHERED = 5e6  # those of a convolution or of few rows, which move much memory beside them
MANY = 2e5  # elements
BLOCK = 1 << 18  # numbers in one block of rows: fewer, and two threads wait for the interpreter more than they compute


def halves(m, n, each, work):
    """The images 0..n as lists of blocks, one list for each thread. Fixed by the sizes alone."""
    if m is not np:
        return [[slice(0, n)]]
    if n == 0:
        return [[slice(0, 0)]]
    size = max(1, CACHE // each)
    cuts = [(0, n)] if n < 2 or work < GATHERED else [(0, (n + 1) // 2), ((n + 1) // 2, n)]
    return [[slice(i, min(i + size, stop)) for i in range(start, stop, size)] for start, stop in cuts]


class Plan:
    """The sizes of one convolution, its batch in blocks, and the gather: what all its products share.

    Patches are gathered along rows only, (C kw, rows of the image, images, OW): the product with row i of the kernels
    reads them shifted by i rows, without another copy, and kh products add up. Where one row of a kernel is too short
    for a good product (few channels) all kh of them are gathered, as in im2col, for a single product.
    """

    SHORT = 32

    def __init__(self, shape, W_shape, stride, widths, m):
        (self.n, self.c, h, w), (self.o, _, self.kh, self.kw) = shape, W_shape
        (self.top, bottom), (self.left, right) = widths
        self.h, self.w, self.stride = h, w, stride
        self.padded = hp, wp = h + self.top + bottom, w + self.left + right
        self.oh, self.ow = (hp - self.kh) // stride[0] + 1, (wp - self.kw) // stride[1] + 1
        self.whole = self.c * self.kw < self.SHORT  # gather whole patches
        lines = self.kh * self.oh if self.whole else hp + stride[0]
        work = self.n * self.c * self.kh * self.kw * self.oh * self.ow * self.o
        self.halves = halves(m, self.n, self.c * self.kw * lines * self.ow, work)

    def pad(self, x):
        """x with its zeros around it, channels first in memory."""
        if self.padded == (self.h, self.w):
            return x
        image = xp(x).zeros((self.c, len(x), *self.padded), x.dtype).transpose(1, 0, 2, 3)
        image[..., self.top : self.top + self.h, self.left : self.left + self.w] = x
        return image

    def gathered(self, x, blocks):
        """For each block of images x, without padding yet, the block and its gathered patches."""
        first = blocks[0].start
        x = self.pad(x[first : blocks[-1].stop])
        for block in blocks:
            yield block, self.gather(x, slice(block.start - first, block.stop - first))

    def gather(self, x, block):
        """The patches of a block of padded images, one matrix (C kw, OH images OW) for each product."""
        m, (sh, sw) = xp(x), self.stride
        source = x[block].transpose(1, 2, 0, 3)  # (C, H, images, W)
        if self.whole:
            windows = m.lib.stride_tricks.sliding_window_view(source, (self.kh, self.kw), (1, 3))[:, ::sh, :, ::sw]
            return [windows.transpose(0, 4, 5, 1, 2, 3).reshape(self.c * self.kh * self.kw, -1)]
        tall = -(-self.padded[0] // sh)
        columns = m.empty((self.c, self.kw, sh, tall, source.shape[2], self.ow), x.dtype)
        for phase in range(min(sh, self.padded[0])):  # rows apart by the stride lie side by side
            rows = source[:, phase::sh]
            for j in range(self.kw):
                columns[:, j, phase, : rows.shape[1]] = rows[..., j : j + sw * self.ow : sw]
        return [
            columns[:, :, i % sh, i // sh : i // sh + self.oh].reshape(self.c * self.kw, -1) for i in range(self.kh)
        ]

    def split(self, W):
        """The kernels as one matrix (O, C kw) for each product."""
        if self.whole:
            return [W.reshape(self.o, -1)]
        return [W[:, :, i].reshape(self.o, -1) for i in range(self.kh)]

    def join(self, parts):
        """The inverse of `split`."""
        if self.whole:
            return parts[0].reshape(self.o, self.c, self.kh, self.kw)
        return xp(parts[0]).stack([p.reshape(self.o, self.c, self.kw) for p in parts], 2)

    def flat(self, g, block):
        """A block of outputs in the order of the gathered columns: (O, OH images OW)."""
        return g[block].transpose(1, 2, 0, 3).reshape(self.o, -1)


def convolve(x, W, b, stride, widths, pool=None):
    """Convolution of x (N, C, H, W) with W (O, C, kh, kw) plus b (O,) or None: (N, O, OH, OW).

    pool: (kh, kw), then it is the largest of max(0, y) in windows of that size side by side, taken while a block is in
    the cache, and before the bias is added: rounding keeps order, so these are the same bits for a part of the work.
    """
    m = xp(x)
    plan = Plan(x.shape, W.shape, stride, widths, m)
    if plan.oh < 1 or plan.ow < 1:
        raise ValueError(f"a kernel of {W.shape[2:]} does not fit an image of {x.shape[2:]} with padding {widths}")
    kernels = plan.split(W)
    oh, ow = (plan.oh, plan.ow) if pool is None else (plan.oh // pool[0], plan.ow // pool[1])
    y = m.empty((plan.o, plan.n, oh, ow), m.result_type(x, W))

    def work(blocks):
        for block, matrices in plan.gathered(x, blocks):
            part = ordered(k @ columns for k, columns in zip(kernels, matrices))
            part = part.reshape(plan.o, plan.oh, -1, plan.ow)
            if pool is not None:
                part = _largest(m, [part[:, i : i + oh * pool[0] : pool[0]] for i in range(pool[0])])
                part = _largest(m, [part[..., j : j + ow * pool[1] : pool[1]] for j in range(pool[1])])
            if b is not None:
                part += b[:, None, None, None]
            if pool is not None:
                m.maximum(part, 0, out=part)
            y[:, block] = part.transpose(0, 2, 1, 3)

    threads.run(work, plan.halves)
    return y.transpose(1, 0, 2, 3)


def convolve_weights(g, x, shape, stride, widths):
    """The adjoint in W: the sum over patches of g times patch, in W's shape."""
    plan = Plan(x.shape, shape, stride, widths, xp(g))

    def work(blocks):
        sums = None
        for block, matrices in plan.gathered(x, blocks):
            flat = plan.flat(g, block)
            parts = [flat @ columns.T for columns in matrices]
            sums = parts if sums is None else [s + p for s, p in zip(sums, parts)]
        return sums

    halves = threads.run(work, plan.halves)
    return plan.join([ordered(parts) for parts in zip(*halves)])


def convolve_back(g, W, stride, widths, shape):
    """The adjoint in x: g (N, O, OH, OW) back to images of that shape."""
    (kh, kw), (top, bottom), (left, right) = W.shape[2:], *widths
    few = W.shape[0] > W.shape[1] * kh  # channels in x, for which patches of g would be more than columns of x
    if stride == (1, 1) and max(top, bottom) < kh and max(left, right) < kw and not few:
        # with stride 1 it is a convolution too, of g with the kernels turned by half a turn
        turned = W.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
        return convolve(g, turned, None, stride, ((kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right)))
    m = xp(g)
    plan = Plan((len(g), *shape[1:]), W.shape, stride, widths, m)
    (sh, sw), (hp, wp) = stride, plan.padded
    kernels = W.reshape(plan.o, -1).T
    image = m.zeros((plan.c, hp, plan.n, wp), m.result_type(g, W))

    def work(blocks):
        for block in blocks:
            columns = (kernels @ plan.flat(g, block)).reshape(plan.c, kh, kw, plan.oh, -1, plan.ow)
            # two steps, rows then columns: kh + kw sums in place of kh kw
            tall = m.zeros((plan.c, kw, hp, columns.shape[4], plan.ow), image.dtype)
            for i in range(kh):
                tall[:, :, i : i + sh * plan.oh : sh] += columns[:, i]
            for j in range(kw):
                image[:, :, block, j : j + sw * plan.ow : sw] += tall[:, j]

    threads.run(work, plan.halves)
    return image[:, top : top + plan.h, :, left : left + plan.w].transpose(2, 0, 1, 3)


def product(a, b):
    """a @ b; stacked rows as one matrix, and a large product in two halves of its longer side, one for each thread."""
    if a.ndim > 2 and b.ndim == 2:
        if turned(a):
            return product(a.swapaxes(0, 1), b).swapaxes(0, 1)
        return product(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    if a.ndim != 2 or b.ndim != 2 or (work := len(a) * b.size) <= SMALL:
        return a @ b
    m = xp(a)
    if m is not np or a.dtype != b.dtype:
        return a @ b
    if 1 < len(a) <= FEW and blas.has_small_kernels():
        return panels(m, a, b)
    return a @ b if work < LARGE else in_halves(m, a, b)


def turned(a):
    """Whether the second axis of three lies before the first in memory: sequences, as recurrent layers leave them."""
    return a.ndim == 3 and not isinstance(a, Tensor) and a.strides[0] < a.strides[1]


def in_halves(m, a, b):
    """a @ b, half of the longer side of the result for each thread."""
    y = m.empty((len(a), b.shape[1]), a.dtype)
    half = max(y.shape) // 2

    def work(part):
        if y.shape[0] >= y.shape[1]:
            m.matmul(a[part], b, out=y[part])
        else:
            m.matmul(a, b[:, part], out=y[:, part])

    threads.run(work, [slice(0, half), slice(half, None)])
    return y


def panels(m, a, b):
    """a @ b for few rows, in narrow panels of b, where BLAS has a faster way for small products.

    The numbers come from a table of sizes, not from the clock, so that a run repeats itself. A transposed b falls out
    of that way sooner than a plain one.
    """
    rows, (inner, columns) = len(a), b.shape
    transposed = b.strides[0] < b.strides[1]
    work, small = rows * inner * columns, SMALL if transposed else 1e6
    if work <= small:
        return a @ b
    if work >= GATHERED:
        return in_halves(m, b.T, a.T).T if transposed else in_halves(m, a, b)
    count = next((n for n in (2, 4, 8, 16) if work / n <= small and columns % n == 0), 1)
    if count == 1:
        return (b.T @ a.T).T if transposed else a @ b
    a = in_fours(a)
    y = m.empty((len(a), count, columns // count), a.dtype)
    m.matmul(a, b.reshape(inner, count, -1).transpose(1, 0, 2), out=y.transpose(1, 0, 2))
    return y.reshape(len(a), columns)[:rows]


def in_fours(a):
    """Few rows, filled up with rows of zeros: BLAS takes four at a time, and one to three more cost as much or more."""
    m = xp(a)
    if m is not np or len(a) == 1 or len(a) > FEW or len(a) % 4 == 0:
        return a
    full = m.zeros((-(-len(a) // 4) * 4, *a.shape[1:]), a.dtype)
    full[: len(a)] = a
    return full


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
    """The rows of x as one slice, or as two where it is large enough for two threads."""
    n = len(x) if x.ndim else 1
    large = m is np and n > 1 and x.size > MANY
    return [slice(0, (n + 1) // 2), slice((n + 1) // 2, n)] if large else [slice(0, n)]


def blocks(m, x):
    """The rows of x in blocks of about BLOCK numbers, half of them for each of two threads; by the sizes alone."""
    if m is not np:
        return [rows(m, x)]
    size = max(1, BLOCK * len(x) // max(1, x.size))
    return [[slice(i, min(i + size, half.stop)) for i in range(half.start, half.stop, size)] for half in rows(m, x)]


def relu(x):
    """max(0, x)."""
    m = xp(x)
    if x.size <= MANY or len(parts := rows(m, x)) == 1:
        return m.maximum(x, 0)
    y = m.empty_like(x)
    threads.run(lambda part: m.maximum(x[part], 0, out=y[part]), parts)
    return y


def where_positive(g, x):
    """g where x > 0, else 0; on tensors too."""
    if x.size <= MANY or isinstance(g, Tensor) or isinstance(x, Tensor) or g.shape != x.shape:
        return g * (x > 0)
    if len(parts := rows(xp(x), x)) == 1:
        return g * (x > 0)
    m = xp(x)
    y = m.empty_like(x, dtype=g.dtype)
    threads.run(lambda part: m.multiply(g[part], x[part] > 0, out=y[part]), parts)
    return y


def descend(p, g, rate):
    """p -= rate g, in place."""
    if p.size <= MANY:
        p -= g * rate
        return
    flat_p, flat_g = p.reshape(-1), g.reshape(-1)
    if len(parts := rows(xp(p), flat_p)) == 1 or not p.flags.c_contiguous:
        p -= g * rate
        return

    def work(part):
        flat_p[part] -= flat_g[part] * rate

    threads.run(work, parts)


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
        if kernel == stride:
            tall = _largest(m, lines(x[part], kernel, size))
            _largest(m, [tall[..., j :: kernel[1]] for j in range(kernel[1])], out=y[part])
        else:
            _largest(m, [x[part][at] for at in offsets(size, kernel, stride)], out=y[part])

    threads.run(work, rows(m, x))
    return y


def _largest(m, arrays, out=None):
    """The largest of several arrays, element by element; a new array if out is not given."""
    first, *rest = arrays
    if not rest:
        return first if out is None else m.copyto(out, first)
    out = m.maximum(first, rest[0], out=out) if out is not None else m.maximum(first, rest[0])
    for other in rest[1:]:
        m.maximum(out, other, out=out)
    return out


def lines(x, kernel, size):
    """For each row of a window, the rows of the image that stand there: pieces of (..., OH, OW kw).

    Windows side by side share long runs of memory this way, which single places of a window do not.
    """
    (kh, kw), (oh, ow) = kernel, size
    return [x[..., i : i + kh * oh : kh, : ow * kw] for i in range(kh)]


def max_pool_back(g, y, x, kernel, stride):
    """g of each window, shared evenly among its largest elements, in x's shape."""
    m = xp(x)
    covered = kernel == stride and all(n * k == e for n, k, e in zip(y.shape[-2:], kernel, x.shape[-2:]))
    image = m.empty_like(x, dtype=g.dtype) if covered else m.zeros_like(x, dtype=g.dtype)
    back = _back_apart if kernel == stride else _back_overlapping

    def work(parts):
        for part in parts:
            back(m, image[part], g[part], y[part], x[part], kernel, stride)

    threads.run(work, blocks(m, x))
    return image


def _back_overlapping(m, image, g, y, x, kernel, stride):
    places = list(offsets(y.shape[-2:], kernel, stride))
    won = [x[at] == y for at in places]
    share = g / ordered([w.astype(g.dtype) for w in won])
    for at, w in zip(places, won):
        image[at] += share * w


def _back_apart(m, image, g, y, x, kernel, stride):
    size, kw = y.shape[-2:], kernel[1]
    wide = (size[0], size[1] * kw)
    best, share = like(m, x, wide), like(m, image, wide)
    for j in range(kw):
        best[..., j::kw] = y
    won = [row == best for row in lines(x, kernel, size)]
    ties = ordered([w.astype(g.dtype) for w in won])
    each = ordered([ties[..., j::kw] + 0 for j in range(kw)])
    m.divide(g, each, out=each)  # in x's order of memory, whatever g's is
    for j in range(kw):
        share[..., j::kw] = each
    for row, w in zip(lines(image, kernel, size), won):
        m.multiply(share, w, out=row)
