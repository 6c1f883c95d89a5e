"""Windows over images: the loops that convolution, pooling and im2col share. Plain arrays only."""

from __future__ import annotations

from numbers import Integral

from ..backend import xp


def unfold(x, kernel, stride):
    """All windows of x (N, C, H, W) as a view (N, C, OH, OW, kh, kw): nothing is copied."""
    (kh, kw), (sh, sw) = kernel, stride
    if x.shape[-2] < kh or x.shape[-1] < kw:
        raise ValueError(f"a window of {kh} x {kw} does not fit an image of {x.shape[-2]} x {x.shape[-1]}")
    windows = xp(x).lib.stride_tricks.sliding_window_view(x, (kh, kw), (2, 3))
    return windows[:, :, ::sh, ::sw]


def fold(windows, stride, shape):
    """Windows (N, C, OH, OW, kh, kw) added into an image of that shape: the adjoint of `unfold`.

    A loop over the offsets in a window, each a strided sum over the whole batch: fast, and always in one order.
    """
    (sh, sw), (oh, ow, kh, kw) = stride, windows.shape[2:]
    image = xp(windows).zeros(shape, windows.dtype)
    for i in range(kh):
        for j in range(kw):
            image[:, :, i : i + sh * oh : sh, j : j + sw * ow : sw] += windows[:, :, :, :, i, j]
    return image


def offsets(size, kernel, stride):
    """For each place in a window, the slice of the image that it takes over all windows; size: (OH, OW)."""
    (oh, ow), (sh, sw) = size, stride
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            yield (..., slice(i, i + sh * oh, sh), slice(j, j + sw * ow, sw))


def same_padding(n, kernel, stride):
    """(before, after) so that the output has ceil(n / stride) elements; the odd one at the end."""
    total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
    return total // 2, total - total // 2


def pair(value, name):
    """An int or a pair of ints as a pair; ValueError names the argument."""
    two = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(two) != 2 or not all(isinstance(v, Integral) and v > 0 for v in two):
        raise ValueError(f"{name} must be a positive int or two of them, got {value!r}")
    return int(two[0]), int(two[1])
