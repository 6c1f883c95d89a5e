"""The same cells in torch give the same outputs, states and gradients, with weights copied over; float64."""

import numpy as np
import pytest
from support.recurrent import build

from minidl import Tensor, grad, nn

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'minidl[peers]'")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
ORDER = {"rnn": [0], "lstm": [0, 1, 3, 2], "gru": [0, 1, 2]}  # where our gates stand in torch's rows


def reordered(kind, a):
    """Our weights (n, gates H) or biases as torch's, and back again: the exchange of two gates is its own inverse."""
    parts = np.split(a, len(ORDER[kind]), -1)
    return np.concatenate([parts[k] for k in ORDER[kind]], -1).T.copy()


def twin(kind, *layers, **options):
    """The layers, one on top of the other, in torch. Its second vector of biases is 0."""
    first = layers[0]
    make = getattr(torch.nn, kind.upper())
    theirs = make(first.n_in, first.n_hidden, len(layers), batch_first=True, **options).double()
    with torch.no_grad():
        for k, layer in enumerate(layers):
            for ours, name in ((layer.W, "weight_ih"), (layer.U, "weight_hh"), (layer.b, "bias_ih")):
                getattr(theirs, f"{name}_l{k}").copy_(torch.tensor(reordered(kind, ours.data)))
            getattr(theirs, f"bias_hh_l{k}").zero_()
    return theirs


def batch(n=4, steps=6):
    rng = np.random.default_rng(5)
    return rng.normal(size=(n, steps, 2)), rng.normal(size=(n, steps, 3)), rng.normal(size=(2, n, 3))


def compare(kind, layer, theirs):
    x, w, (h, c) = batch()
    ours = [Tensor(x), Tensor(h), *([Tensor(c)] if kind == "lstm" else [])]
    y, last = layer.run(ours[0], tuple(ours[1:]) if kind == "lstm" else ours[1])
    tx, th, tc = (torch.tensor(a, requires_grad=True) for a in (x, h[None], c[None]))
    ty, tlast = theirs(tx, (th, tc) if kind == "lstm" else th)
    np.testing.assert_allclose(y.data, ty.detach().numpy(), rtol=1e-10, atol=1e-12)
    for a, b in zip(last if kind == "lstm" else (last,), tlast if kind == "lstm" else (tlast,), strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy()[0], rtol=1e-10, atol=1e-12)
    found = grad(y, [*ours, layer.W, layer.U, layer.b], upstream=w)
    (ty * torch.tensor(w)).sum().backward()
    for g, leaf in zip(found, [tx, th, tc] if kind == "lstm" else [tx, th]):
        np.testing.assert_allclose(g, leaf.grad.numpy().reshape(g.shape), rtol=1e-10, atol=1e-12)
    for g, name in zip(found[-3:], ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"), strict=True):
        np.testing.assert_allclose(reordered(kind, g), getattr(theirs, name).grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.source("gal:eq3.22", "gal:eq3.23")
@pytest.mark.parametrize("tied", [True, False])
def test_lstm_tied_and_untied(tied):
    layer = build("lstm", 1, tied=tied, p_in=0.3, p_recurrent=0.3)
    compare("lstm", layer, twin("lstm", layer))


@pytest.mark.source("gal:gru")
def test_gru():
    layer = build("gru", 1)
    compare("gru", layer, twin("gru", layer))


@pytest.mark.source("gal:bayesian-rnn")
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_rnn(activation):
    layer = build("rnn", 1)
    layer.activation = activation
    compare("rnn", layer, twin("rnn", layer, nonlinearity=activation))


@pytest.mark.parametrize("kind", sorted(ORDER))
def test_stacked_layers(kind):
    first, second = build(kind, 1), build(kind, 2, n_in=3)
    x = batch()[0]
    expected = twin(kind, first, second)(torch.tensor(x))[0].detach().numpy()
    np.testing.assert_allclose(nn.Sequential(first, second)(x).data, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", sorted(ORDER))
def test_lengths(kind):
    layer, x, lengths = build(kind, 1), batch()[0], [6, 4, 4, 1]
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(x), torch.tensor(lengths), batch_first=True)
    outputs, last = twin(kind, layer)(packed)
    padded = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0].detach().numpy()
    y, state = layer.run(x, lengths=lengths)
    np.testing.assert_allclose(y.data, padded, rtol=1e-10, atol=1e-12)
    for a, b in zip(state if kind == "lstm" else (state,), last if kind == "lstm" else (last,), strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy()[0], rtol=1e-10, atol=1e-12)
