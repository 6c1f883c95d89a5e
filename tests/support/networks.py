"""Random networks for laws: biases, zeros, ties, reused layers, skips, gates, pooling, memory cells.

Weights are often small multiples of 1/2, so that zeros and ties are common rather than never seen.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minidl import ops
from minidl.tape import Scope, scope

SMOOTH = {"tanh": ops.tanh, "sigmoid": ops.sigmoid, "softplus": ops.softplus}
KINKED = {"relu": ops.relu, "elu": ops.elu}


@dataclass
class Network:
    """A function from a Tensor (N, ...) to (N, 2), with an input, a reference row, and what it is made of."""

    steps: list
    names: list
    x: Any
    reference: Any

    def __call__(self, x):
        for k, step in enumerate(self.steps):
            with scope(Scope(str(k), step)):
                x = step(x)
        return x

    def generic(self):
        """The input, zeros kept, off the lattice on which terms cancel to exactly 0 (proportions are 0/0 there)."""
        return self.x * (1 + 0.1 * np.random.default_rng(0).random(self.x.shape))

    def __repr__(self):
        return f"Network({' '.join(self.names)}, x {self.x.shape})"


@st.composite
def networks(draw, images=None, activations=None, gates=True, powers=False, winners=True, dtype=np.float64):
    """Draw a network and its input.

    activations: names allowed, all if None; () makes a linear network. gates: products that name their signal.
    powers: products of two live signals (for the multiplier pass only). winners: maxima.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = draw(st.booleans())
    images = draw(st.booleans()) if images is None else images
    pool = {**KINKED, **SMOOTH}
    names_of_pool = sorted(pool if activations is None else activations)
    linear = not names_of_pool

    def array(*shape):
        a = rng.integers(-2, 3, shape) * 0.5 if coarse else rng.normal(size=shape)
        return (a * (rng.random(shape) < 0.6) if rng.random() < 0.3 else a).astype(dtype)

    def activation():
        return (lambda x: x) if linear else pool[draw(st.sampled_from(names_of_pool))]

    steps, names = [], []
    if images:
        shape, width = _convolutions(draw, rng, array, activation, steps, names, winners)
    else:
        shape, width = (4,), 4
    width = _dense(draw, array, activation, steps, names, width, gates, powers, winners)
    W, b = array(width, 2), array(2)
    steps.append(lambda x: ops.affine(x, W, b))
    n = draw(st.integers(1, 3))
    return Network(steps, names, array(n, *shape), array(1, *shape))


def _convolutions(draw, rng, array, activation, steps, names, winners):
    c, size = 2, 6
    for _ in range(draw(st.integers(1, 3))):
        kinds = ["conv", "act", "norm", "residual", "concat", "reuse", "pad"]
        kinds += (["avg", "sum"] + (["max"] if winners else [])) if size > 1 else []
        kind = draw(st.sampled_from(kinds))
        names.append(kind)
        if kind == "conv":
            out, padding = int(rng.integers(1, 4)), draw(st.sampled_from([0, 1, "same"])) if size > 2 else 1
            W, b = array(out, c, 3, 3), array(out)
            steps.append(lambda x, W=W, b=b, p=padding: ops.conv2d(x, W, b, 1, p))
            size, c = (size - 2 if padding == 0 else size), out
        elif kind == "act":
            steps.append(activation())
        elif kind == "pad":
            steps.append(lambda x: ops.pad(x, ((0, 0), (0, 0), (1, 0), (0, 1))))
            size += 1
        elif kind == "norm":  # batch normalisation in eval mode
            s, t = array(c, 1, 1), array(c, 1, 1)
            steps.append(lambda x, s=s, t=t: x * s + t)
        elif kind == "residual":
            W, b, f = array(c, c, 3, 3), array(c), activation()
            steps.append(lambda x, W=W, b=b, f=f: x + f(ops.conv2d(x, W, b, 1, 1)))
        elif kind == "reuse":
            W, b, f = array(c, c, 3, 3), array(c), activation()
            steps.append(lambda x, W=W, b=b, f=f: ops.conv2d(f(ops.conv2d(x, W, b, 1, 1)), W, b, 1, 1))
        elif kind == "concat":
            W, b = array(1, c, 3, 3), array(1)
            f = activation()
            steps.append(lambda x, W=W, b=b, f=f: ops.concat([x, f(ops.conv2d(x, W, b, 1, 1))], 1))
            c += 1
        else:
            f = {"max": ops.max_pool2d, "avg": ops.avg_pool2d, "sum": ops.sum_pool2d}[kind]
            stride = draw(st.integers(1, 2))
            steps.append(lambda x, f=f, s=stride: f(x, 2, s))
            size = (size - 2) // stride + 1
    steps.append(ops.flatten)
    names.append("flatten")
    return (2, 6, 6), c * size * size


def _dense(draw, array, activation, steps, names, width, gates, powers, winners):
    kinds = ["dense", "act", "residual", "reuse", "sub", "constant", "mean"]
    kinds += ["maxout", "maximum"] if winners else []
    kinds += ["gate", "cell"] if gates else []
    kinds += ["square", "quotient"] if powers else []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(kinds))
        names.append(kind)
        if kind == "dense":
            out = draw(st.integers(1, 4))
            W, b = array(width, out), array(out)
            steps.append(lambda x, W=W, b=b: ops.affine(x, W, b))
            width = out
        elif kind == "act":
            steps.append(activation())
        elif kind == "residual":
            W, b, f = array(width, width), array(width), activation()
            steps.append(lambda x, W=W, b=b, f=f: x + f(ops.affine(x, W, b)))
        elif kind == "reuse":
            W, b, f = array(width, width), array(width), activation()
            steps.append(lambda x, W=W, b=b, f=f: ops.affine(f(ops.affine(f(ops.affine(x, W, b)), W, b)), W))
        elif kind == "sub":
            W, b, f = array(width, width), array(width), activation()
            steps.append(lambda x, W=W, b=b, f=f: x - f(ops.affine(x, W, b)))
        elif kind == "maxout":
            W, b, f = array(width, 6), array(6), draw(st.sampled_from([ops.relu, None]))
            steps.append(
                lambda x, W=W, b=b, f=f: ops.amax((f or (lambda z: z))(ops.affine(x, W, b)).reshape(-1, 3, 2), 2)
            )
            width = 3
        elif kind == "maximum":
            W, b, c = array(width, width), array(width), array(width)
            steps.append(lambda x, W=W, b=b, c=c: ops.maximum(ops.maximum(x, ops.affine(x, W, b)), c))
        elif kind == "constant":
            s, t = array(width), array(width)
            steps.append(lambda x, s=s, t=t: x * s + t)
        elif kind == "mean":
            steps.append(lambda x: ops.concat([ops.mean(x, 1, keepdims=True), x / 3], 1))
            width += 1
        elif kind == "gate":
            W, b, V, a = array(width, 3), array(3), array(width, 3), array(3)
            steps.append(lambda x, W=W, b=b, V=V, a=a: ops.gate(ops.affine(x, W, b), ops.sigmoid(ops.affine(x, V, a))))
            width = 3
        elif kind == "cell":
            W, b, U = array(width, 8), array(8), array(2, 8)
            steps.append(lambda x, W=W, b=b, U=U: _cell(x, W, b, U))
            width = 4
        elif kind == "square":
            W, b = array(width, width), array(width)
            steps.append(lambda x, W=W, b=b: x * ops.affine(x, W, b))
        elif kind == "quotient":
            steps.append(lambda x: x / (1.5 + ops.tanh(x)))
    return width


def _cell(x, W, b, U):
    """Two steps of an LSTM cell with plain operations: gates i, f, o, g; the signals are g, c and tanh(c)."""
    h = c = None
    for _ in range(2):
        a = ops.affine(x, W, b) if h is None else ops.affine(x, W, b) + ops.affine(h, U)
        i, f, o = (ops.sigmoid(a[:, 2 * k : 2 * k + 2]) for k in range(3))
        new = ops.gate(ops.tanh(a[:, 6:]), i)
        c = new if c is None else ops.gate(c, f) + new
        h = ops.gate(ops.tanh(c), o)
    return ops.concat([h, c], 1)
