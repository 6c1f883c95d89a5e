"""Non-linearities as layers, and Flatten: one operation each."""

from __future__ import annotations

from typing import Any

from .. import ops
from . import door
from .initialise import constant
from .module import Module

__all__ = ["ELU", "Flatten", "PReLU", "ReLU", "Sigmoid", "Softmax", "Tanh"]


class ReLU(Module):
    """max(0, x), in x's shape."""

    def forward(self, x, rng=None):
        door.floating(self, x)
        return ops.relu(x)


class Tanh(Module):
    """tanh x, in x's shape."""

    def forward(self, x, rng=None):
        door.floating(self, x)
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x), in x's shape."""

    def forward(self, x, rng=None):
        door.floating(self, x)
        return ops.sigmoid(x)


class ELU(Module):
    """x above 0, alpha (e^x - 1) below, in x's shape."""

    settings = ("alpha",)

    def __init__(self, alpha: float = 1.0):
        if not isinstance(alpha, (int, float)) or not 0 <= alpha < float("inf"):
            raise ValueError(f"ELU: alpha must be a finite number >= 0, got {alpha!r}")
        self.alpha = float(alpha)

    def forward(self, x, rng=None):
        door.floating(self, x)
        return ops.elu(x, self.alpha)


class PReLU(Module):
    """x above 0, W x below, with a learned slope for each of n channels: x (N, n) or (N, n, ...), W (n,).

    n = 1: one slope for all. Slopes start at 0.25.
    """

    settings = ("n",)

    def __init__(self, n: int, *, dtype: Any = "float32"):
        door.positive(self, n=n)
        self.n = n
        self.W = constant((n,), 0.25, dtype, "PReLU")

    def forward(self, x, rng=None):
        door.floating(self, x)
        if self.n > 1 and (x.ndim < 2 or x.shape[1] != self.n):
            raise ValueError(f"{self.where()} expects (N, {self.n}, ...), got {x.shape}")
        return ops.prelu(x, self.W if x.ndim < 3 else ops.reshape(self.W, (self.n,) + (1,) * (x.ndim - 2)))


class Softmax(Module):
    """e^x over its sum along the last axis: (..., C) to (..., C). Explain the logits before it, not its output."""

    def forward(self, x, rng=None):
        door.floating(self, x)
        return ops.softmax(x)


class Flatten(Module):
    """(N, ...) to (N, features)."""

    def forward(self, x, rng=None):
        if x.ndim < 2:
            raise ValueError(f"{self.where()} expects (N, ...), got {x.shape}; a single row needs x[None]")
        return ops.flatten(x)
