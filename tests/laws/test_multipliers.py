"""Laws of DeepLIFT, through every operation: products, quotients, maxima, pooling and memory cells included."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores, assert_law
from support.networks import networks

from minidl import Tensor, grad, ops
from minidl.explain import deeplift, gradient_times_input, lrp
from minidl.explain.multipliers import Multipliers
from minidl.explain.rules import ANY, NonlinearityRule, basic, rescale, reveal_cancel
from minidl.explain.table import Table

RULES = {"rescale": rescale(), "reveal_cancel": reveal_cancel()}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def multipliers(y, x, reference, rule):
    """m of x for the sum of y, from the pass itself."""
    pass_ = Multipliers(y, x, reference, Table(rule, NonlinearityRule, "test"))
    return pass_.walk(np.ones_like(y.data))


@pytest.mark.source(
    "deeplift:eq1", "deeplift:eq4", "deeplift:linear-rule", "deeplift:rescale-rule", "deeplift:revealcancel-rule",
    "deeplift:positive-negative", "deeplift:bias",
)  # fmt: skip
@each_rule
@given(network=networks(powers=True), target=st.integers(0, 1))
def test_contributions_sum_to_the_difference_from_the_reference(rule, network, target):
    result = deeplift(network, network.x, target, reference=network.reference, rules=rule)
    assert_law(result)
    assert (result.absorbed == 0).all()  # biases get nothing


@each_rule
@given(network=networks(powers=True), size=st.sampled_from([1e-3, 1e-9, 1e-15, 1e-18]))
def test_the_sum_holds_close_to_the_reference(rule, network, size):
    assert_law(deeplift(network, network.x, 0, reference=network.x * (1 - size) + size, rules=rule))


@each_rule
@given(network=networks(powers=True))
def test_one_row_of_reference_is_the_same_as_a_row_each(rule, network):
    short = deeplift(network, network.x, 0, reference=network.reference, rules=rule)
    full = np.repeat(network.reference, len(network.x), axis=0)
    long = deeplift(network, network.x, 0, reference=full, rules=rule)
    assert_law(long)
    # the references differ by roundings, which RevealCancel's quotients may enlarge, so compare what they add up to
    np.testing.assert_allclose(short.reference_output, long.reference_output, rtol=1e-10, atol=1e-10)


@each_rule
def test_operations_that_fix_the_number_of_rows_replay_on_all_of_them(rule):
    x = np.arange(6.0).reshape(3, 2)

    def model(h):
        return ops.tanh(ops.reshape(h, (3, 2)) + np.arange(3.0)[:, None]).sum(1)

    assert_law(deeplift(model, x, reference=0.5, rules=rule))


@pytest.mark.source("deeplift:rescale-rule")
@given(network=networks(activations=["tanh", "sigmoid", "softplus"], winners=False), seed=st.integers(0, 99))
def test_rescale_tends_to_the_gradient_as_the_reference_approaches(network, seed):
    x = Tensor(network.x)
    y = network(x)
    step = 1e-6 * np.random.default_rng(seed).normal(size=network.x.shape)
    g = grad(y, x, upstream=np.ones_like(y.data))
    h = 1e-4
    bend = np.abs(grad(network(up := Tensor(network.x + h)), up, upstream=np.ones_like(y.data)) - g).max() / h
    m = multipliers(y, x, network.x - step, rescale()).pos
    # the distance is the curvature times the step, plus digits lost in quotients above the root of eps
    assert np.abs(m - g).max() <= 20 * (bend + np.abs(g).max() + 1) * 1e-6


@given(network=networks(activations=(), gates=False, winners=False))
def test_on_a_linear_network_all_passes_agree(network):
    x = network.generic()
    contributions = [deeplift(network, x, 0, reference=0.0, rules=rule) for rule in RULES.values()]
    others = [gradient_times_input(network, x, 0), lrp(network, x, 0, rules=basic())]
    flow = np.maximum(contributions[0].flow, others[1].flow)
    for other in [*contributions[1:], *others]:
        assert_equal_scores(other.scores, contributions[0].scores, flow)


@pytest.mark.source("deeplift:eq3", "deeplift:eq2")
@given(seed=st.integers(0, 10_000))
def test_multipliers_chain(seed):
    rng = np.random.default_rng(seed)
    W, b, V, c = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=(4, 2)), rng.normal(size=2)
    x, x0 = rng.normal(size=(1, 3)), rng.normal(size=(1, 3))

    def lower(h):
        return ops.relu(ops.affine(h, W, b))

    def upper(h):
        return ops.tanh(ops.affine(h, V, c)).sum(1)

    source = Tensor(x)
    h = lower(source)
    t = upper(h)
    h0 = lower(x0)
    by_h = multipliers(t, h, h0, rescale()).pos
    of_h = np.stack([multipliers(h[:, j], source, x0, rescale()).pos[0] for j in range(4)], 1)
    whole = multipliers(t, source, x0, rescale()).pos
    np.testing.assert_allclose(of_h @ by_h[0], whole[0], rtol=1e-12)  # eq 3
    np.testing.assert_allclose((whole * (x - x0)).sum(), (t.data - upper(h0)).item(), rtol=1e-10, atol=1e-13)


@pytest.mark.source("deeplift:positive-negative", "deeplift:linear-rule")
@given(network=networks(powers=True))
def test_the_parts_of_every_node_sum_to_its_difference(network):
    x = Tensor(network.x)
    y = network(x)
    pass_ = Multipliers(y, x, network.reference, Table(reveal_cancel(), NonlinearityRule, "test"))
    asked = [d for d in pass_.deltas.values() if d.parts is not None]
    for d in asked:
        size = np.abs(d.parts.pos).max() + np.abs(d.parts.neg).max() + np.abs(d.value).max() + np.abs(d.reference).max()
        error = np.abs(d.parts.pos + d.parts.neg - d.diff).max()
        assert error <= 1e-9 * size  # deep nodes carry the roundings of all above them


def test_the_sign_of_the_total_difference_decides_where_a_term_goes():
    x, x0, W = np.array([[2.0, -1.0, 0.0]]), np.zeros((1, 3)), np.array([[1.0], [3.0], [5.0]])
    source = Tensor(x)
    pass_ = Multipliers(
        ops.relu(y := ops.affine(source, W)).sum(1), source, x0, Table(reveal_cancel(), NonlinearityRule, "test")
    )
    assert pass_.deltas[y].parts.pos.item() == 2.0
    assert pass_.deltas[y].parts.neg.item() == -3.0


@pytest.mark.source("deeplift:linear-rule")
def test_where_the_difference_is_zero_half_of_the_weight_passes_each_part():
    W, m = np.array([[2.0]]), ops.signals.Pair(np.array([[1.0]]), np.array([[3.0]]))
    zero = ops.signals.Delta(np.zeros((1, 1)), np.zeros((1, 1)))
    (share,) = ops.families.Linear.multiplier(ops.linear.AFFINE, m, zero, zero, ops.signals.Delta(W, W))
    assert share.pos.item() == share.neg.item() == 0.5 * 2.0 * (1.0 + 3.0)


@each_rule
@given(network=networks(images=True))
def test_tables_choose_by_layer(rule, network):
    mixed = ((lambda: 0).__class__, rescale()), (ANY, rule)  # steps of drawn networks are functions
    assert_law(deeplift(network, network.x, 0, reference=network.reference, rules=mixed))


@pytest.mark.source("deeplift:revealcancel-rule")
@given(seed=st.integers(0, 10_000), f=st.sampled_from([ops.relu, ops.tanh, ops.sigmoid, ops.elu, ops.softplus]))
@pytest.mark.filterwarnings("ignore:.* saturates")
def test_reveal_cancel_is_the_shapley_value_of_the_two_parts(seed, f):
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(1, 4)), rng.normal(size=(4, 1)), rng.normal(size=1)
    terms = x[0] * W[:, 0]
    p, n = terms[terms > 0].sum(), terms[terms < 0].sum()
    assume(p > 0 > n)
    value = {(i, j): f(b + i * p + j * n).item() for i in (0, 1) for j in (0, 1)}
    of_p = 0.5 * (value[1, 0] - value[0, 0]) + 0.5 * (value[1, 1] - value[0, 1])
    of_n = 0.5 * (value[0, 1] - value[0, 0]) + 0.5 * (value[1, 1] - value[1, 0])
    scores = deeplift(lambda h: f(ops.affine(h, W, b)), x, reference=0.0, rules=reveal_cancel()).scores[0]
    np.testing.assert_allclose(scores[terms > 0].sum(), of_p, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scores[terms < 0].sum(), of_n, rtol=1e-9, atol=1e-12)


def test_log_and_root_take_rescale_in_place_of_reveal_cancel():
    x = np.array([[1.0, 4.0]])
    result = deeplift(lambda h: (ops.log(h) - ops.sqrt(h)).sum(1), x, reference=0.5, rules=reveal_cancel())
    assert_law(result)


@pytest.mark.parametrize("f", [ops.softmax, ops.logsumexp])
def test_softmax_is_explained_by_its_parts_on_request_only(f):
    x = np.random.default_rng(0).normal(size=(3, 4))
    weights = np.array([[1.0, -2.0, 0.5, 0.0]])

    def model(h):
        y = f(h, 1)
        return (y * weights).sum(1) if y.ndim == 2 else y

    with pytest.raises(TypeError, match="explain the logit"):
        deeplift(model, x, reference=0.0)
    assert_law(deeplift(model, x, reference=0.0, expand=True))
    with pytest.raises(TypeError, match="explain the logit"):
        lrp(model, x)
    assert_law(lrp(model, x, expand=True))


def test_softmax_by_its_parts_sends_the_relevance_of_a_class_to_its_logit():
    x = np.random.default_rng(0).normal(size=(3, 4))
    e = lrp(lambda h: ops.softmax(h) * 2, x, 1, expand=True)
    np.testing.assert_allclose(e.scores, e.output[:, None] * (np.arange(4) == 1))


def test_maxima_by_gradient_break_the_sum_and_say_so():
    x, reference = np.array([[3.0, 1.0]]), np.array([[0.0, 2.0]])

    def model(h):
        return ops.amax(h, 1)

    exact = deeplift(model, x, reference=reference)
    np.testing.assert_allclose(exact.scores, [[1.0, 0.0]])
    by_gradient = deeplift(model, x, reference=reference, maxima="gradient")
    np.testing.assert_allclose(by_gradient.scores, [[3.0, 0.0]])
    assert by_gradient.residual.item() == -2.0
    assert "breaks the sum" in str(by_gradient)
    with pytest.raises(ValueError, match='maxima must be "secant" or "gradient", got \'first\''):
        deeplift(model, x, reference=reference, maxima="first")
