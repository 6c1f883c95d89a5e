"""Layers with weights.

All draw their first values from `rng`, an int or a Generator. The same int gives the same numbers: give every layer its
own int, or all of them one Generator.
"""

from __future__ import annotations

from typing import Any

from .. import ops
from ..ops.convolution import padding_of
from ..ops.kernels import pair
from . import door
from .initialise import constant, weights
from .module import Module

__all__ = ["Conv1d", "Conv2d", "Dense"]


class Dense(Module):
    """y = x W + b. x (..., n_in) with at least two axes, y (..., n_out), W (n_in, n_out), b (n_out,) or None.

    W and b may be replaced by tensors with leading axes, see `ops.linear.Affine`: draws, clients, members.
    init: a name from `initialise.INITIALISERS`; biases start at 0. dtype: of the parameters.
    """

    settings = ("n_in", "n_out", "bias")

    def __init__(
        self,
        n_in: int,
        n_out: int,
        bias: bool = True,
        *,
        rng: Any = 0,
        init: str = "glorot_uniform",
        dtype: Any = "float32",
    ):
        door.positive(self, n_in=n_in, n_out=n_out)
        self.n_in, self.n_out, self.bias = n_in, n_out, bool(bias)
        self.W = weights((n_in, n_out), n_in, n_out, init, rng, dtype, "Dense")
        self.b = constant((n_out,), 0.0, dtype, "Dense") if bias else None

    def forward(self, x, rng=None):
        door.rows(self, x, self.n_in)
        return ops.affine(x, self.W, self.b)


class Conv2d(Module):
    """Convolve images x (N, c_in, H, W) to (N, c_out, OH, OW). W (c_out, c_in, kh, kw), b (c_out,) or None.

    kernel, stride: an int or two. padding: an int, two, or "same" (OH = ceil(H / stride), the odd pixel at the end).
    Source: gal:conv-as-matmul
    """

    settings = ("c_in", "c_out", "kernel", "stride", "padding", "bias")

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        bias: bool = True,
        *,
        rng: Any = 0,
        init: str = "glorot_uniform",
        dtype: Any = "float32",
    ):
        door.positive(self, c_in=c_in, c_out=c_out)
        self.c_in, self.c_out, self.bias = c_in, c_out, bool(bias)
        self.kernel, self.stride = pair(kernel, "Conv2d: kernel"), pair(stride, "Conv2d: stride")
        padding_of(padding)
        self.padding = padding
        area = self.kernel[0] * self.kernel[1]
        self.W = weights((c_out, c_in, *self.kernel), c_in * area, c_out * area, init, rng, dtype, "Conv2d")
        self.b = constant((c_out,), 0.0, dtype, "Conv2d") if bias else None

    def forward(self, x, rng=None):
        door.images(self, x, self.c_in)
        if self.padding != "same":
            ph, pw = self.padding if isinstance(self.padding, tuple) else (self.padding, self.padding)
            door.fits(self, (x.shape[2] + 2 * ph, x.shape[3] + 2 * pw), self.kernel)
        return ops.conv2d(x, self.W, self.b, self.stride, self.padding)


class Conv1d(Module):
    """Convolve sequences x (N, c_in, T) to (N, c_out, OT), as images of one row. W (c_out, c_in, k), b (c_out,).

    kernel, stride: ints. padding: an int or "same" (OT = ceil(T / stride), the odd zero at the end).
    """

    settings = ("c_in", "c_out", "kernel", "stride", "padding", "bias")

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        padding: int | str = 0,
        bias: bool = True,
        *,
        rng: Any = 0,
        init: str = "glorot_uniform",
        dtype: Any = "float32",
    ):
        door.positive(self, c_in=c_in, c_out=c_out, kernel=kernel, stride=stride)
        if padding != "same" and not (isinstance(padding, int) and padding >= 0):
            raise ValueError(f'Conv1d: padding must be an int >= 0 or "same", got {padding!r}')
        self.c_in, self.c_out, self.bias = c_in, c_out, bool(bias)
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.W = weights((c_out, c_in, kernel), c_in * kernel, c_out * kernel, init, rng, dtype, "Conv1d")
        self.b = constant((c_out,), 0.0, dtype, "Conv1d") if bias else None

    def forward(self, x, rng=None):
        door.sequences(self, x, self.c_in)
        t = x.shape[2]
        if self.padding != "same":
            door.fits(self, (t + 2 * self.padding,), (self.kernel,))
        W = ops.reshape(self.W, (self.c_out, self.c_in, 1, self.kernel))
        padding = "same" if self.padding == "same" else (0, self.padding)
        y = ops.conv2d(ops.reshape(x, (-1, self.c_in, 1, t)), W, self.b, (1, self.stride), padding)
        return ops.reshape(y, (-1, self.c_out, y.shape[3]))
