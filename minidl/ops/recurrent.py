"""Recurrent cells over whole sequences (N, T, ...).

z = x W + b is computed for all steps by one product before the loop; what is left to do step after step are the
product h_{t-1} U and the cell. `unrolled` does it with plain operations, for any cell; `rnn` and `lstm` run fused
loops (`recurrent_kernels.py`) that name the unrolled form as their twin.

Masks are constants (K, N, S, width). K = 1: one mask for all gates (tied weights); K = the number of gates: a mask for
each (untied weights). S = 1: one mask at every step, which is a draw of weights for each sequence; S = T: a new mask at
each step, which is an ensemble of units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backend import xp
from ..tape import Op, record
from . import recurrent_kernels as kernels
from .arithmetic import gate, multiply
from .elementwise import relu, sigmoid, tanh
from .linear import affine
from .moves import concat, stack, unstack, where

# name: the non-linearity on tensors, the same on arrays, and its slope from its output
ACTIVATIONS = {
    "tanh": (tanh, lambda x: xp(x).tanh(x), lambda y: 1 - y * y),
    "relu": (relu, lambda x: xp(x).maximum(x, 0), lambda y: (y > 0).astype(y.dtype)),
    "identity": (lambda x: x, lambda x: x, lambda y: xp(y).ones_like(y)),
}


# ---- one step -------------------------------------------------------------------------------------------------------


def rnn_cell(activation: str) -> Callable[..., tuple]:
    """h_t = f(x_t W + b + h_{t-1} U) as a function of the two products and the state.

    Source: gal:bayesian-rnn
    """
    f = ACTIVATIONS[activation][0]
    return lambda zx, zh, h: (f(zx + zh),)


def lstm_cell(peephole: Sequence[Any] | None = None) -> Callable[..., tuple]:
    """(h_t, c_t) of an LSTM as a function of the two products, gates in the order i, f, o, g, and the state.

    peephole: three vectors (H,) by which the gates i and f see c_{t-1} and the gate o sees c_t.
    Source: gal:eq3.22
    """

    def cell(zx, zh, h, c):
        i, f, o, g = split(zx + zh, 4)
        if peephole is not None:
            i, f = i + multiply(c, peephole[0]), f + multiply(c, peephole[1])
        c = gate(c, sigmoid(f)) + gate(tanh(g), sigmoid(i))
        if peephole is not None:
            o = o + multiply(c, peephole[2])
        return gate(tanh(c), sigmoid(o)), c

    return cell


def gru_cell(zx: Any, zh: Any, h: Any) -> tuple:
    """h_t of a GRU from the two products, gates in the order r, u, n: h_t = u h_{t-1} + (1 - u) n.

    The reset gate r scales the product h_{t-1} U_n (the first form of Cho et al., also that of torch and cuDNN), not
    h_{t-1} before it: all products are then of h_{t-1} itself, so its masks drop rows of U as in the other cells.
    Source: gal:gru
    """
    (xr, xu, xn), (hr, hu, hn) = split(zx, 3), split(zh, 3)
    u = sigmoid(xu + hu)
    n = tanh(xn + gate(hn, sigmoid(xr + hr)))
    return (gate(h, u) + gate(n, 1 - u),)


# ---- all steps ------------------------------------------------------------------------------------------------------


def split(z: Any, gates: int) -> list[Any]:
    """The gates' parts of the last axis."""
    if gates == 1:
        return [z]
    width = z.shape[-1] // gates
    return [z[..., k * width : (k + 1) * width] for k in range(gates)]


def masked(x: Any, parts: Sequence[tuple], masks: Any) -> Any:
    """x times weights, plus biases if the parts have them; masks (K, ..., n_in) over x, each for its part, or None.

    One mask for all gates is eq 3.23, one for each gate eq 3.22. parts: (W, b) or (W,) for each mask.
    Source: gal:eq3.22, gal:eq3.23
    """
    if masks is None:
        return affine(x, *parts[0])
    products = [affine(multiply(x, mask), *part) for mask, part in zip(masks, parts)]
    return products[0] if len(products) == 1 else concat(products, -1)


def inputs(x: Any, W: Any, b: Any, masks: Any = None) -> Any:
    """x W + b for all steps at once: x (N, T, n_in) to z (N, T, gates H); masks (K, N, S, n_in) or None."""
    gates = 1 if masks is None else len(masks)
    return masked(x, list(zip(split(W, gates), split(b, gates))), masks)


def unrolled(cell: Callable, z: Any, U: Any, state: Sequence[Any], masks: Any = None, alive: Any = None) -> Any:
    """Any cell over any number of steps, with plain operations.

    cell(z_t, h_{t-1} U, *state) -> the new state, h_t first. z: (N, T, gates H). U: (H, gates H). state: arrays or
    tensors (N, H) or (1, H), h_0 first. masks: over h, (K, N, S, H), or None. alive: booleans (N, T, 1), False at steps
    beyond a sequence's length, which keep the state; or None.
    Returns (N, T + len(state) - 1, H): h of every step, then what else the last state holds.
    Source: gal:eq3.21
    """
    parts = list(zip(split(U, 1 if masks is None else len(masks))))
    outputs = []
    for t, z_t in enumerate(unstack(z, 1)):
        now = None if masks is None else masks[:, :, t % masks.shape[2]]
        new = cell(z_t, masked(state[0], parts, now), *state)
        state = new if alive is None else [where(alive[:, t], a, b) for a, b in zip(new, state)]
        outputs.append(state[0])
    return stack([*outputs, *state[1:]], 1)


class Recurrence(Op):
    """A cell over all steps in one operation. A subclass names its loops; what they found is kept for the way back."""

    fused = True

    def __init__(self, masks=None, alive=None):
        self.masks, self.alive = masks, alive
        self._kept = (None, None)

    def forward(self, z, U, *state):
        y, kept = self.run(z, U, *state)
        self._kept = y, kept
        return y

    def gradient(self, g, y, z, U, *state):
        kept = self._kept[1] if self._kept[0] is y else self.run(z, U, *state)[1]
        dz, *dstate = self.back(g, kept, U, *state)
        return dz, lambda: kernels.weights(state[0], y, dz, self.masks), *dstate


class Rnn(Recurrence):
    """h_t = f(z_t + h_{t-1} U) for all t: z (N, T, H) to (N, T, H)."""

    def __init__(self, activation="tanh", masks=None, alive=None):
        super().__init__(masks, alive)
        self.activation = activation

    def run(self, z, U, h):
        return kernels.rnn(z, U, h, self.masks, self.alive, ACTIVATIONS[self.activation][1])

    def back(self, g, kept, U, h):
        return kernels.rnn_back(g, kept, U, self.masks, self.alive, ACTIVATIONS[self.activation][2])

    def simple(self, z, U, h):
        """Step after step."""
        return unrolled(rnn_cell(self.activation), z, U, [h], self.masks, self.alive)


class Lstm(Recurrence):
    """An LSTM over all steps: z (N, T, 4H) to (N, T + 1, H), h of each step and the last c; peephole (3, H) or none."""

    def run(self, z, U, h, c, peephole=None):
        return kernels.lstm(z, U, h, c, peephole, self.masks, self.alive)

    def back(self, g, kept, U, h, c, peephole=None):
        dz, *dstate = kernels.lstm_back(g, kept, U, peephole, self.masks, self.alive)
        return dz, *dstate, *(() if peephole is None else (lambda: kernels.peepholes(kept, dz),))

    def simple(self, z, U, h, c, peephole=None):
        """Step after step."""
        cell = lstm_cell(None if peephole is None else unstack(peephole))
        return unrolled(cell, z, U, [h, c], self.masks, self.alive)


def rnn(z: Any, U: Any, h: Any, activation: str = "tanh", masks: Any = None, alive: Any = None) -> Any:
    """h_t = f(z_t + h_{t-1} U): z (N, T, H), h (N, H) or (1, H), to (N, T, H). The rest as for `unrolled`.

    activation: "tanh", "relu" or "identity".
    Source: gal:bayesian-rnn
    """
    return record(Rnn(activation, masks, alive), z, U, h)


def lstm(z: Any, U: Any, h: Any, c: Any, peephole: Any = None, masks: Any = None, alive: Any = None) -> Any:
    """An LSTM: z (N, T, 4H), gates in the order i, f, o, g, to (N, T + 1, H): h of each step, then the last c.

    h, c: (N, H) or (1, H). peephole: (3, H) or None. The rest as for `unrolled`.
    Source: gal:eq3.22, gal:eq3.23
    """
    return record(Lstm(masks, alive), z, U, h, c, *(() if peephole is None else (peephole,)))


def gru(z: Any, U: Any, h: Any, masks: Any = None, alive: Any = None) -> Any:
    """A GRU: z (N, T, 3H), gates in the order r, u, n, to (N, T, H), step after step. The rest as for `unrolled`.

    Source: gal:gru
    """
    return unrolled(gru_cell, z, U, [h], masks, alive)
