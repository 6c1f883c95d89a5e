"""Functions of one number, applied element by element."""

from __future__ import annotations

from ..backend import xp
from ..tape import raw, record
from . import fast
from .families import Elementwise, constant
from .moves import where


class Exp(Elementwise):
    """y = e^x."""

    def forward(self, x):
        return xp(x).exp(x)

    def gradient(self, g, y, x):
        return (g * y,)


class Log(Elementwise):
    """y = ln x, for x > 0."""

    whole_line = False

    def forward(self, x):
        return xp(x).log(x)

    def gradient(self, g, y, x):
        return (g / x,)


class Sqrt(Elementwise):
    """y = the root of x, for x >= 0."""

    whole_line = False

    def forward(self, x):
        return xp(x).sqrt(x)

    def gradient(self, g, y, x):
        return (g / (y * 2),)


class Power(Elementwise):
    """y = x^n, n a Python number."""

    def __init__(self, n):
        self.n = n
        self.whole_line = n >= 0 and n == int(n)

    def forward(self, x):
        return x**self.n

    def gradient(self, g, y, x):
        return (g * 0,) if self.n == 0 else (g * (x ** (self.n - 1) * self.n),)


class Abs(Elementwise):
    """y = |x|; the stated subgradient at 0 is 0."""

    kinked = True

    def forward(self, x):
        return abs(x)

    def gradient(self, g, y, x):
        return (g * sign(x),)


class Tanh(Elementwise):
    """y = tanh x."""

    def forward(self, x):
        return xp(x).tanh(x)

    def gradient(self, g, y, x):
        return (g * (1 - y * y),)


class Sigmoid(Elementwise):
    """y = 1 / (1 + e^-x), computed by tanh: faster, and it cannot overflow."""

    def forward(self, x):
        return xp(x).tanh(x * 0.5) * 0.5 + 0.5

    def gradient(self, g, y, x):
        return (g * y * (1 - y),)


class Softplus(Elementwise):
    """y = ln(1 + e^x)."""

    def forward(self, x):
        return xp(x).logaddexp(x, x.dtype.type(0))

    def gradient(self, g, y, x):
        return (g * sigmoid(x),)


class Sin(Elementwise):
    """y = sin x."""

    def forward(self, x):
        return xp(x).sin(x)

    def gradient(self, g, y, x):
        return (g * cos(x),)


class Cos(Elementwise):
    """y = cos x."""

    def forward(self, x):
        return xp(x).cos(x)

    def gradient(self, g, y, x):
        return (-(g * sin(x)),)


class Relu(Elementwise):
    """y = max(0, x); the stated subgradient at 0 is 0."""

    kinked = True

    def forward(self, x):
        return fast.relu(x)  # max(0, x)

    def gradient(self, g, y, x):
        return (fast.where_positive(g, x),)  # g * (x > 0)


class Elu(Elementwise):
    """y = x above 0, alpha (e^x - 1) below; subgradient alpha at 0."""

    kinked = True

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, x):
        m = xp(x)
        return m.maximum(x, 0) + m.expm1(m.minimum(x, 0)) * self.alpha

    def gradient(self, g, y, x):
        return (where(raw(x) > 0, g, g * (y + self.alpha)),)


class Prelu(Elementwise):
    """y = x above 0, a x below, with a learned slope a for each feature; subgradient a at 0."""

    kinked = True

    def forward(self, x, a):
        return xp(x).maximum(x, 0) + xp(x).minimum(x, 0) * a

    def gradient(self, g, y, x, a):
        up = raw(x) > 0
        return where(up, g, g * a), lambda: where(up, 0.0, g * x)


EXP, LOG, SQRT, ABS, TANH, SIGMOID, SOFTPLUS = Exp(), Log(), Sqrt(), Abs(), Tanh(), Sigmoid(), Softplus()
SIN, COS, RELU, PRELU = Sin(), Cos(), Relu(), Prelu()


def sign(x):
    """-1, 0 or 1: a plain array, for it has no slope worth recording."""
    return xp(raw(x)).sign(raw(x))


def exp(x):
    """e^x."""
    return record(EXP, x)


def log(x):
    """Natural logarithm."""
    return record(LOG, x)


def sqrt(x):
    """Square root."""
    return record(SQRT, x)


def power(x, n):
    """x^n for a Python number n. Raises TypeError if n is a tensor or an array."""
    n = constant(n)
    if not isinstance(n, (int, float)):
        raise TypeError(f"power: the exponent must be a Python number, got {type(n).__name__}")
    return record(Power(n), x)


def absolute(x):
    """|x|."""
    return record(ABS, x)


def tanh(x):
    """Hyperbolic tangent."""
    return record(TANH, x)


def sigmoid(x):
    """Logistic function 1 / (1 + e^-x)."""
    return record(SIGMOID, x)


def softplus(x):
    """ln(1 + e^x)."""
    return record(SOFTPLUS, x)


def sin(x):
    """Sine, x in radians."""
    return record(SIN, x)


def cos(x):
    """Cosine, x in radians."""
    return record(COS, x)


def relu(x):
    """max(0, x)."""
    return record(RELU, x)


def elu(x, alpha=1.0):
    """x above 0, alpha (e^x - 1) below."""
    return record(Elu(constant(alpha)), x)


def prelu(x, a):
    """x above 0, a x below; a broadcasts against x."""
    return record(PRELU, x, a)
