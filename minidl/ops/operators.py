"""What Tensor understands when it is written in a formula: x * w + b, x @ W, x[0], x > 0, x.sum()."""

from __future__ import annotations

from ..tape import Tensor, raw
from . import arithmetic as a
from . import linear, moves, reduce
from .elementwise import absolute, power


def _shape(shape):
    return tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape


def _compare(name):
    def compare(self, other):
        return getattr(self.data, name)(raw(other))

    return compare


def install() -> None:
    """Give Tensor its operators. Comparisons return plain boolean arrays."""
    T = Tensor
    T.__add__ = T.__radd__ = a.add
    T.__sub__ = a.subtract
    T.__rsub__ = lambda self, other: a.add(negate(self), other)
    T.__mul__ = T.__rmul__ = a.multiply
    T.__truediv__ = a.divide
    T.__rtruediv__ = lambda self, other: a.divide(other, self)
    T.__neg__ = negate
    T.__pow__ = power
    T.__abs__ = absolute
    T.__matmul__ = linear.matmul
    T.__rmatmul__ = lambda self, other: linear.matmul(other, self)
    T.__getitem__ = moves.getitem
    for name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"):
        setattr(T, name, _compare(name))
    T.__hash__ = object.__hash__  # setting __eq__ on a class that exists keeps it; said here so that nobody wonders
    T.sum = reduce.total
    T.mean = reduce.mean
    T.max = reduce.amax
    T.reshape = lambda self, *shape: moves.reshape(self, _shape(shape))
    T.transpose = lambda self, *axes: moves.transpose(self, _shape(axes) or None)
    T.T = property(moves.transpose, doc="Axes reversed.")


negate = a.negate
