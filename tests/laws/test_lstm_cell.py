"""All three passes through a memory cell, written with plain operations step after step, and through the layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores, assert_law
from support.gradcheck import check_gradients

from minidl import nn, ops
from minidl.explain import deeplift, gradient_times_input, integrated_gradients, lrp
from minidl.explain.rules import alpha_beta, basic, epsilon, rescale, reveal_cancel

H = 3  # units of the cell


def cell(x, h, c, W, U, b):
    """One step: gates in the order i, f, o, g; x (N, n_in), h and c (N, H). The gates open, the signals pass."""
    z = ops.affine(x, W, b) + ops.affine(h, U)
    i, f, o = (ops.sigmoid(z[:, k * H : (k + 1) * H]) for k in range(3))
    g = ops.tanh(z[:, 3 * H :])
    c = ops.gate(c, f) + ops.gate(g, i)
    return ops.gate(ops.tanh(c), o), c


def lstm(parameters, steps):
    """x (N, steps, n_in) to the sum of weighted outputs (N, 1)."""
    W, U, b, V = parameters

    def model(x):
        h = c = np.zeros((1, H))
        for t in range(steps):
            h, c = cell(x[:, t], h, c, W, U, b)
        return ops.affine(h, V)

    return model


def layer(parameters, steps):
    """The same by `nn.LSTM`."""
    own = nn.LSTM(2, H, dtype="float64")
    own.W, own.U, own.b, V = parameters
    return lambda x: ops.affine(own(x)[:, steps - 1], V)


def drawn(seed, steps, make=lstm):
    rng = np.random.default_rng(seed)
    parameters = [rng.normal(size=s) * 1.5 for s in ((2, 4 * H), (H, 4 * H), (4 * H,), (H, 1))]
    return make(parameters, steps), rng.normal(size=(2, steps, 2)), rng.normal(size=(1, steps, 2))


both = pytest.mark.parametrize("make", [lstm, layer], ids=["cell", "layer"])
cells = given(seed=st.integers(0, 10_000), steps=st.integers(1, 6))


@pytest.mark.source("deeplift:eq1")
@pytest.mark.parametrize("rule", [rescale(), reveal_cancel()], ids=["rescale", "reveal-cancel"])
@both
@cells
def test_contributions_through_the_cell_sum_to_the_difference(make, rule, seed, steps):
    model, x, reference = drawn(seed, steps, make)
    assert_law(deeplift(model, x, reference=reference, rules=rule))


@pytest.mark.source("lrp:eq2")
@pytest.mark.parametrize("rule", [basic(), epsilon(0.1), alpha_beta(2, -1)], ids=["basic", "epsilon", "alpha-beta"])
@both
@cells
def test_relevance_through_the_cell_is_conserved(make, rule, seed, steps):
    model, x, _ = drawn(seed, steps, make)
    assert_law(lrp(model, x, rules=rule))


@both
@cells
def test_gradients_of_the_cell_to_order_two(make, seed, steps):
    model, x, _ = drawn(seed, min(steps, 3), make)
    check_gradients(model, x)


@pytest.mark.source("gal:eq3.22")
@cells
def test_the_layer_explains_as_the_cell_does(seed, steps):
    (cell, x, reference), (fused, _, _) = drawn(seed, steps), drawn(seed, steps, layer)
    for explain in (
        lambda model: deeplift(model, x, reference=reference, rules=rescale()),
        lambda model: deeplift(model, x, reference=reference, rules=reveal_cancel()),
        lambda model: lrp(model, x, rules=epsilon(0.1)),
    ):
        ours, theirs = explain(fused), explain(cell)
        assert_equal_scores(ours.scores, theirs.scores, theirs.flow)


@both
@given(seed=st.integers(0, 10_000))
def test_with_gates_held_open_the_cell_adds_up_its_inputs_and_all_methods_agree(make, seed):
    """Biases that saturate the gates leave c = sum of tanh(...), and small inputs keep that linear."""
    rng = np.random.default_rng(seed)
    W, U, b = np.zeros((2, 4 * H)), np.zeros((H, 4 * H)), np.zeros(4 * H)
    W[:, 3 * H :], b[: 3 * H] = rng.normal(size=(2, H)), 50.0
    model, x = make([W, U, b, rng.normal(size=(H, 1))], 4), 1e-9 * rng.normal(size=(2, 4, 2))
    expected = gradient_times_input(model, x)
    for result in (deeplift(model, x, reference=0.0), integrated_gradients(model, x, reference=0.0, steps=2)):
        assert_equal_scores(result.scores, expected.scores, 1e3 * expected.flow)
    # relevance counts what is there, not differences: h passes through gates of 1 and a tanh that is the identity here
    assert_equal_scores(lrp(model, x, rules=basic()).scores, expected.scores, 1e3 * expected.flow)


@both
def test_a_saturated_cell_has_no_gradient_but_a_contribution(make):
    """What DeepLIFT expects of recurrent networks: where tanh saturates gradients vanish, differences do not."""
    W, U, b = np.zeros((2, 4 * H)), np.zeros((H, 4 * H)), np.zeros(4 * H)
    W[:, 3 * H :], b[: 3 * H] = 30.0, 50.0
    model, x = make([W, U, b, np.ones((H, 1))], 2), np.ones((1, 2, 2))
    assert abs(gradient_times_input(model, x).scores).max() < 1e-20
    result = deeplift(model, x, reference=0.0)
    assert_law(result)
    np.testing.assert_allclose(result.scores, np.full((1, 2, 2), result.output.item() / 4))
