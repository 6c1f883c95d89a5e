"""A table of cases for every operation: the one place that a new operation is entered for all laws about operations.

A maker draws a Case: a function of tensors and plain constants (labels, masks, indices), and arrays for them. All
numbers of a case are distinct and stay away from 0, from one another (ties) and from the ends of a function's domain
by more than finite differences move them. Arrays come in C order, in Fortran order, strided, reversed and repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl import ops

from .tolerance import GAP


@dataclass
class Case:
    f: Callable[..., Any]
    arrays: tuple
    constants: tuple = ()

    def __call__(self, *tensors):
        return self.f(*tensors, *self.constants)

    def to(self, convert, dtype=None):
        """The same case with every array converted: to another type, to another array module."""
        arrays = [a if dtype is None else a.astype(dtype) for a in self.arrays]
        constants = [c.astype(dtype) if dtype is not None and c.dtype.kind == "f" else c for c in self.constants]
        return Case(self.f, tuple(map(convert, arrays)), tuple(map(convert, constants)))


class Drawing:
    """Shapes and numbers for one case."""

    def __init__(self, draw):
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    def side(self, low=1, high=4):
        return self.draw(st.integers(low, high))

    def shape(self, low=0, high=3):
        return tuple(self.side() for _ in range(self.draw(st.integers(low, high))))

    def arrays(self, *shapes, low=-2.0, high=2.0, repeated=False):
        """Arrays of these shapes; no two of all their elements are closer than 2 GAP, and none that close to 0."""
        sizes = [int(np.prod(s)) for s in shapes]
        n = sum(sizes) + sum(sizes) % 2  # an even number of cells: 0 is the border of two
        cells = (np.arange(n) + 0.5 + self.rng.uniform(-0.2, 0.2, n)) / max(n, 1)
        values = self.rng.permutation(low + (high - low) * cells)
        assert n < 2 or np.diff(np.sort(values)).min() > 2 * GAP
        pieces = np.split(values, np.cumsum(sizes))
        return tuple(self.view(p.reshape(s), repeated) for p, s in zip(pieces, shapes, strict=False))

    def array(self, *shape, low=-2.0, high=2.0, repeated=False):
        return self.arrays(shape, low=low, high=high, repeated=repeated)[0]

    def view(self, a, repeated):
        """The array in another layout of memory; with `repeated` it may also be one row, many times, read only."""
        if not a.ndim or not a.size:
            return a
        kinds = ["plain", "fortran", "strided", "reversed"] + (["repeated"] if repeated else [])
        kind = self.pick(*kinds)
        if kind == "fortran":
            return np.asfortranarray(a)
        if kind == "strided":
            wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan)
            wide[..., ::2] = a
            return wide[..., ::2]
        if kind == "reversed":
            return a[::-1].copy()[::-1]
        return np.broadcast_to(a[:1], a.shape) if kind == "repeated" else a

    def pair(self, **limits):
        """Two arrays that broadcast against each other."""
        shapes = self.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4))
        return self.arrays(*shapes.input_shapes, **limits)

    def axis(self, ndim):
        """None, an axis from either end, or two axes."""
        two = ((0, -1),) if ndim > 1 else ()
        return self.pick(None, *range(-ndim, ndim), *two)


MAKERS: dict[str, list[Callable[[Drawing], Case]]] = {}


def case(*names):
    """Enter a maker under the names of the operations that it is a case of."""

    def enter(maker):
        for name in names:
            MAKERS.setdefault(name, []).append(maker)
        return maker

    return enter


def cases(name):
    """A strategy of all cases of the operation."""
    return st.composite(lambda draw: draw(st.sampled_from(MAKERS[name]))(Drawing(draw)))()


def _one_input(name, **limits):
    f = getattr(ops, name)
    case(name)(lambda d: Case(f, (d.array(*d.shape(), repeated=True, **limits),)))


for _name in ("absolute", "cos", "elu", "exp", "negate", "relu", "sigmoid", "sin", "softplus", "tanh"):
    _one_input(_name)
for _name in ("log", "sqrt"):
    _one_input(_name, low=0.5)


def _two_inputs(name, **limits):
    f = getattr(ops, name)
    case(name)(lambda d: Case(f, d.pair(**limits)))


for _name in ("add", "subtract", "multiply", "gate", "maximum", "minimum"):
    _two_inputs(_name)


@case("sign")
def _(d):
    return Case(lambda x: ops.sign(x) * x, (d.array(*d.shape()),))


@case("power")
def _(d):
    n = d.pick(0, 1, 2, 3, -1, -2, 0.5, np.float64(2))
    return Case(lambda x: ops.power(x, n), (d.array(*d.shape(), low=0.5),))


@case("power")
def _(d):
    return Case(lambda x: x**3, (d.array(*d.shape()),))


@case("divide")
def _(d):
    return Case(ops.divide, d.pair(low=0.5, high=2.0))


@case("add", "subtract", "multiply", "divide", "maximum", "minimum", "gate", "where")
def _(d):
    """Constants on either side: Python numbers and NumPy scalars."""
    c = d.pick(3, 0.5, np.float64(0.5), np.float32(3))
    fs = (
        lambda x: (c - x) * c + x / c,
        lambda x: c / (x + 5) - c * x,
        lambda x: ops.maximum(x, c) + ops.minimum(c, x) - ops.maximum(c, x),
        lambda x: ops.gate(x, c) + ops.gate(c, x),
        lambda x: ops.where(x > 0, c, x) + ops.where(x > 0, x, c),
    )
    return Case(d.pick(*fs), (d.array(*d.shape(), low=0.6, high=2.9),))


@case("add", "subtract", "multiply", "divide", "gate", "maximum")
def _(d):
    """A plain array on either side of a tensor."""
    a, b = d.pair(low=0.5)
    fs = (
        lambda x, c: (x + c) * c - x / c,
        lambda x, c: (c - x) * (c + x),
        lambda x, c: c / x,
        lambda x, c: ops.gate(x, c) + ops.gate(c, x) + ops.maximum(c, x),
    )
    return Case(d.pick(*fs), (a,), (b,))


@case("elu")
def _(d):
    alpha = d.pick(0.5, 2, np.float64(0.5))
    return Case(lambda x: ops.elu(x, alpha), (d.array(*d.shape()),))


@case("prelu")
def _(d):
    return Case(ops.prelu, d.pair())


@case("multiply", "add")
def _(d):
    """One tensor on several ways: diamonds."""
    return Case(lambda x: (x * x + x) * x, (d.array(*d.shape()),))


@case("affine")
def _(d):
    n_in, n_out = d.side(), d.side()
    x, W, b = d.arrays((*d.shape(), n_in), (n_in, n_out), (n_out,))
    return Case(ops.affine, d.pick((x, W), (x, W, b)))


@case("affine")
def _(d):
    """Leading axes: K weights at once, for inputs of their own or shared."""
    k, n_in, n_out = d.side(), d.side(), d.side()
    rows = d.shape(1, 2)
    x, W, b = d.arrays((d.pick(1, k), *rows, n_in), (k, n_in, n_out), (k, n_out))
    return Case(ops.affine, d.pick((x, W), (x, W, b)))


@case("matmul")
def _(d):
    n, k, m = d.side(), d.side(), d.side()
    shapes = d.pick(
        ((n, k), (k, m)), ((2, n, k), (k, m)), ((n, k), (2, k, m)), ((2, 1, n, k), (3, k, m)),
        ((k,), (k, m)), ((n, k), (k,)), ((k,), (k,)), ((2, n, k), (k,)), ((k,), (2, k, m)),
    )  # fmt: skip
    return Case(ops.matmul, d.arrays(*shapes))


@case("total", "mean", "amax")
def _(d):
    x = d.array(*d.shape())
    axis, keepdims = d.axis(x.ndim), d.pick(False, True)
    f = d.pick(ops.total, ops.mean, ops.amax)
    return Case(lambda x: f(x, axis, keepdims) * 0.5, (x,))


@case("logsumexp", "softmax")
def _(d):
    x = d.array(*d.shape(1))
    axis, f = d.pick(*range(-x.ndim, x.ndim)), d.pick(ops.logsumexp, ops.softmax)
    return Case(lambda x: f(x, axis), (x,))


@case("softmax_cross_entropy")
def _(d):
    n, c = d.side(), d.side()
    return Case(ops.softmax_cross_entropy, (d.array(n, c),), (d.rng.integers(0, c, n),))


@case("reshape", "flatten")
def _(d):
    x = d.array(*d.shape(1))
    return Case(d.pick(ops.flatten, lambda x: ops.reshape(x, (-1, x.shape[0])), lambda x: x.reshape(-1)), (x,))


@case("transpose", "swapaxes")
def _(d):
    x = d.array(*d.shape(2))
    axes = tuple(d.draw(st.permutations(range(-x.ndim, 0))))
    return Case(d.pick(lambda x: ops.transpose(x, axes), lambda x: x.T, lambda x: ops.swapaxes(x, 0, -1)), (x,))


@case("broadcast_to")
def _(d):
    shapes = d.draw(hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=(3, 2)))
    return Case(lambda x: ops.broadcast_to(x, shapes.result_shape), (d.array(*shapes.input_shapes[0]),))


@case("getitem")
def _(d):
    index = d.pick(
        0, -1, slice(1, None), slice(None, None, -2), (slice(None), None, 1), (..., slice(0, 2)), (1, 2), [0, 0, 2],
        np.int64(1),
    )  # fmt: skip
    return Case(lambda x: ops.getitem(x, index), (d.array(3, 4),))


@case("getitem")
def _(d):
    """Arrays in the index, repeated ones too: their gradients add."""
    f = d.pick(lambda x, i, j, m: x[i], lambda x, i, j, m: x[i, j], lambda x, i, j, m: x[:, j], lambda x, i, j, m: x[m])
    rng = d.rng
    return Case(f, (d.array(3, 4),), (rng.integers(0, 3, 5), rng.integers(-4, 4, 5), rng.random((3, 4)) < 0.5))


@case("embedding")
def _(d):
    ids = d.rng.integers(0, 3, d.shape(1, 2))
    return Case(lambda table, ids: ops.embedding(ids, table), (d.array(3, d.side()),), (ids,))


@case("concat", "stack")
def _(d):
    shape = d.shape(1)
    xs, axis = d.arrays(shape, shape, shape), d.pick(0, -1)
    f = d.pick(ops.concat, ops.stack)
    return Case(lambda *xs: f([*xs, xs[0]], axis), xs)


@case("pad")
def _(d):
    shape = d.shape(1)
    widths = [(d.side(0, 2), d.side(0, 2)) for _ in shape]
    return Case(lambda x: ops.pad(x, widths) * 2, (d.array(*shape),))


@case("where")
def _(d):
    shape = d.shape(1)
    a, b = d.arrays(shape, d.pick(shape, (1,), ()))
    return Case(lambda a, b, mask: ops.where(mask, a, b), (a, b), (d.rng.random(shape) < 0.5,))


def _window(d, n):
    """A kernel and a stride that fit an image of n x n."""
    return (d.side(1, n), d.side(1, n)), (d.side(1, 3), d.side(1, 3))


@case("im2col", "col2im")
def _(d):
    kernel, stride = _window(d, 3)
    shape = (d.side(1, 2), d.side(1, 2), d.side(3, 5), d.side(3, 5))
    if d.pick(True, False):
        return Case(lambda x: ops.im2col(x, kernel, stride), (d.array(*shape),))
    rows = ops.im2col(np.zeros(shape), kernel, stride).shape
    return Case(lambda g: ops.col2im(g, kernel, stride, shape), (d.array(*rows),))


@case("conv2d")
def _(d):
    n, c, o = d.side(1, 3), d.pick(1, 2, 12), d.side(1, 3)
    kernel, stride = _window(d, 3)
    padding = d.pick(0, 1, (0, 2), "same")
    x, W, b = d.arrays((n, c, d.side(3, 5), d.side(3, 5)), (o, c, *kernel), (o,))
    arrays = d.pick((x, W), (x, W, b))
    return Case(lambda x, W, b=None: ops.conv2d(x, W, b, stride, padding), arrays)


@case("max_pool2d", "sum_pool2d", "avg_pool2d")
def _(d):
    size, stride = _window(d, 3)
    stride = d.pick(stride, None, (1, 1))
    f = d.pick(ops.max_pool2d, ops.sum_pool2d, ops.avg_pool2d)
    x = d.array(d.side(1, 2), d.side(1, 2), d.side(3, 6), d.side(3, 6))
    if d.pick(True, False):  # channels first in memory, as the fast convolution leaves it
        x = np.ascontiguousarray(x.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
    return Case(lambda x: f(x, size, stride), (x,))


@case("power_mean_pool2d")
def _(d):
    size, stride = _window(d, 3)
    p = d.pick(1, 2, 3.5, np.float64(20))
    x = d.array(d.side(1, 2), d.side(1, 2), d.side(3, 6), d.side(3, 6), low=0.5, repeated=True)
    stride = d.pick(stride, None)
    return Case(lambda x: ops.power_mean_pool2d(x, size, stride, p), (x,))


@case("local_response_norm")
def _(d):
    size, alpha, beta, k = d.side(1, 5), d.pick(0.0, 0.5, np.float64(3)), d.pick(0.0, 0.75, 2), d.pick(1.0, 0.5)
    x = d.array(d.side(1, 3), d.side(1, 4), *d.shape(0, 2), repeated=True)
    return Case(lambda x: ops.local_response_norm(x, size, alpha, beta, k), (x,))


@case("unstack")
def _(d):
    x, axis = d.array(d.side(1, 7), d.side(), d.side()), d.pick(0, 1, -1)
    return Case(lambda x: sum(part * (k + 1) for k, part in enumerate(ops.unstack(x, axis))), (x,))


def _recurrent(name, gates, states):
    """Sequences of up to four steps, with the state that they start with, masks of both kinds, and lengths."""
    f = getattr(ops, name)

    @case(name)
    def _(d):
        steps, n, h = d.side(), d.side(1, 3), d.side(1, 3)
        state = [(d.pick(1, n), h)] * states
        arrays = d.arrays((n, steps, gates * h), (h, gates * h), *state, *([(3, h)] if name == "lstm" else []))
        if name == "lstm" and d.pick(True, False):
            arrays = arrays[:-1]  # no peepholes
        mask = d.rng.integers(0, 2, (d.pick(1, gates), n, d.pick(1, steps), h)) * 2.0
        alive = np.arange(steps)[:, None] < d.rng.integers(1, steps + 1, (n, 1, 1))
        names = d.pick((), ("masks",), ("alive",), ("masks", "alive"))
        options = {"activation": d.pick("tanh", "identity")} if name == "rnn" else {}

        def call(*inputs):
            *tensors, mask, alive = inputs
            given = {"masks": mask, "alive": alive}
            return f(*tensors, **options, **{name: given[name] for name in names})

        return Case(call, arrays, (mask, alive))


for _name, _gates, _states in (("rnn", 1, 1), ("lstm", 4, 2), ("gru", 3, 1)):
    _recurrent(_name, _gates, _states)
