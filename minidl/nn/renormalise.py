"""Local renormalisation as a layer."""

from __future__ import annotations

from .. import ops
from ..ops.renormalise import checked_settings
from . import door
from .module import Module

__all__ = ["LocalResponseNorm"]


class LocalResponseNorm(Module):
    """Each channel divided by (k + alpha / size * sum of squares over `size` channels around it)^beta: (N, C, ...).

    See `ops.local_response_norm` for the window. With alpha for the sum of squares, as where it was first used, n = 5,
    k = 2, alpha = 1e-4, beta = 0.75 is LocalResponseNorm(5, alpha=5e-4, k=2.0).
    Raises ValueError for a size that is no positive int, alpha or beta below 0, k not above 0.
    Source: lrp:local-renormalisation
    """

    settings = ("size", "alpha", "beta", "k")

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        self.size, self.alpha, self.beta, self.k = checked_settings(size, alpha, beta, k, "LocalResponseNorm")

    def forward(self, x, rng=None):
        door.floating(self, x)
        if x.ndim < 2:
            raise ValueError(f"{self.where()} expects (N, C, ...), got {x.shape}; a single row needs x[None]")
        return ops.local_response_norm(x, self.size, self.alpha, self.beta, self.k)
