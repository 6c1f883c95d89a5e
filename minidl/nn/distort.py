"""Random views of images as a layer that draws when a call brings a generator, like any other noise."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import backend
from ..tape import raw
from . import door
from .module import Module

__all__ = ["DistortedImages"]


class DistortedImages(Module):
    """Crops, flips, brightness, contrast, then whitening: images (N, C, H, W) in [0, 1] to (N, C, size, size).

    With rng each image is cropped at random, mirrored with probability 1/2, made brighter by up to `brightness` either
    way, and its contrast, the distance of each channel from its mean, multiplied by up to 1 + `contrast` or down to
    1 - `contrast`. Without rng the middle is cropped and nothing else. Then each image is whitened: less its mean,
    divided by its deviation (or by one over the root of its number of values, if that is larger). Means and deviations
    are constants of the tape. The text names the steps; how far they go is the tutorial's that its network is from.
    Raises ValueError for images smaller than size.
    Source: fedavg:cifar-cnn
    """

    settings = ("size", "brightness", "contrast")

    def __init__(self, size: int = 24, brightness: float = 63 / 255, contrast: float = 0.8):
        door.positive(self, size=size)
        if not 0 <= brightness <= 1 or not 0 <= contrast <= 1:
            raise ValueError(
                f"DistortedImages: brightness and contrast must lie in [0, 1], got {brightness!r} and {contrast!r}"
            )
        self.size, self.brightness, self.contrast = size, brightness, contrast

    def forward(self, x, rng=None):
        if x.ndim != 4 or min(x.shape[2:]) < self.size:
            raise ValueError(
                f"{self.where()} expects images (N, C, H, W) of at least {self.size} x {self.size}, got {x.shape}"
            )
        m, size = backend.xp(raw(x)), self.size
        if rng is None:
            top, left = ((n - size) // 2 for n in x.shape[2:])
            y = x[:, :, top : top + size, left : left + size]
        else:
            y = self.drawn(x, rng)
        mean, deviation = (f((1, 2, 3), keepdims=True) for f in (raw(y).mean, raw(y).std))
        return (y - mean) * (1 / m.maximum(deviation, prod(y.shape[1:]) ** -0.5))

    def drawn(self, x: Any, rng: np.random.Generator) -> Any:
        """A random view of each image."""
        n, size, m, dtype = len(x), self.size, backend.xp(raw(x)), x.dtype
        rows = rng.integers(x.shape[2] - size + 1, size=n)[:, None] + np.arange(size)
        columns = rng.integers(x.shape[3] - size + 1, size=n)[:, None] + np.arange(size)
        mirrored = rng.random(n) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
        rows, columns = m.asarray(rows[:, :, None]), m.asarray(columns[:, None, :])
        y = x[m.arange(n)[:, None, None], :, rows, columns].transpose(0, 3, 1, 2)
        brighter = m.asarray(rng.uniform(-self.brightness, self.brightness, (n, 1, 1, 1)).astype(dtype))
        factor = m.asarray(rng.uniform(1 - self.contrast, 1 + self.contrast, (n, 1, 1, 1)).astype(dtype))
        mean = raw(y).mean((2, 3), keepdims=True)
        return (y - mean) * factor + (mean + brighter)
