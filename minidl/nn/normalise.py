"""Batch normalisation: statistics of the batch in training, afterwards a scale and a shift that do not depend on x."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..ops.moves import reshape
from ..ops.normalise import BatchNormalise, across
from ..tape import raw, record
from . import door
from .initialise import constant
from .module import Module

__all__ = ["BatchNorm1d", "BatchNorm2d"]


class _BatchNorm(Module):
    buffers = ("running_mean", "running_var")
    settings = ("n", "momentum", "eps")
    ranks: tuple[int, ...] = ()
    shapes = ""

    def __init__(self, n: int, momentum: float = 0.1, eps: float = 1e-5, *, dtype: Any = "float32"):
        door.positive(self, n=n)
        if not 0 <= momentum <= 1:
            raise ValueError(f"{type(self).__name__}: momentum must lie in [0, 1], got {momentum!r}")
        if not eps > 0:
            raise ValueError(f"{type(self).__name__}: eps must be above 0, got {eps!r}")
        self.n, self.momentum, self.eps = n, float(momentum), float(eps)
        self.W, self.b = (constant((n,), v, dtype, type(self).__name__) for v in (1.0, 0.0))
        m = backend.current()
        self.running_mean, self.running_var = m.zeros(n, self.W.dtype), m.ones(n, self.W.dtype)

    def forward(self, x, rng=None):
        door.floating(self, x)
        if x.ndim not in self.ranks or x.shape[1] != self.n:
            raise ValueError(f"{self.where()} expects {self.shapes.format(n=self.n)}, got {x.shape}")
        if self.training:
            return self._from_the_batch(x)
        scale, shift = self.scale_and_shift()
        lay = across(x)
        return x * reshape(scale, lay) + reshape(shift, lay)

    def scale_and_shift(self) -> tuple[Any, Any]:
        """What the layer is in eval mode: tensors (n,), (n,) with y = x scale + shift."""
        inverse = 1 / backend.xp(self.running_var).sqrt(self.running_var + self.eps)
        scale = self.W * inverse
        return scale, self.b - scale * self.running_mean.copy()  # the tape keeps it; the layer's own will move on

    def _from_the_batch(self, x):
        values = raw(x)
        count = values.size // self.n
        if count < 2:
            raise ValueError(
                f"{self.where()} needs more than one value a channel to take statistics from the batch, got {x.shape}; "
                "call model.eval() to use the running ones"
            )
        op = BatchNormalise(self.eps)
        y = record(op, x, self.W, self.b)
        mean, variance, _ = op.moments(values)
        keep = 1 - self.momentum
        self.running_mean[...] = self.running_mean * keep + mean * self.momentum
        self.running_var[...] = self.running_var * keep + variance * (self.momentum * count / (count - 1))
        return y


class BatchNorm1d(_BatchNorm):
    """Each of n features brought to mean b and standard deviation W: x (N, n) or (N, n, T), in x's shape.

    Training: mean and (biased) variance of the batch; the running ones move towards it by `momentum`, the variance by
    its unbiased form. After `model.eval()` the running ones are used, and the layer is a scale and a shift.
    W (n,), b (n,), running_mean (n,), running_var (n,). Raises ValueError in training for a single value a channel.
    """

    ranks = (2, 3)
    shapes = "(N, {n}) or (N, {n}, T)"


class BatchNorm2d(_BatchNorm):
    """Each of n channels brought to mean b and standard deviation W: x (N, n, H, W), in x's shape; see BatchNorm1d."""

    ranks = (4,)
    shapes = "(N, {n}, H, W)"
