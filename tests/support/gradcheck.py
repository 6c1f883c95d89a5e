"""Gradients against finite differences, along random directions: the standard of HIPS autograd's `check_grads`."""

import numpy as np

from minidl import Tensor, grad
from minidl.tape import raw

from .tolerance import difference


def check_gradients(f, *arrays, order=2, seed=0):
    """Compare `grad` of f with central differences, then the derivative of that gradient, up to `order`.

    f: a function of as many tensors as there are float64 arrays, to one tensor. For a random upstream w and a random
    direction v of all arrays at once, the slope of t -> <w, f(x + t v)> at 0 must be the sum of <grad, v>. For the
    next order the same holds of the function (x, w) -> <grad(f, x, w), u>, u random, recorded with create_graph.
    """
    rng = np.random.default_rng([seed, order])
    inputs = [Tensor(np.array(a)) for a in arrays]
    y = f(*inputs)
    assert isinstance(y, Tensor), "f must return a Tensor"
    assert np.isfinite(raw(y)).all(), "the case must be finite"
    w = rng.normal(size=y.shape)
    gradients = grad(y, inputs, upstream=w)
    for k, (g, a) in enumerate(zip(gradients, arrays, strict=True)):
        assert g.shape == a.shape, f"gradient {k} has shape {g.shape}, its input {a.shape}"
    direction = [_unit(rng, a.shape) for a in arrays]

    def along(t):
        moved = [a + t * v for a, v in zip(arrays, direction, strict=True)]
        return float((raw(f(*[Tensor(a) for a in moved])) * w).sum())

    size = abs(y.data * w).sum() + sum(abs(g * a).sum() for g, a in zip(gradients, arrays, strict=True))
    slope, tolerance = difference(along, float(size))
    ours = float(sum((g * v).sum() for g, v in zip(gradients, direction, strict=True)))
    assert abs(slope - ours) <= tolerance, f"difference {slope!r}, gradient {ours!r}, tolerance {tolerance:.1e}"
    if order > 1:
        weights = [rng.normal(size=a.shape) for a in arrays]
        check_gradients(gradient_function(f, weights), *arrays, w, order=order - 1, seed=seed)


def gradient_function(f, weights):
    """(x..., w) -> the sum of <grad(f, x, upstream=w), weights>, on the tape."""

    def f1(*xs):
        *inputs, w = xs
        gradients = grad(f(*inputs), inputs, upstream=w, create_graph=True)
        return sum((g * u).sum() for g, u in zip(gradients, weights, strict=True))

    return f1


def _unit(rng, shape):
    """A random direction whose largest component is 1, so that nothing moves further than the step."""
    v = rng.uniform(-1, 1, size=shape)
    return v / max(abs(v).max(initial=0), 1e-300)
