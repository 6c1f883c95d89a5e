"""Recurrent layers: sequences (N, T, n_in) to (N, T, n_hidden), with masks that stay the same for a whole sequence.

A mask drawn once and used at every step is a draw of the weights (rows of W and U set to zero), the same ones at every
step, as a Bayesian reading of the network asks; a new mask at each step is an ensemble of units, another model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import backend, ops
from ..ops.recurrent import ACTIVATIONS, inputs
from ..randomness import generator
from ..tape import raw
from . import door
from .initialise import constant, weights
from .module import Module
from .noise import bernoulli

__all__ = ["GRU", "LSTM", "RNN", "Masks", "detach"]


class Masks(NamedTuple):
    """The masks of one call: constants, or None where nothing is dropped.

    inputs: (K, N, S, n_in), recurrent: (K, N, S, H), outputs: (N, S, H). K = 1 for all gates, or the number of gates if
    each has its own; S = 1 for all steps, or the number of steps if each has its own.
    """

    inputs: Any
    recurrent: Any
    outputs: Any


class Recurrent(Module):
    """What the three layers share: the call, the masks, and what is refused. A subclass says what a `cell` does.

    Call: layer(x, state=None, lengths=None, rng=None) -> outputs (N, T, H); layer.run(...) -> (outputs, state).
    x: (N, T, n_in). state: what the sequences start with, zeros if not given; (N, H), for an LSTM (h, c), arrays (which
    no gradient passes) or tensors; `detach` makes the first from the second. lengths: integers (N,) in 1..T; steps
    beyond a sequence's length keep its state, and their outputs are 0. rng: draws masks, new ones for each call; the
    same int gives the same.
    p_in, p_recurrent, p_out: probabilities of DROPPING elements of x_t, of h_{t-1} on its way into the gates, and of
    the outputs. tied: one mask for all gates, else one for each. scaled: kept elements are divided by 1 - p; unscaled,
    masks are 0 or 1 and a call without rng multiplies by 1 - p instead. per_step: a new mask at each step, which is no
    draw of weights any more.
    init: a name from `initialise.INITIALISERS`, for each gate by itself; biases start at 0. dtype: of the parameters.
    Memory: an LSTM holds 11 H numbers for each step of each sequence until its tape is gone, without a tape while it
    runs.
    """

    gates = 1
    states = 1
    settings: tuple[str, ...] = ("n_in", "n_hidden", "tied", "p_in", "p_recurrent", "p_out", "scaled", "per_step")

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        tied: bool = True,
        p_in: float = 0.0,
        p_recurrent: float = 0.0,
        p_out: float = 0.0,
        *,
        scaled: bool = True,
        per_step: bool = False,
        rng: Any = 0,
        init: str = "glorot_uniform",
        dtype: Any = "float32",
    ):
        door.positive(self, n_in=n_in, n_hidden=n_hidden)
        self.n_in, self.n_hidden = n_in, n_hidden
        self.tied, self.scaled, self.per_step = bool(tied), bool(scaled), bool(per_step)
        self.p_in = door.probability(self, p_in, "p_in")
        self.p_recurrent = door.probability(self, p_recurrent, "p_recurrent")
        self.p_out = door.probability(self, p_out, "p_out")
        name, width = type(self).__name__, self.gates * n_hidden
        rng = generator(rng, name)
        self.W = weights((n_in, width), n_in, n_hidden, init, rng, dtype, name)
        self.U = weights((n_hidden, width), n_hidden, n_hidden, init, rng, dtype, name)
        self.b = constant((width,), 0.0, dtype, name)

    def __call__(self, x: Any, state: Any = None, lengths: Any = None, rng: Any = None) -> Any:
        """The outputs (N, T, H), a Tensor."""
        return super().__call__(x, rng, state=state, lengths=lengths)

    def run(self, x: Any, state: Any = None, lengths: Any = None, rng: Any = None) -> tuple[Any, Any]:
        """The outputs (N, T, H) and the last state, to go on with: (N, H), for an LSTM a pair of them."""
        return super().__call__(x, rng, state=state, lengths=lengths, both=True)

    def forward(self, x, rng=None, state=None, lengths=None, both=False):
        door.steps(self, x, self.n_in)
        n, steps, _ = x.shape
        state, alive = self._state(state, n, x), self._alive(lengths, n, steps, x)
        masks = self.masks(n, steps, rng)
        z = inputs(x, self.W, self.b, masks.inputs)
        y = self.cell(z, state, masks.recurrent, alive)
        outputs = y[:, :steps]
        if masks.outputs is not None:
            outputs = ops.multiply(outputs, masks.outputs)
        if alive is not None:
            outputs = ops.multiply(outputs, alive)
        if not both:
            return outputs
        last = tuple(y[:, k] for k in range(steps - 1, y.shape[1]))
        return outputs, last if self.states > 1 else last[0]

    def cell(self, z: Any, state: tuple, masks: Any, alive: Any) -> Any:
        """All steps from z = x W + b, (N, T, gates H): (N, T, H), and behind it what else the last state holds."""
        raise NotImplementedError

    def masks(self, n: int, steps: int, rng: np.random.Generator | None = None) -> Masks:
        """Draw the masks of a call with n sequences; without rng their means, which are None if scaled."""
        gates, times = 1 if self.tied else self.gates, steps if self.per_step else 1

        def draw(p, gates, width):
            if p == 0 or (rng is None and self.scaled):
                return None
            if rng is None:
                return backend.xp(self.W.data).full((gates, 1, 1, 1), 1 - p, self.W.dtype)
            return bernoulli(rng, (n, gates, times, width), p, self.scaled, self.W).swapaxes(0, 1)

        drawn = draw(self.p_in, gates, self.n_in), draw(self.p_recurrent, gates, self.n_hidden)
        outputs = draw(self.p_out, 1, self.n_hidden)
        return Masks(*drawn, None if outputs is None else outputs[0])

    def _state(self, state: Any, n: int, x: Any) -> tuple:
        """The first state as a tuple: zeros for all sequences, or what was given."""
        if state is None:
            return (backend.xp(raw(x)).zeros((1, self.n_hidden), x.dtype),) * self.states
        door.state(self, state, (n, self.n_hidden), self.states)
        return tuple(state) if self.states > 1 else (state,)

    def _alive(self, lengths: Any, n: int, steps: int, x: Any) -> Any:
        """Whether a step still belongs to its sequence, (N, T, 1); None if all do."""
        if lengths is None:
            return None
        lengths = door.lengths(self, lengths, n, steps)
        alive = np.arange(steps)[:, None] < lengths[:, None, None]
        return None if alive.all() else backend.xp(raw(x)).asarray(alive)


class RNN(Recurrent):
    """h_t = f(x_t W + h_{t-1} U + b): W (n_in, H), U (H, H), b (H,).

    activation: f, "tanh", "relu" or "identity" (a linear network). The call and further options: see `Recurrent`.
    Source: gal:bayesian-rnn, gal:eq3.21, gal:remark-ensembling
    """

    settings = ("n_in", "n_hidden", "activation", *Recurrent.settings[3:])

    def __init__(self, n_in: int, n_hidden: int, activation: str = "tanh", **options: Any):
        if activation not in ACTIVATIONS:
            raise ValueError(f"RNN: activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        super().__init__(n_in, n_hidden, **options)
        self.activation = activation

    def cell(self, z, state, masks, alive):
        return ops.rnn(z, self.U, *state, self.activation, masks, alive)


class LSTM(Recurrent):
    """c_t = f c_{t-1} + i g, h_t = o tanh(c_t): W (n_in, 4H), U (H, 4H), b (4H,), gates in the order i, f, o, g.

    peephole: the gates also see the cell through a diagonal, i and f c_{t-1}, o c_t; `peephole` is then a parameter
    (3, H), which starts at 0, else None. tied: one mask over [x_t, h_{t-1}] for all gates, as if all weights were one
    matrix (eq 3.23), or one for each gate's matrices (eq 3.22); without masks both are the same. One bias vector, which
    the text leaves out. The call and further options: see `Recurrent`.
    Erratum: gal, eq 3.23: printed W (x_t; h_{t-1}) with W of 4K x 2K, for columns and with x_t as wide as h_t; right
    for rows: [x_t, h_{t-1}] times a matrix (n_in + H, 4H), here W above U.
    Source: gal:eq3.22, gal:eq3.23
    """

    gates = 4
    states = 2
    settings = (*Recurrent.settings, "peepholes")

    def __init__(self, n_in: int, n_hidden: int, peephole: bool = False, tied: bool = True, **options: Any):
        super().__init__(n_in, n_hidden, tied, **options)
        self.peepholes = bool(peephole)
        self.peephole = constant((3, n_hidden), 0.0, self.W.dtype, "LSTM") if peephole else None

    def cell(self, z, state, masks, alive):
        return ops.lstm(z, self.U, *state, self.peephole, masks, alive)


class GRU(Recurrent):
    """h_t = u h_{t-1} + (1 - u) n, n = tanh(x_t W_n + b_n + r (h_{t-1} U_n)): W (n_in, 3H), U (H, 3H), b (3H,).

    Gates in the order r (reset), u (update), n. The text names the cell and gives no equations. Of its two forms this
    is the one in which r scales the product with U_n: every product is one of h_{t-1} itself, so a mask over h_{t-1}
    drops rows of U, as in the other cells, and one vector of biases is all there is. torch and cuDNN have the same
    form, with a second vector inside the brackets, which is 0 here. The call and further options: see `Recurrent`.
    Source: gal:gru
    """

    gates = 3

    def __init__(self, n_in: int, n_hidden: int, tied: bool = True, **options: Any):
        super().__init__(n_in, n_hidden, tied, **options)

    def cell(self, z, state, masks, alive):
        return ops.gru(z, self.U, *state, masks, alive)


def detach(state: Any) -> Any:
    """The numbers of a state without its history, as arrays: where truncated backpropagation cuts.

    state: as returned by `run`, a tensor, a pair of them, or one of these for each layer; or None, which stays None.
    """
    return tuple(map(detach, state)) if isinstance(state, tuple) else raw(state)
