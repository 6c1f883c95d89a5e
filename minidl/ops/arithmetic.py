"""Plus, minus, times, divided by; and the gate, a product that says which factor is the signal."""

from __future__ import annotations

from ..tape import Op, Tensor, record
from .elementwise import power
from .families import Sum, beside, constant, typed


class Add(Sum):
    """y = a + b; either may be a plain array or number, which then absorbs its share."""

    def forward(self, a, b):
        return a + b

    def gradient(self, g, y, a, b):
        return g, g


class Shift(Add):
    """y = a + b where a is the signal and b only moves its zero, as the largest logit does within a softmax."""

    def relevance(self, r, y, a, b):
        return r, None


class Scale(Op):
    """y = c x with a constant c: a mask, a fixed factor, minus one. A negative c swaps the parts."""

    def __init__(self, c):
        self.c = c

    def forward(self, x):
        return x * self.c

    def gradient(self, g, y, x):
        return (g * self.c,)

    def relevance(self, r, y, x):
        return (r,)

    def multiplier(self, m, y, x):
        return (m * self.c,)

    def parts(self, y, x):
        return x.parts * self.c


class Divide(Scale):
    """y = x / c with a constant c."""

    def forward(self, x):
        return x / self.c

    def gradient(self, g, y, x):
        return (g / self.c,)

    def multiplier(self, m, y, x):
        return (m * (1 / self.c),)

    def parts(self, y, x):
        return x.parts * (1 / self.c)


class Product(Op):
    """y = a * b of two tensors.

    Relevance needs to know which of them is the signal: where only one depends on the input it takes all.
    Each multiplier is the Shapley value of two players, exact: (b + b0) / 2 and (a + a0) / 2.
    """

    asks_live = True
    advice = (
        "two values that both depend on the input are multiplied (or divided): write gate(signal, gate) to say which "
        "is the signal, or explain the logit before it"
    )

    def linear_in(self, live, a, b):
        """A product of numbers leaves no choice of a rule."""
        return None

    def forward(self, a, b):
        return a * b

    def gradient(self, g, y, a, b):
        return lambda: g * b, lambda: g * a

    def relevance(self, r, y, a, b, live):
        if all(live):
            return None
        return [r if alive else None for alive in live]

    def multiplier(self, m, y, a, b):
        return m * b.middle, m * a.middle

    def parts(self, y, a, b):
        return a.parts * b.middle + b.parts * a.middle


class Gate(Product):
    """y = a * b where a is the signal and b the gate, which only opens or closes: LSTM gates, masks."""

    asks_live = False

    def relevance(self, r, y, a, b):
        return r, None  # the signal takes it all


ADD, SHIFT, PRODUCT, GATE, NEGATE = Add(), Shift(), Product(), Gate(), Scale(-1)


def gate(signal, gate):
    """signal * gate: relevance goes to the signal, multipliers to both."""
    return record(GATE, *beside(signal, gate))


def add(a, b):
    """a + b."""
    return record(ADD, *beside(a, b))


def shift(signal, by):
    """signal + by: relevance goes to the signal, multipliers to both."""
    return record(SHIFT, *beside(signal, by))


def subtract(a, b):
    """a - b."""
    a, b = beside(a, b)
    return record(ADD, a, -b)


def multiply(a, b):
    """a * b."""
    if isinstance(b, Tensor):
        return record(PRODUCT, a, b) if isinstance(a, Tensor) else record(Scale(typed(a, b)), b)
    return record(Scale(typed(b, a) if isinstance(a, Tensor) else constant(b)), a)


def divide(a, b):
    """a / b; where b is a tensor, a times its reciprocal."""
    if isinstance(b, Tensor):
        return multiply(a, power(b, -1))
    return record(Divide(typed(b, a) if isinstance(a, Tensor) else constant(b)), a)


def negate(a):
    """-a."""
    return record(NEGATE, a)
