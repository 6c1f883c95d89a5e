"""Pooling layers over windows of images, and over everything behind the channel."""

from __future__ import annotations

from .. import ops
from ..ops.kernels import pair
from ..ops.power_pooling import exponent
from ..tape import raw
from . import door
from .module import Module

__all__ = ["AvgPool2d", "GlobalAvgPool", "MaxPool2d", "PMeanPool2d", "SumPool2d"]


class _Pool2d(Module):
    settings = ("size", "stride")

    def __init__(self, size: int | tuple[int, int], stride: int | tuple[int, int] | None = None):
        self.size = pair(size, f"{type(self).__name__}: size")
        self.stride = self.size if stride is None else pair(stride, f"{type(self).__name__}: stride")

    def check(self, x):
        """Refuse what is no batch of images, or is smaller than the window."""
        door.images(self, x)
        door.fits(self, x.shape[2:], self.size)


class MaxPool2d(_Pool2d):
    """The largest element of each window: (N, C, H, W) to (N, C, OH, OW), OH = (H - size) // stride + 1. Ties share.

    size, stride: an int or two; the stride is the size if not given.
    """

    def forward(self, x, rng=None):
        self.check(x)
        return ops.max_pool2d(x, self.size, self.stride)


class AvgPool2d(_Pool2d):
    """The mean of each window: (N, C, H, W) to (N, C, OH, OW). size, stride: as for MaxPool2d."""

    def forward(self, x, rng=None):
        self.check(x)
        return ops.avg_pool2d(x, self.size, self.stride)


class SumPool2d(_Pool2d):
    """The sum of each window: (N, C, H, W) to (N, C, OH, OW). size, stride: as for MaxPool2d."""

    def forward(self, x, rng=None):
        self.check(x)
        return ops.sum_pool2d(x, self.size, self.stride)


class PMeanPool2d(_Pool2d):
    """The p-mean (mean of x^p)^(1/p) of each window, x >= 0: (N, C, H, W) to (N, C, OH, OW).

    size, stride: as for MaxPool2d. p: at least 1, which is the mean; as p grows it tends to the maximum.
    Raises ValueError for another p, and for an x below 0: put a ReLU before it.
    Source: lrp:eq19
    """

    settings = ("size", "stride", "p")

    def __init__(self, size: int | tuple[int, int], stride: int | tuple[int, int] | None = None, p: float = 2.0):
        super().__init__(size, stride)
        self.p = exponent(p, "PMeanPool2d")

    def forward(self, x, rng=None):
        self.check(x)
        if (raw(x) < 0).any():
            low = float(raw(x).min())
            raise ValueError(f"{self.where()} expects x >= 0, got values from {low:.4g}; put a ReLU before it")
        return ops.power_mean_pool2d(x, self.size, self.stride, self.p)


class GlobalAvgPool(Module):
    """The mean over all axes behind the channel: (N, C, ...) to (N, C)."""

    def forward(self, x, rng=None):
        door.floating(self, x)
        if x.ndim < 3:
            raise ValueError(f"{self.where()} expects (N, C, ...) with at least one axis behind C, got {x.shape}")
        return ops.mean(x, tuple(range(2, x.ndim)))
