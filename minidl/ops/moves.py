"""Moves: every element of the output is one element of an input. And their adjoints that add."""

from __future__ import annotations

from math import prod

from ..backend import xp
from ..tape import Tensor, raw, record
from .families import Move, Sum, beside
from .kernels import fold, unfold


class Reshape(Move):
    """The same numbers in another shape; -1 stands for what is left."""

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        return x.reshape(self.shape)

    def gradient(self, g, y, x):
        return (g.reshape(x.shape),)


class Flatten(Move):
    """(N, ...) to (N, features). It keeps the batch open, so that one row of reference will do."""

    def forward(self, x):
        return x.reshape(x.shape[0], prod(x.shape[1:]))

    def gradient(self, g, y, x):
        return (g.reshape(x.shape),)


class Transpose(Move):
    """Axes in another order."""

    def __init__(self, axes):
        self.axes = axes
        self.back = tuple(axes.index(k) for k in range(len(axes)))

    def forward(self, x):
        return x.transpose(self.axes)

    def gradient(self, g, y, x):
        return (g.transpose(self.back),)


class BroadcastTo(Move):
    """Copies along axes of length 1 and new leading axes. The walk undoes it."""

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        return xp(x).broadcast_to(x, self.shape)

    def gradient(self, g, y, x):
        return (g,)


class GetItem(Move):
    """y = x[index], with any index that NumPy takes."""

    def __init__(self, index):
        self.index = index

    def forward(self, x):
        return x[self.index]

    def gradient(self, g, y, x):
        return (lambda: put(g, self.index, x.shape),)


class Put(Sum):
    """Zeros with g added at index: the adjoint of GetItem. Indices may repeat, so this is a sum."""

    def __init__(self, index, shape):
        self.index, self.shape = index, shape

    def forward(self, g):
        m = xp(g)
        y = m.zeros(self.shape, g.dtype)
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        if all(isinstance(i, (int, slice)) or i is None or i is Ellipsis for i in parts):
            y[self.index] = g
        else:
            m.add.at(y, self.index, g)
        return y

    def gradient(self, h, y, g):
        return (h[self.index],)


class Concat(Move):
    """Several arrays one behind the other along an axis."""

    def __init__(self, axis):
        self.axis = axis

    def forward(self, *xs):
        return xp(*xs).concatenate(xs, axis=self.axis)

    def gradient(self, g, y, *xs):
        shares, start = [], 0
        for x in xs:
            stop = start + x.shape[self.axis]
            shares.append(g[(slice(None),) * (self.axis % x.ndim) + (slice(start, stop),)])
            start = stop
        return shares


class Stack(Move):
    """Arrays of one shape side by side along a new axis."""

    def __init__(self, axis):
        self.axis = axis

    def forward(self, *xs):
        return xp(*xs).stack(xs, axis=self.axis)

    def gradient(self, g, y, *xs):
        at = (slice(None),) * (self.axis % y.ndim)
        return [g[(*at, k)] for k in range(len(xs))]


class Pad(Move):
    """Zeros around x; widths is ((before, after), ...), one pair for each axis.

    The zero is an input like a bias: what a rule sends to the padding is absorbed there, not lost.
    """

    def __init__(self, widths):
        self.widths = widths

    def forward(self, x, zero):
        return xp(x).pad(x, self.widths)

    def gradient(self, g, y, x, zero):
        inside = tuple(slice(a, a + n) for (a, _), n in zip(self.widths, x.shape, strict=True))
        return g[inside], lambda: g - xp(g).pad(g[inside], self.widths)


class Where(Move):
    """Elements of a where the condition holds, else of b. The condition is a plain boolean array."""

    def __init__(self, condition):
        self.condition = condition

    def forward(self, a, b):
        return xp(self.condition).where(self.condition, a, b)

    def gradient(self, g, y, a, b):
        return lambda: where(self.condition, g, 0.0), lambda: where(self.condition, 0.0, g)


class Im2col(Move):
    """Patches as rows: (N, C, H, W) to (N, OH, OW, C kh kw).

    With it a convolution is a product of matrices: patches times vectorised kernels.
    Source: gal:conv-as-matmul
    """

    def __init__(self, kernel, stride):
        self.kernel, self.stride = kernel, stride

    def forward(self, x):
        windows = unfold(x, self.kernel, self.stride)  # (N, C, OH, OW, kh, kw)
        n, c, oh, ow, kh, kw = windows.shape
        return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n, oh, ow, c * kh * kw)

    def gradient(self, g, y, x):
        return (lambda: col2im(g, self.kernel, self.stride, x.shape),)


class Col2im(Sum):
    """The adjoint of Im2col. Patches overlap, so it adds: a sum, not a move."""

    def __init__(self, kernel, stride, shape):
        self.kernel, self.stride, self.shape = kernel, stride, shape

    def forward(self, g):
        n, oh, ow, _ = g.shape
        windows = g.reshape(n, oh, ow, self.shape[1], *self.kernel).transpose(0, 3, 1, 2, 4, 5)
        return fold(windows, self.stride, (n, *self.shape[1:]))

    def gradient(self, h, y, g):
        return (lambda: im2col(h, self.kernel, self.stride),)


FLATTEN = Flatten()


def axis_of(x, axis):
    """The axis as an int from 0; ValueError if x has no such axis."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis must lie in {-x.ndim}..{x.ndim - 1} for an array of shape {x.shape}, got {axis}")
    return int(axis) % x.ndim


def reshape(x, shape):
    """x in another shape; one length may be -1."""
    return record(Reshape(tuple(shape)), x) if isinstance(x, Tensor) else x.reshape(shape)


def flatten(x):
    """(N, ...) to (N, features)."""
    return record(FLATTEN, x)


def transpose(x, axes=None):
    """Axes in another order; reversed if none is given."""
    axes = range(x.ndim)[::-1] if axes is None else axes
    return record(Transpose(tuple(axis_of(x, a) for a in axes)), x)


def swapaxes(x, a, b):
    """Two axes exchanged."""
    if not isinstance(x, Tensor):
        return x.swapaxes(a, b)
    axes = list(range(x.ndim))
    axes[a], axes[b] = axes[b], axes[a]
    return transpose(x, axes)


def broadcast_to(x, shape):
    """x repeated to that shape."""
    return record(BroadcastTo(tuple(shape)), x)


def getitem(x, index):
    """x[index]; arrays in the index must be plain."""
    if isinstance(index, Tensor) or (isinstance(index, tuple) and any(isinstance(i, Tensor) for i in index)):
        raise TypeError("indices must be plain arrays of integers or booleans, got a Tensor")
    return record(GetItem(index), x)


def put(g, index, shape):
    """Zeros of that shape with g added at index."""
    return record(Put(index, tuple(shape)), g)


def concat(xs, axis=0):
    """Arrays or tensors one behind the other along an axis."""
    return record(Concat(axis), *xs)


def stack(xs, axis=0):
    """Arrays or tensors side by side along a new axis."""
    return record(Stack(axis), *xs)


def unstack(x, axis=0):
    """The slices of x along an axis, as a list.

    Cut in halves, and these again: on the way back the slices' signals are put together in log2 n rounds. Taken from x
    one by one, each of the n signals would be a whole x of zeros.
    """
    axis = axis_of(x, axis)
    lead = (slice(None),) * axis

    def cut(part):
        n = part.shape[axis]
        if n == 1:
            return [getitem(part, (*lead, 0))]
        return cut(getitem(part, (*lead, slice(None, n // 2)))) + cut(getitem(part, (*lead, slice(n // 2, None))))

    return cut(x) if x.shape[axis] else []


def pad(x, widths):
    """Zeros around x: one (before, after) for each axis."""
    widths = tuple((int(a), int(b)) for a, b in widths)
    return record(Pad(widths), x, 0) if any(a or b for a, b in widths) else x


def where(condition, a, b):
    """Elements of a where the condition (a plain boolean array) holds, else of b."""
    return record(Where(raw(condition)), *beside(a, b))


def im2col(x, kernel, stride):
    """Patches of (N, C, H, W) as rows (N, OH, OW, C kh kw); kernel (kh, kw), stride (sh, sw)."""
    return record(Im2col(tuple(kernel), tuple(stride)), x)


def col2im(g, kernel, stride, shape):
    """Rows of patches added back into an image of that shape: the adjoint of im2col."""
    return record(Col2im(tuple(kernel), tuple(stride), tuple(shape)), g)


def embedding(ids, table):
    """Rows of the table (n_types, dim) at integer ids of any shape; returns ids.shape + (dim,).

    Raises TypeError if the ids are not integers, IndexError if one is out of range.
    """
    ids, n = raw(ids), table.shape[0]
    if ids.dtype.kind not in "iu":
        raise TypeError(f"embedding: ids must be integers, got {ids.dtype}")
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= n):
        raise IndexError(f"embedding: ids must lie in 0..{n - 1}, got {int(ids.min())}..{int(ids.max())}")
    return record(GetItem(ids), table)
