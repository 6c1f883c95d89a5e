"""The families of operations. Each says once how its members send relevance and multipliers.

A new operation picks its family and writes `forward` and `gradient`; that is all for most of them.
"""

from __future__ import annotations

from ..tape import BY_TABLE, Op, Tensor
from .signals import Pair, ratio, split, xp


def call(share):
    """A share, computed now if it was left as a function."""
    return share() if callable(share) else share


def constant(c):
    """A NumPy scalar as a Python number, so that it does not widen float32 to float64."""
    return c.item() if getattr(c, "ndim", None) == 0 and not isinstance(c, Tensor) and hasattr(c, "item") else c


def beside(a, b):
    """Two operands; beside a tensor a constant takes its type: dtype in is dtype out."""
    if isinstance(a, Tensor):
        return a, b if isinstance(b, Tensor) else typed(b, a)
    return (typed(a, b), b) if isinstance(b, Tensor) else (a, b)


def typed(c, t):
    """A constant beside the tensor t: a NumPy scalar as a Python number, an array in t's dtype."""
    c = constant(c)
    return c.astype(t.dtype) if getattr(c, "dtype", t.dtype) != t.dtype else c


def by_gradient(op, m, y, *x):
    """Multipliers sent back by the gradient rule: exact where the output is a plain sum or choice of inputs."""
    values = [i.value for i in x]
    up = [call(s) for s in op.gradient(m.pos, y.value, *values)]
    down = up if m.one else [call(s) for s in op.gradient(m.neg, y.value, *values)]
    return [None if a is None else Pair(a, b) for a, b in zip(up, down, strict=True)]


class Move(Op):
    """Every element of the output IS one element of an input: the adjoint serves all three passes."""

    def relevance(self, r, y, *x):
        return self.gradient(r, y, *x)

    def multiplier(self, m, y, *x):
        return by_gradient(self, m, y, *x)

    def parts(self, y, *x):
        return Pair(self.forward(*[i.parts.pos for i in x]), self.forward(*[i.parts.neg for i in x]))


class Sum(Move):
    """Every element of the output is a plain sum of inputs: relevance in proportion to the terms (eq 16).

    A sum that is exactly 0 has no proportions; what it holds is accounted for as undefined.
    Erratum: lrp, figure 2's caption: printed messages from neuron i to its input j; right: from j to its input i.
    Source: lrp:eq16
    """

    def relevance(self, r, y, *x):
        q, undefined = ratio(r, y)
        return [None if g is None else _times(i, g) for i, g in zip(x, self.gradient(q, y, *x), strict=True)] + [
            None,
            undefined,
        ]


def _times(i, g):
    return lambda: i * call(g)


class Elementwise(Op):
    """y = f(x), element by element; further inputs are parameters of f.

    Relevance passes (eq 63: it does not depend on f, given the relevance of y). The multiplier is the table's choice
    of Rescale or RevealCancel; deconvnet and guided backpropagation choose here too.
    kinked: f has a corner, so its slope is taken from the quotient however small the difference.
    whole_line: f is defined for every real x, so that RevealCancel may evaluate it anywhere.
    Source: lrp:eq63
    """

    kinked = False
    whole_line = True
    multiplier = parts = BY_TABLE

    def relevance(self, r, y, x, *parameters):
        return (r,)

    def slope(self, y, x, *parameters):
        """dy/dx at x."""
        return call(self.gradient(xp(x).ones_like(x), y, x, *parameters)[0])


class Linear(Op):
    """y = A(x; W) + b, linear in x and in W. Inputs: x, W and, if there is one, b.

    The rules need only forward and the adjoint in x, so the dense layer, the convolution and the gates of a
    recurrent cell share them. LRP's rule is the table's choice; DeepLIFT has one, the Linear rule: the sign of
    weight times TOTAL difference decides to which part a term goes, both parts of it together.
    Erratum: deeplift, section 3.5.1: printed m_{x+,y+} = m_{x-,y-} = 0.5 w where dx = 0, "similarly for dx-"; right:
    all four multipliers are 0.5 w.
    Source: deeplift:linear-rule
    """

    relevance = BY_TABLE

    def adjoint(self, g, y, x, W):
        """A transposed: sends g, of y's shape, back to x's shape."""
        return call(self.gradient(g, y, x, W)[0])

    def spread(self, b, y):
        """The bias in a shape that broadcasts against y."""
        return b

    def parts(self, y, x, W, *b):
        d, P, N = split(x.diff), *split_weights(W.value)
        f = self.forward
        return Pair(f(d.pos, P) + f(d.neg, N), f(d.pos, N) + f(d.neg, P))

    def multiplier(self, m, y, x, W, *b):
        if m.one:  # nothing above has told the parts apart
            a = self.adjoint(m.pos, y.value, x.value, W.value)
            return (Pair(a, a),)
        P, N = split_weights(W.value)
        up = self.adjoint(m.pos, y.value, x.value, P) + self.adjoint(m.neg, y.value, x.value, N)
        down = self.adjoint(m.pos, y.value, x.value, N) + self.adjoint(m.neg, y.value, x.value, P)
        d = x.diff
        share = (d > 0) + (d == 0) * d.dtype.type(0.5)
        a = up * share + down * (1 - share)
        return (Pair(a, a),)


def split_weights(W):
    """The positive and the negative weights."""
    m = xp(W)
    return m.maximum(W, 0), m.minimum(W, 0)


class Winner(Op):
    """The maximum of several elements. Ties share.

    Relevance and gradient go to the winners. The multiplier is a secant: the output's difference from its reference
    is credited to the winners of x (M - y0) and to those of the reference (y - M), M = max(y, y0). By monotony
    |credit| <= |dx|, so the coefficients credit / dx lie in [0, 1] and the division is harmless.
    """

    def relevance(self, r, y, *x):
        return self.gradient(r, y, *x)

    @staticmethod
    def secant(credit, d, at_rest):
        """credit / d; where the difference is 0 the share at rest (the reference's)."""
        still = d == 0
        if not still.any():
            return credit / d
        return credit / (d + still) + at_rest * still  # where d is 0 so is the credit
