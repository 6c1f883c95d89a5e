"""Recurrent layers with numbers everywhere, and their equations for one sequence in plain NumPy, step by step."""

import numpy as np

from minidl import nn

CELLS = {
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
    "lstm-peephole": (nn.LSTM, {"peephole": True}),
    "rnn": (nn.RNN, {}),
    "rnn-identity": (nn.RNN, {"activation": "identity"}),
}


def build(kind, seed, n_in=2, hidden=3, dtype="float64", **options):
    """A layer of that kind with biases and peepholes that are not zero."""
    make, own = CELLS[kind]
    layer = make(n_in, hidden, rng=seed, dtype=dtype, **own, **options)
    rng = np.random.default_rng([seed, 3])
    layer.b = rng.normal(size=layer.b.shape)
    if kind == "lstm-peephole":
        layer.peephole = rng.normal(size=(3, hidden))
    return layer


def sigm(z):
    return 1 / (1 + np.exp(-z))


def by_hand(kind, layer, x, state, W=None, U=None):
    """Outputs (T, H) and the last state of one sequence x (T, n_in); W, U: other weights than the layer's own.

    Sums over rows are written out, so that nothing but the equations is shared with the layer.
    """
    W, U, b = layer.W.data if W is None else W, layer.U.data if U is None else U, layer.b.data
    H, outputs = layer.n_hidden, []
    h, c = state if len(state) > 1 else (state[0], None)
    for x_t in x:
        zx = sum(x_t[j] * W[j] for j in range(len(x_t))) + b
        zh = sum(h[j] * U[j] for j in range(H))
        if kind == "gru":
            r, u = (sigm((zx + zh)[k * H : (k + 1) * H]) for k in (0, 1))
            n = np.tanh(zx[2 * H :] + r * zh[2 * H :])
            h = u * h + (1 - u) * n
        elif kind.startswith("lstm"):
            i, f, o, g = ((zx + zh)[k * H : (k + 1) * H] for k in range(4))
            p = layer.peephole.data if layer.peephole is not None else np.zeros((3, H))
            c = sigm(f + p[1] * c) * c + sigm(i + p[0] * c) * np.tanh(g)
            h = sigm(o + p[2] * c) * np.tanh(c)
        else:
            h = zx + zh if layer.activation == "identity" else np.tanh(zx + zh)
        outputs.append(h)
    return np.array(outputs), [h] if c is None else [h, c]
