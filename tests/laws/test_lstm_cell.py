"""All three passes through a memory cell written with plain operations, step after step: what the layers must keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores, assert_law
from support.gradcheck import check_gradients

from minidl import ops
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


def drawn(seed, steps):
    rng = np.random.default_rng(seed)
    parameters = [rng.normal(size=s) * 1.5 for s in ((2, 4 * H), (H, 4 * H), (4 * H,), (H, 1))]
    return lstm(parameters, steps), rng.normal(size=(2, steps, 2)), rng.normal(size=(1, steps, 2))


cells = given(seed=st.integers(0, 10_000), steps=st.integers(1, 6))


@pytest.mark.source("deeplift:eq1")
@pytest.mark.parametrize("rule", [rescale(), reveal_cancel()], ids=["rescale", "reveal-cancel"])
@cells
def test_contributions_through_the_cell_sum_to_the_difference(rule, seed, steps):
    model, x, reference = drawn(seed, steps)
    assert_law(deeplift(model, x, reference=reference, rules=rule))


@pytest.mark.source("lrp:eq2")
@pytest.mark.parametrize("rule", [basic(), epsilon(0.1), alpha_beta(2, -1)], ids=["basic", "epsilon", "alpha-beta"])
@cells
def test_relevance_through_the_cell_is_conserved(rule, seed, steps):
    model, x, _ = drawn(seed, steps)
    assert_law(lrp(model, x, rules=rule))


@cells
def test_gradients_of_the_cell_to_order_two(seed, steps):
    model, x, _ = drawn(seed, min(steps, 3))
    check_gradients(model, x)


@given(seed=st.integers(0, 10_000))
def test_with_gates_held_open_the_cell_adds_up_its_inputs_and_all_methods_agree(seed):
    """Biases that saturate the gates leave c = sum of tanh(...), and small inputs keep that linear."""
    rng = np.random.default_rng(seed)
    W, U, b = np.zeros((2, 4 * H)), np.zeros((H, 4 * H)), np.zeros(4 * H)
    W[:, 3 * H :], b[: 3 * H] = rng.normal(size=(2, H)), 50.0
    model, x = lstm([W, U, b, rng.normal(size=(H, 1))], 4), 1e-9 * rng.normal(size=(2, 4, 2))
    expected = gradient_times_input(model, x)
    for result in (deeplift(model, x, reference=0.0), integrated_gradients(model, x, reference=0.0, steps=2)):
        assert_equal_scores(result.scores, expected.scores, 1e3 * expected.flow)
    # relevance counts what is there, not differences: h passes through gates of 1 and a tanh that is the identity here
    assert_equal_scores(lrp(model, x, rules=basic()).scores, expected.scores, 1e3 * expected.flow)


def test_a_saturated_cell_has_no_gradient_but_a_contribution():
    """What DeepLIFT expects of recurrent networks: where tanh saturates gradients vanish, differences do not."""
    W, U, b = np.zeros((2, 4 * H)), np.zeros((H, 4 * H)), np.zeros(4 * H)
    W[:, 3 * H :], b[: 3 * H] = 30.0, 50.0
    model, x = lstm([W, U, b, np.ones((H, 1))], 2), np.ones((1, 2, 2))
    assert abs(gradient_times_input(model, x).scores).max() < 1e-20
    result = deeplift(model, x, reference=0.0)
    assert_law(result)
    np.testing.assert_allclose(result.scores, np.full((1, 2, 2), result.output.item() / 4))
