"""Noise layers draw only when a call brings a generator: model(x, rng=rng). Without one they pass on the mean."""

from __future__ import annotations

import numpy as np

from .. import backend, ops
from ..tape import raw
from . import door
from .module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """Each element is dropped (set to 0) with probability p, independently, in x's shape.

    p: the probability of DROPPING, in [0, 1). scaled: kept elements are divided by 1 - p, so that the mean is x itself;
    unscaled, masks are 0 or 1 and the mean is (1 - p) x. Without rng the layer returns that mean.
    """

    settings = ("p", "scaled")

    def __init__(self, p: float, scaled: bool = True):
        self.p, self.scaled = door.probability(self, p), bool(scaled)

    def forward(self, x, rng=None):
        door.floating(self, x)
        if rng is None:
            return x if self.scaled or self.p == 0 else x * (1 - self.p)
        values = raw(x)
        kept = (rng.random(values.shape, np.float32) >= self.p).astype(values.dtype)
        if self.scaled:
            kept *= 1 / (1 - self.p)
        return ops.multiply(x, backend.xp(values).asarray(kept))
