"""Noise layers draw only when a call brings a generator: model(x, rng=rng). Without one they pass on the mean.

Noise on features (Dropout, GaussianDropout) has one number for each element; noise on weights (DropConnect,
AdditiveNoise) has a set of weights for each data point. Noise is drawn with `rng.random` or `rng.standard_normal`, the
data points on the first axis, in float32 whatever the type of x; it is a constant of the tape, so the backward pass
meets what the forward pass drew.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from .. import backend, ops
from ..ops.convolution import padding_of
from ..ops.kernels import same_padding
from ..tape import raw
from . import door
from .layers import Conv2d, Dense
from .module import Module

__all__ = ["AdditiveNoise", "DropConnect", "Dropout", "GaussianDropout"]

NUMBERS = 1 << 22  # weights drawn at once: 16 megabytes in float32


class Dropout(Module):
    """Each element is dropped (set to 0) with probability p, independently, in x's shape.

    p: the probability of DROPPING, in [0, 1). scaled: kept elements are divided by 1 - p, so that the mean is x itself;
    unscaled, masks are 0 or 1 and the mean is (1 - p) x. Without rng the layer returns that mean: standard dropout.
    Dropped features are dropped rows of the weights that follow: (h * eps) M = h (diag(eps) M), where all that a row
    sends out comes and goes together.
    Erratum: gal, sections 3.2.1, 3.3 and 3.4.1: printed units times 1 / (1 - p) at test time; right: times 1 - p for
    masks of 0 and 1; 1 / (1 - p) is the training factor of the scaled convention, whose units are left as they are.
    Erratum: gal, section 3.2.1: printed h^ = h^ * eps_2; right: h^ = h * eps_2.
    Source: gal:srt-dropout, gal:standard-dropout, gal:feature-to-weight, gal:row-factorisation
    """

    settings = ("p", "scaled")

    def __init__(self, p: float, scaled: bool = True):
        self.p, self.scaled = door.probability(self, p), bool(scaled)

    def forward(self, x, rng=None):
        door.floating(self, x)
        if rng is None or self.p == 0:
            return x if self.scaled or self.p == 0 else x * (1 - self.p)
        return ops.multiply(x, bernoulli(rng, x.shape, self.p, self.scaled, x))


class GaussianDropout(Module):
    """Each element is multiplied by a draw from N(1, alpha), independently, in x's shape. Without rng: x.

    alpha: the VARIANCE of the noise, above 0; p / (1 - p) is that of scaled Dropout.
    Source: gal:srt-mgn
    """

    settings = ("alpha",)

    def __init__(self, alpha: float):
        self.alpha = door.variance(self, alpha)

    def forward(self, x, rng=None):
        door.floating(self, x)
        return x if rng is None else ops.multiply(x, 1 + gaussian(rng, x.shape, self.alpha, x))


class WeightNoise(Module):
    """A layer whose weights W are drawn anew for each data point, and are the same everywhere within it.

    layer: Dense, x (N, ..., n_in), or Conv2d. Biases carry no noise. Weights are drawn for as many data points at once
    as make NUMBERS of them; with a tape all of them stay until the backward pass, without one a block at a time.
    """

    def __init__(self, layer: Dense | Conv2d):
        if type(layer) not in (Dense, Conv2d):
            raise TypeError(f"{type(self).__name__}: layer must be Dense or Conv2d, got {type(layer).__name__}")
        self.layer = layer

    def forward(self, x, rng=None):
        if rng is None or self.free():
            return self.mean(x)
        layer = self.layer
        rows = patches(self, x) if isinstance(layer, Conv2d) else in_rows(self, x)
        W = layer.W if isinstance(layer, Dense) else ops.transpose(ops.reshape(layer.W, (layer.c_out, -1)))
        size = max(1, NUMBERS // W.size)
        blocks = [slice(k, k + size) for k in range(0, max(1, len(rows)), size)]
        y = ops.concat([ops.affine(rows[at], self.draw(W, len(rows[at]), rng), layer.b) for at in blocks])
        if isinstance(layer, Conv2d):
            return ops.transpose(y, (0, 3, 1, 2))
        return ops.reshape(y, (*x.shape[:-1], layer.n_out))

    def mean(self, x: Any) -> Any:
        """What the layer makes of x with the mean of its weights."""
        return self.layer(x)

    def free(self) -> bool:
        """Whether there is nothing to draw."""
        return False

    def draw(self, W: Any, n: int, rng: np.random.Generator) -> Any:
        """Weights for n data points: (n, in, out)."""
        raise NotImplementedError


class DropConnect(WeightNoise):
    """Each weight of a layer is dropped with probability p for each data point, independently.

    layer: Dense or Conv2d. p, scaled: as for Dropout, on weights in place of features; without rng the mean.
    Raises TypeError for another layer, ValueError for p outside [0, 1).
    Source: gal:srt-dropconnect
    """

    settings = ("p", "scaled")

    def __init__(self, layer: Dense | Conv2d, p: float, scaled: bool = True):
        super().__init__(layer)
        self.p, self.scaled = door.probability(self, p), bool(scaled)

    def mean(self, x):
        return self.layer(x if self.scaled or self.p == 0 else x * (1 - self.p))

    def free(self):
        return self.p == 0

    def draw(self, W, n, rng):
        return ops.multiply(W, bernoulli(rng, (n, *W.shape), self.p, self.scaled, W))


class AdditiveNoise(WeightNoise):
    """Each weight of a layer has a draw from N(0, alpha) added for each data point, independently. Without rng: layer.

    layer: Dense or Conv2d. alpha: the VARIANCE of the noise, above 0. The weights themselves are drawn, not the sums
    that they lead to, so that one draw serves all time steps or places of a data point.
    Raises TypeError for another layer, ValueError for alpha not above 0.
    Source: gal:srt-additive
    """

    settings = ("alpha",)

    def __init__(self, layer: Dense | Conv2d, alpha: float):
        super().__init__(layer)
        self.alpha = door.variance(self, alpha)

    def draw(self, W, n, rng):
        return ops.add(W, gaussian(rng, (n, *W.shape), self.alpha, W))


def bernoulli(rng: np.random.Generator, shape: tuple[int, ...], p: float, scaled: bool, like: Any) -> Any:
    """Masks: 0 with probability p, else 1, or 1 / (1 - p) if scaled; in the type and the array module of `like`."""
    kept = rng.random(shape, np.float32) >= p
    mask = np.multiply(kept, 1 / (1 - p) if scaled else 1.0, dtype=raw(like).dtype)
    return backend.xp(raw(like)).asarray(mask)


def gaussian(rng: np.random.Generator, shape: tuple[int, ...], alpha: float, like: Any) -> Any:
    """Draws from N(0, alpha), alpha the variance; in the type and the array module of `like`."""
    noise = rng.standard_normal(shape, np.float32).astype(raw(like).dtype, copy=False)
    return backend.xp(raw(like)).asarray(noise * sqrt(alpha))


def in_rows(noise: WeightNoise, x: Any) -> Any:
    """x with an axis of rows for each data point, as a Dense layer is to meet it: (N, ..., rows, n_in)."""
    door.rows(noise, x, noise.layer.n_in)
    return ops.reshape(x, (len(x), 1, noise.layer.n_in)) if x.ndim == 2 else x


def patches(noise: WeightNoise, x: Any) -> Any:
    """The patches that the kernels of a Conv2d meet: (N, OH, OW, c_in kh kw)."""
    layer = noise.layer
    door.images(noise, x, layer.c_in)
    widths = padding_of(layer.padding)
    if widths == "same":
        widths = tuple(same_padding(n, k, s) for n, k, s in zip(x.shape[2:], layer.kernel, layer.stride))
    padded = ops.pad(x, ((0, 0), (0, 0), *widths))
    door.fits(noise, padded.shape[2:], layer.kernel)
    return ops.im2col(padded, layer.kernel, layer.stride)
