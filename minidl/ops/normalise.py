"""Normalisation by the statistics of the batch: one fused operation beside the composed function that it equals."""

from __future__ import annotations

from ..backend import xp
from ..tape import Op, record
from .arithmetic import gate
from .elementwise import power
from .moves import reshape
from .reduce import mean


class BatchNormalise(Op):
    """y = gamma (x - mean) / sqrt(variance + eps) + beta, mean and variance of each channel over the other axes.

    x (N, C) or (N, C, ...), gamma (C,), beta (C,). The variance is the biased one (divided by the number of elements).
    """

    fused = True
    advice = (
        "batch statistics mix the rows: call model.eval() first, or pass expand=True to go through the statistics "
        "(the standard deviation is then the gate of the centred signal)"
    )

    def __init__(self, eps):
        self.eps = eps
        self._last = None

    def moments(self, x):
        """Mean, variance (C,), and 1 / sqrt(variance + eps) broadcast against x. Remembered for the last x."""
        if self._last is None or self._last[0] is not x:
            axes, lay = others(x), across(x)
            mu = x.mean(axes)
            d = x - mu.reshape(lay)
            variance = (d * d).mean(axes)
            self._last = (x, mu, variance, 1 / xp(x).sqrt(variance + self.eps).reshape(lay))
        return self._last[1:]

    def forward(self, x, gamma, beta):
        lay, (mu, _, inverse) = across(x), self.moments(x)
        y = x - mu.reshape(lay)
        y *= inverse * gamma.reshape(lay)
        y += beta.reshape(lay)
        return y

    def gradient(self, g, y, x, gamma, beta):
        axes, lay, (mu, _, inverse) = others(x), across(x), self.moments(x)
        n = x.size // x.shape[1]
        normal = (x - mu.reshape(lay)) * inverse
        dbeta, dgamma = g.sum(axes), (g * normal).sum(axes)

        def dx():
            # what moves the mean or the variance of the batch is taken out of g
            rest = g - dbeta.reshape(lay) / n - normal * (dgamma.reshape(lay) / n)
            return rest * (inverse * gamma.reshape(lay))

        return dx, dgamma, dbeta

    def simple(self, x, gamma, beta):
        """The composed form: centred signal, gated by the inverse standard deviation and by gamma."""
        axes, lay = others(x), across(x)
        d = x - mean(x, axes, keepdims=True)
        inverse = power(mean(d * d, axes, keepdims=True) + self.eps, -0.5)
        return gate(gate(d, inverse), reshape(gamma, lay)) + reshape(beta, lay)


def others(x):
    """All axes but the channel's, which is the second."""
    return (0, *range(2, x.ndim))


def across(x):
    """The shape in which (C,) broadcasts against x."""
    return (-1,) + (1,) * (x.ndim - 2)


def batch_normalise(x, gamma, beta, eps=1e-5):
    """x (N, C) or (N, C, ...) brought to mean beta and standard deviation gamma, channel by channel.

    Every row's result depends on all rows.
    """
    return record(BatchNormalise(eps), x, gamma, beta)
