"""Laws of layer-wise relevance propagation, on networks with biases, zeros, ties, reused layers, skips and pooling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores, assert_law
from support.networks import networks

from minidl import Tensor, ops
from minidl.explain import gradient_times_input, lrp
from minidl.explain.ledger import Ledger
from minidl.explain.lrp import relevance
from minidl.explain.rules import (
    LinearRule,
    alpha_beta,
    basic,
    epsilon,
    flat,
    gamma,
    w_squared,
    z_bounded,
    z_plus,
)  # fmt: skip
from minidl.explain.table import Table

RULES = {
    "basic": basic(),
    "epsilon": epsilon(0.1),
    "small epsilon": epsilon(1e-9),
    "alpha-beta 1/2": alpha_beta(0.5, 0.5),
    "alpha-beta 2, -1": alpha_beta(2, -1),
    "alpha-beta 1, 0": alpha_beta(1, 0),
    "basic, bias redistributed": basic(bias="redistribute"),
    "alpha-beta, bias redistributed": alpha_beta(2, -1, bias="redistribute"),
    "basic, bias ignored": basic(bias="ignore"),
    "gamma": gamma(0.25),
    "gamma, bias redistributed": gamma(2, bias="redistribute"),
    "z+": z_plus(),
    "z+, bias absorbed": z_plus(bias="absorb"),
    "between bounds": z_bounded(-1e12, 1e12),
    "between bounds, bias absorbed": z_bounded(-1e12, 1e12, bias="absorb"),
    "flat": flat(),
    "w^2": w_squared(),
}


@pytest.mark.source("lrp:eq1", "lrp:eq2", "lrp:eq56", "lrp:eq58", "lrp:eq60", "lrp:alg2", "lrp:bias-redistribution")
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@given(network=networks(), target=st.integers(0, 1))
def test_relevance_and_what_is_absorbed_sum_to_the_output(rule, network, target):
    assert_law(lrp(network, network.x, target, rules=rule))


@pytest.mark.source("lrp:eq2", "lrp:eq13", "lrp:eq8")
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@given(network=networks(), data=st.data())
def test_relevance_is_conserved_at_every_layer(rule, network, data):
    layer = data.draw(st.integers(0, len(network.steps) - 1))
    h = Tensor(network.x)
    for step in network.steps[:layer]:
        h = step(h)
    y = h
    for step in network.steps[layer:]:
        y = step(y)
    seed = y.data * np.array([1.0, 0.0])
    ledger = Ledger(seed.sum(1))
    at_layer = relevance(y, h, seed, Table(rule, LinearRule, "lrp"), ledger)
    total = at_layer.reshape(len(at_layer), -1).sum(1) + ledger.total()
    assert (np.abs(total - seed.sum(1)) <= 64 * np.finfo(float).eps * ledger.flow).all()


@given(network=networks())
def test_float32_keeps_its_type_and_the_law(network):
    x = network.x.astype(np.float32)
    steps = [_in_float32(step) for step in network.steps]

    def model(h):
        for step in steps:
            h = step(h)
        return h

    for rule in RULES.values():
        result = lrp(model, x, 0, rules=rule)
        assert result.scores.dtype == result.absorbed.dtype == result.flow.dtype == np.float32
        assert_law(result)


def _in_float32(step):
    """The same step with its arrays in float32: drawn networks keep them as defaults of lambdas."""
    if not getattr(step, "__defaults__", None):
        return step if step.__closure__ is None else _closed(step)
    values = [d.astype(np.float32) if isinstance(d, np.ndarray) else d for d in step.__defaults__]
    return lambda x: step(x, *values)


def _closed(step):
    W, b = (c.cell_contents for c in step.__closure__ if isinstance(c.cell_contents, np.ndarray))
    W, b = sorted((W.astype(np.float32), b.astype(np.float32)), key=lambda a: -a.ndim)
    return lambda x: ops.affine(x, W, b)


@pytest.mark.source("deeplift:gradient-times-input", "lrp:eq56")
@given(network=networks(activations=["relu"], gates=False))
def test_basic_rule_on_a_relu_network_is_gradient_times_input(network):
    x = network.generic()
    by_relevance = lrp(network, x, 0, rules=basic())
    assert_equal_scores(gradient_times_input(network, x, 0).scores, by_relevance.scores, by_relevance.flow)
    assert (by_relevance.absorbed_as("undefined") == 0).all()


@given(network=networks(activations=(), gates=False, winners=False))
def test_on_a_linear_network_basic_relevance_is_the_contribution(network):
    x = network.generic()
    by_relevance = lrp(network, x, 1, rules=basic())
    assert_equal_scores(gradient_times_input(network, x, 1).scores, by_relevance.scores, by_relevance.flow)


def test_a_unit_whose_terms_cancel_exactly_sends_nothing_where_the_gradient_does():
    x, W = np.array([[1.0, 1.0]]), np.array([[1.0], [-1.0]])
    np.testing.assert_array_equal(lrp(lambda h: ops.affine(h, W), x, 0, rules=basic()).scores, [[0, 0]])
    np.testing.assert_array_equal(gradient_times_input(lambda h: ops.affine(h, W), x, 0).scores, [[1, -1]])


@pytest.mark.source("lrp:eq60")
@given(network=networks())
def test_alpha_beta_accounts_for_units_that_lack_a_sign(network):
    result = lrp(network, abs(network.x), 0, rules=alpha_beta(2, -1))
    assert_law(result)


@pytest.mark.source("lrp:eq60")
def test_a_unit_without_negative_contributions_keeps_betas_share():
    x, W = np.array([[1.0, 3.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    result = lrp(lambda h: ops.affine(h, W), x, 0, rules=alpha_beta(2, -1))
    np.testing.assert_allclose(result.scores, [[2.0, 6.0]])  # alpha R_j in proportion, not R_j
    np.testing.assert_allclose(result.absorbed_as("undefined"), [-4.0])  # beta R_j has nowhere to go


@pytest.mark.filterwarnings("ignore:.* saturates")
def test_relevance_of_a_sum_that_is_exactly_zero_is_undefined_never_nan():
    x, W = np.array([[1.0, 1.0]]), np.array([[1.0], [-1.0]])
    result = lrp(lambda h: ops.sigmoid(ops.affine(h, W)), x, 0, rules=basic())
    np.testing.assert_array_equal(result.scores, [[0.0, 0.0]])
    np.testing.assert_allclose(result.absorbed_as("undefined"), [0.5])
    assert_law(result)


@pytest.mark.filterwarnings("ignore:.* saturates")
@pytest.mark.parametrize("z", [0.0, 1e-310, -5e-324])
def test_relevance_of_a_sum_next_to_zero_is_undefined_where_the_quotient_would_be_no_number(z):
    result = lrp(lambda h: ops.affine(h, np.array([[1.0]])) + 1.0, np.array([[z]]), np.array([1e3]), rules=basic())
    by_unit = lrp(lambda h: ops.sigmoid(ops.affine(h, np.array([[1.0]]))), np.array([[z]]), 0, rules=basic())
    assert result.scores.item() == pytest.approx(z * 1e3, abs=1e-300)
    assert (by_unit.scores.item(), by_unit.absorbed_as("undefined").item()) == (0.0, 0.5)


@given(network=networks())
def test_a_row_alone_is_that_row_of_the_batch(network):
    whole = lrp(network, network.x, 0, rules=epsilon(0.1))
    for k in range(len(network.x)):
        alone = lrp(network, network.x[k : k + 1], 0, rules=epsilon(0.1))
        assert_equal_scores(alone.scores, whole.scores[k : k + 1], whole.flow[k : k + 1])


@given(seed=st.integers(0, 1000), rule=st.sampled_from(list(RULES.values())))
def test_permuting_hidden_units_changes_nothing(seed, rule):
    rng = np.random.default_rng(seed)
    x, W, b, V = rng.normal(size=(2, 4)), rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=(5, 2))
    p = rng.permutation(5)

    def network(W, b, V):
        return lambda h: ops.affine(ops.relu(ops.affine(h, W, b)), V)

    one = lrp(network(W, b, V), x, 0, rules=rule)
    other = lrp(network(W[:, p], b[p], V[p]), x, 0, rules=rule)
    # totals are summed in another order, and shares are divided by them: what cancels in a total is lost twice
    h = np.maximum(x @ W + b, 0)
    gross, net = [abs(x) @ abs(W) + abs(b), h @ abs(V)], [abs(x @ W + b), abs(h @ V)]
    cancelled = max((g / np.where(n == 0, 1, n)).max() for g, n in zip(gross, net, strict=True))
    assert_equal_scores(other.scores, one.scores, one.flow * max(1, cancelled) ** 2)


@pytest.mark.source("lrp:bias-redistribution")
@given(network=networks(gates=False))
def test_with_redistribution_no_linear_layer_leaves_anything_to_its_bias(network):
    result = lrp(network, network.x, 0, rules=basic(bias="redistribute"))
    linear = {str(k) for k, name in enumerate([*network.names, "last"]) if name in ("conv", "dense", "last")}
    assert not any("bias" in kinds for path, kinds in result.absorbed_by.items() if path in linear)


def test_target_weights_explain_a_difference_of_classes():
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
    both = lrp(lambda h: ops.affine(h, W, b), x, np.array([1.0, -1.0, 0.0]), rules=basic())
    first, second = (lrp(lambda h: ops.affine(h, W, b), x, k, rules=basic()) for k in (0, 1))
    assert_equal_scores(both.scores, first.scores - second.scores, both.flow)
    np.testing.assert_allclose(both.output, first.output - second.output)
