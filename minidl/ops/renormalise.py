"""Local renormalisation: each channel divided by a power of the activity in the channels around it."""

from __future__ import annotations

from numbers import Integral, Real

from ..tape import Op, record
from .arithmetic import gate
from .elementwise import power
from .families import constant
from .moves import pad
from .signals import ratio


class LocalResponseNormalise(Op):
    """y_i = x_i d_i^-beta, d_i = k + alpha / size * the sum of x_j^2 over the window of channels around i.

    It is no g(sum of h_i(x_i)), so relevance takes a Taylor step: R_j goes to the x_i in proportion to dy_j/dx_i x_i at
    x, what y_j would lose to first order on the way to x = 0. Neighbours hold y_j down, so they count against it. Where
    the terms sum to 0, R_j is undefined; where neighbours outweigh x_j, 2 beta (d_j - k) > d_j, all signs turn.
    Multipliers are those of the twin, exact: the Shapley values of a product.
    Source: lrp:local-renormalisation
    """

    def __init__(self, size, alpha, beta, k):
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x):
        return x * self.divisor(x) ** -self.beta

    def gradient(self, g, y, x):
        d = self.divisor(x)
        held_down = self.around(g * y / d, back=True) * (2 * self.beta * self.alpha / self.size)
        return (g * d**-self.beta - x * held_down,)

    def relevance(self, r, y, x):
        terms = y * (1 - (1 - self.k / self.divisor(x)) * (2 * self.beta))  # sum over i of dy_j/dx_i x_i
        q, undefined = ratio(r, terms)
        return x * self.gradient(q, y, x)[0], None, undefined

    def divisor(self, x):
        """d, in x's shape."""
        return self.around(x * x) * (self.alpha / self.size) + self.k

    def around(self, a, back=False):
        """Sums over each channel's window, from size // 2 below it to (size - 1) // 2 above it; back: the adjoint."""
        widths = self.size // 2, (self.size - 1) // 2
        padded = pad(a, ((0, 0), widths[::-1] if back else widths) + ((0, 0),) * (a.ndim - 2))
        first, *others = [padded[:, i : i + a.shape[1]] for i in range(self.size)]
        return sum(others, first)

    def simple(self, x):
        """The signal x, behind a gate that its neighbours close."""
        return gate(x, power(self.divisor(x), -self.beta))


def local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=1.0):
    """x_i / (k + alpha / size * sum of x_j^2)^beta, the sum over `size` channels around i: x (N, C, ...), in x's shape.

    The window of channel i is i - size // 2 ... i + (size - 1) // 2, cut off at the ends. alpha >= 0 is for the mean
    square over a full window, as in most toolkits; where it is written for the sum, pass size times that.
    k > 0, so that nothing divides by 0; beta >= 0.
    Raises ValueError for an x without channels, and for settings outside these limits.
    Source: lrp:local-renormalisation
    """
    if x.ndim < 2:
        raise ValueError(f"local_response_norm: x must be (N, C, ...), got {x.shape}")
    return record(LocalResponseNormalise(*checked_settings(size, alpha, beta, k, "local_response_norm")), x)


def checked_settings(size, alpha, beta, k, caller):
    """The four as Python numbers; ValueError names the one that lies outside its limits."""
    if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
        raise ValueError(f"{caller}: size must be a positive int, got {size!r}")
    found = [constant(v) for v in (alpha, beta, k)]
    for name, value, positive in zip(("alpha", "beta", "k"), found, (False, False, True)):
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not 0 <= value < float("inf") or (positive and value == 0):
            raise ValueError(f"{caller}: {name} must be finite and {'>' if positive else '>='} 0, got {value!r}")
    return int(size), *map(float, found)
