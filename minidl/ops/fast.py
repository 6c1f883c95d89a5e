"""Fast kernels on plain arrays, away from what is read. Each has its slow twin as oracle."""

from __future__ import annotations

from ..backend import xp
from .kernels import unfold


def patches(x, kernel, stride, widths):
    """Patches as columns (C kh kw, N OH OW), and (N, OH, OW)."""
    (top, bottom), (left, right) = widths
    m = xp(x)
    if top or bottom or left or right:
        n, c, h, w = x.shape
        padded = m.zeros((c, n, h + top + bottom, w + left + right), x.dtype).transpose(1, 0, 2, 3)
        padded[:, :, top : top + h, left : left + w] = x
        x = padded
    windows = unfold(x, kernel, stride)
    n, c, oh, ow, kh, kw = windows.shape
    return windows.transpose(1, 4, 5, 0, 2, 3).reshape(c * kh * kw, n * oh * ow), (n, oh, ow)


def columns(x, W, b, stride, widths):
    """Convolution of x (N, C, H, W) with W (O, C, kh, kw): (N, O, OH, OW), in memory (O, N, OH, OW)."""
    cols, (n, oh, ow) = patches(x, W.shape[2:], stride, widths)
    y = W.reshape(W.shape[0], -1) @ cols
    if b is not None:
        y += b[:, None]
    return y.reshape(-1, n, oh, ow).transpose(1, 0, 2, 3)


def columns_back(g, W, stride, widths, shape):
    """The adjoint in x: g (N, O, OH, OW) back to images of that shape."""
    (top, bottom), (left, right), (sh, sw) = *widths, stride
    (n, o, oh, ow), (_, c, h, w), (kh, kw) = g.shape, shape, W.shape[2:]
    cols = W.reshape(o, -1).T @ g.transpose(1, 0, 2, 3).reshape(o, -1)
    cols = cols.reshape(c, kh, kw, n, oh, ow)
    image = xp(g).zeros((c, n, h + top + bottom, w + left + right), cols.dtype)
    for i in range(kh):
        for j in range(kw):
            image[:, :, i : i + sh * oh : sh, j : j + sw * ow : sw] += cols[:, i, j]
    return image[:, :, top : top + h, left : left + w].transpose(1, 0, 2, 3)


def weights_back(g, x, shape, stride, widths):
    """The adjoint in W: sum over patches of g times patch, in W's shape."""
    cols, _ = patches(x, shape[2:], stride, widths)
    return (g.transpose(1, 0, 2, 3).reshape(shape[0], -1) @ cols.T).reshape(shape)
