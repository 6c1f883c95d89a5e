"""Convolution (cross-correlation: the kernel is not flipped), fast, beside the identity that it equals."""

from __future__ import annotations

from ..tape import record
from .families import Linear
from .fast import convolve, convolve_back, convolve_weights
from .kernels import pair, same_padding
from .linear import affine
from .moves import im2col, pad, reshape, transpose


class Convolution(Linear):
    """y[n, o] = sum over c, i, j of x[n, c, s u + i, s v + j] W[o, c, i, j] + b[o].

    x (N, C, H, W), W (O, C, kh, kw), b (O,). One product of matrices for each block of images: kernels times patches.
    Source: gal:conv-as-matmul
    """

    fused = True

    def __init__(self, stride, padding):
        self.stride, self.padding = stride, padding

    def forward(self, x, W, *b):
        return convolve(x, W, b[0] if b else None, self.stride, self.widths(x, W))

    def gradient(self, g, y, x, W, *b):
        widths = self.widths(x, W)
        return (
            lambda: convolve_back(g, W, self.stride, widths, x.shape),
            lambda: convolve_weights(g, x, W.shape, self.stride, widths),
        ) + tuple((lambda: g.sum((0, 2, 3)),) if b else ())

    def spread(self, b, y):
        return b[:, None, None]

    def widths(self, x, W):
        """Rows and columns of zeros: ((top, bottom), (left, right))."""
        if self.padding == "same":
            return tuple(same_padding(x.shape[k + 2], W.shape[k + 2], self.stride[k]) for k in (0, 1))
        return self.padding

    def simple(self, x, W, *b):
        """Patches as rows, times the vectorised kernels: the convolution as one affine product."""
        widths = self.widths(x, W)
        patches = im2col(pad(x, ((0, 0), (0, 0), *widths)), W.shape[2:], self.stride)
        kernels = transpose(reshape(W, (W.shape[0], -1)))
        return transpose(affine(patches, kernels, *b), (0, 3, 1, 2))


def conv2d(x, W, b=None, stride=1, padding=0):
    """Convolve images x (N, C, H, W) with kernels W (O, C, kh, kw), plus b (O,).

    stride: an int or (sh, sw). padding: an int, (ph, pw), or "same" (output of ceil(n / stride); odd pixel at the end).
    Returns (N, O, OH, OW). Source: gal:conv-as-matmul
    """
    op = Convolution(pair(stride, "stride"), padding_of(padding))
    return record(op, x, W) if b is None else record(op, x, W, b)


def padding_of(padding):
    """An int, two ints or "same" as ((top, bottom), (left, right)) or "same"."""
    if padding == "same":
        return padding
    two = (padding, padding) if isinstance(padding, int) else padding
    if not isinstance(two, (tuple, list)) or len(two) != 2 or not all(isinstance(v, int) and v >= 0 for v in two):
        raise ValueError(f'padding must be an int >= 0, two of them, or "same", got {padding!r}')
    return tuple((v, v) for v in two)
