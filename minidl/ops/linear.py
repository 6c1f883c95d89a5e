"""Products with weights: y = x W + b, and the product of two matrices."""

from __future__ import annotations

from ..tape import Op, Tensor, record
from . import fast
from .families import Linear
from .moves import reshape, swapaxes
from .signals import Pair, ratio


class Affine(Linear):
    """y = x W + b, row vectors: x (..., in), W (in, out), b (out,).

    W and b may carry leading axes (K, in, out), (K, out): clients, draws, ensemble members. Then x carries them too,
    of length 1 where it is shared; axes of x between them and the features (rows, time) are kept.
    Source: lrp:eq3
    """

    def forward(self, x, W, *b):
        y = times(x, lift(W, x, 2))
        if not b:
            return y
        if b[0].ndim > 1 or b[0].dtype != y.dtype:
            return y + self.spread(b[0], y)
        y += b[0]  # y is ours
        return y

    def gradient(self, g, y, x, W, *b):
        return (lambda: times(g, swapaxes(lift(W, x, 2), -1, -2)), lambda: weight_gradient(x, g, W)) + tuple(
            (lambda: bias_gradient(g, b[0]),) if b else ()
        )

    def spread(self, b, y):
        return lift(b, y, 1)


def times(a, b):
    """a @ b, of arrays by the fast product."""
    return a @ b if isinstance(a, Tensor) or isinstance(b, Tensor) else fast.product(a, b)


def lift(W, x, own):
    """W with axes of length 1 between its leading axes and its own last ones, so that it lines up with x."""
    lead = W.ndim - own
    inner = max(x.ndim - lead - own, 0)
    return W.reshape(W.shape[:lead] + (1,) * inner + W.shape[lead:]) if lead and inner else W


def weight_gradient(x, g, W):
    """Sum over rows of the outer products of x and g, in W's shape."""
    lead = W.ndim - 2
    if not lead and x.ndim != 2:  # one product for all rows, or for the only one
        if fast.turned(g):
            x, g = swapaxes(x, 0, 1), g.swapaxes(0, 1)
        x, g = x.reshape((-1, x.shape[-1])), g.reshape((-1, g.shape[-1]))
    dW = times(swapaxes(x, -1, -2), g)
    between = tuple(range(lead, dW.ndim - 2)) if lead else ()
    return dW.sum(between) if between else dW


def bias_gradient(g, b):
    """Sum of g over rows, in b's shape."""
    lead = b.ndim - 1
    return g.sum(tuple(range(lead, g.ndim - 1)))


class MatMul(Op):
    """y = a @ b of two matrices, or stacks of them.

    Where one factor depends on the input and both are matrices, this is a linear operation and takes LRP's rule from
    the table; in stacks of matrices that factor gets relevance in proportion. Two such factors are an error.
    Multipliers are exact Shapley values of the two factors, as for a plain product.
    """

    asks_live = True
    advice = "two matrices that both depend on the input are multiplied: explain one at a time"

    def linear_in(self, live, a, b):
        """How a relevance rule is applied: to a W directly, to W b turned around; None where there is no such rule."""
        if sum(live) != 1 or b.ndim != 2 or (live[1] and a.ndim != 2):
            return None
        if live[0]:
            return lambda rule, r, y, a, b: rule(AFFINE, r, y, a, b)

        def turned(rule, r, y, a, b):
            shares = [None if s is None else swapaxes(s, 0, 1) for s in rule(AFFINE, r.T, y.T, b.T, a.T)]
            return [None, shares[0], *shares[2:]]

        return turned

    def forward(self, a, b):
        return a @ b

    def gradient(self, g, y, a, b):
        return lambda: g @ swapaxes(b, -1, -2), lambda: swapaxes(a, -1, -2) @ g

    def relevance(self, r, y, a, b, live):
        if all(live):
            return None
        q, undefined = ratio(r, y)
        ga, gb = self.gradient(q, y, a, b)
        return (lambda: a * ga()) if live[0] else None, (lambda: b * gb()) if live[1] else None, None, undefined

    def multiplier(self, m, y, a, b):
        bt, at = swapaxes(b.middle, -1, -2), swapaxes(a.middle, -1, -2)
        return product(m, bt), product_left(at, m)

    def parts(self, y, a, b):
        return product(a.parts, b.middle) + product_left(a.middle, b.parts)


def product(p, s):
    """Pair times a matrix of coefficients; those below zero swap the parts."""
    if p.one:
        return p.map(lambda a: a @ s)
    up, down = (s + abs(s)) * 0.5, (s - abs(s)) * 0.5
    return Pair(p.pos @ up + p.neg @ down, p.neg @ up + p.pos @ down)


def product_left(s, p):
    """A matrix of coefficients times a pair."""
    return _turn(product(_turn(p), swapaxes(s, -1, -2)))


def _turn(p):
    return p.map(lambda a: swapaxes(a, -1, -2))


AFFINE, MATMUL = Affine(), MatMul()


def affine(x, W, b=None):
    """x W + b; see Affine for the shapes."""
    return record(AFFINE, x, W) if b is None else record(AFFINE, x, W, b)


def matmul(a, b):
    """a @ b; a vector on either side stands for one row or one column."""
    if a.ndim == 1:
        return reshape(y := matmul(reshape(a, (1, -1)), b), y.shape[:-2] + y.shape[-1:] if b.ndim > 1 else ())
    if b.ndim == 1:
        return reshape(y := record(MATMUL, a, reshape(b, (-1, 1))), y.shape[:-1])
    return record(MATMUL, a, b)
