"""The small figures and the equations of the two texts, against plain NumPy of a few lines."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.accounts import assert_law

from minidl import Tensor, grad, ops
from minidl.explain import deeplift, gradient_times_input, lrp, saliency
from minidl.explain.ledger import Ledger
from minidl.explain.lrp import relevance
from minidl.explain.multipliers import Multipliers
from minidl.explain.rules import LinearRule, NonlinearityRule, alpha_beta, basic, epsilon, rescale, reveal_cancel
from minidl.explain.table import Table

seeds = given(seed=st.integers(0, 10_000))
NON_LINEAR = {"relu": ops.relu, "tanh": ops.tanh, "sigmoid": ops.sigmoid, "cube": lambda z: z**3}
RULES = {"basic": basic(), "epsilon": epsilon(0.5), "alpha 1/2": alpha_beta(0.5, 0.5), "alpha 2": alpha_beta(2, -1)}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def send(end, source, seed, rule=basic()):
    """Relevance of the source, when the nodes of `end` hold the seed."""
    seed = np.asarray(seed, float)
    ledger = Ledger(seed.reshape(len(seed), -1).sum(1))
    return relevance(end, source, seed, Table(rule, LinearRule, "test"), ledger)


def multiplier_pass(y, x, reference, rule=rescale()):
    return Multipliers(y, x, reference, Table(rule, NonlinearityRule, "test"))


def multipliers(y, x, reference, rule=rescale()):
    return multiplier_pass(y, x, reference, rule).walk(np.ones_like(y.data)).pos


# ----------------------------------------------------------------------------------------------- LRP: equations 1 to 16


@pytest.mark.source("lrp:eq3", "lrp:eq5")
@seeds
def test_a_linear_classifier_with_its_bias_spread_evenly(seed):
    rng = np.random.default_rng(seed)
    x, alpha, b = rng.normal(size=(2, 5)), rng.normal(size=5), rng.normal(size=1)
    result = lrp(lambda x: ops.affine(x**2, alpha[:, None], b), x, rules=basic("redistribute"))
    np.testing.assert_allclose(result.output, b + (alpha * x**2).sum(1), rtol=1e-12)
    np.testing.assert_allclose(result.scores, b / 5 + alpha * x**2, rtol=1e-9, atol=1e-9)
    assert_law(result)


@pytest.mark.source("lrp:eq4", "lrp:eq2")
@seeds
def test_the_sign_blind_decomposition_is_conserved_and_has_one_sign(seed):
    rng = np.random.default_rng(seed)
    x, alpha, b = rng.normal(size=(2, 5)), rng.normal(size=5), rng.normal(size=1)
    terms = alpha * x**2
    f = b + terms.sum(1)
    source = Tensor(x)
    blind = send(ops.absolute(source**2 * alpha).sum(1), source, f)  # f in proportion to |terms|
    np.testing.assert_allclose(blind, f[:, None] * abs(terms) / abs(terms).sum(1, keepdims=True), rtol=1e-9)
    np.testing.assert_allclose(blind.sum(1), f, rtol=1e-9)
    assert (np.sign(blind) == np.sign(f)[:, None]).all()
    nothing = lrp(lambda x: ops.affine(x**2, alpha[:, None], b), 0 * x, rules=basic("redistribute"))
    np.testing.assert_allclose(nothing.scores, np.broadcast_to(b / 5, x.shape))  # eq 4's second case


@pytest.mark.source("lrp:fig2", "lrp:eq16", "lrp:eq8", "lrp:eq13", "lrp:eq2")
@seeds
def test_every_message_of_the_seven_neurons(seed):
    """Equations 6, 7, 9 to 12, 14 and 15, in the text's own names."""
    rng = np.random.default_rng(seed)
    a1, a2, a3 = rng.uniform(0.5, 2, 3)
    w14, w24, w15, w25, w35, w26, w36 = rng.uniform(0.5, 2, 7) * np.array([1, 1, 1, -0.1, 1, 1, -0.1])
    w47, w57, w67 = rng.uniform(0.5, 2, 3) * np.array([1, 1, -0.1])
    a4, a5, a6 = a1 * w14 + a2 * w24, a1 * w15 + a2 * w25 + a3 * w35, a2 * w26 + a3 * w36
    assume(min(a4, a5, a6) > 0.01)
    f = a4 * w47 + a5 * w57 + a6 * w67
    assume(abs(f) > 0.01)
    R4, R5, R6 = (f * z / f for z in (a4 * w47, a5 * w57, a6 * w67))  # 14
    R1from4, R2from4 = R4 * a1 * w14 / a4, R4 * a2 * w24 / a4  # 15
    R1from5, R2from5, R3from5 = R5 * a1 * w15 / a5, R5 * a2 * w25 / a5, R5 * a3 * w35 / a5
    R2from6, R3from6 = R6 * a2 * w26 / a6, R6 * a3 * w36 / a6

    a = Tensor([[a1, a2, a3]])
    hidden = ops.relu(ops.affine(a, np.array([[w14, w15, 0], [w24, w25, w26], [0, w35, w36]])))
    top = ops.affine(hidden, np.array([[w47], [w57], [w67]]))
    of_hidden, of_input = send(top, hidden, top.data)[0], send(top, a, top.data)[0]
    messages = [send(hidden, a, of_hidden * neuron)[0] for neuron in np.eye(3)[:, None]]
    close = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(of_hidden, [R4, R5, R6], **close)
    np.testing.assert_allclose(messages[0], [R1from4, R2from4, 0], **close)
    np.testing.assert_allclose(messages[1], [R1from5, R2from5, R3from5], **close)
    np.testing.assert_allclose(messages[2], [0, R2from6, R3from6], **close)
    np.testing.assert_allclose(of_input, [R1from4 + R1from5, R2from4 + R2from5 + R2from6, R3from5 + R3from6], **close)
    for layer in (of_hidden, of_input):  # 6, 7
        np.testing.assert_allclose(layer.sum(), f, **close)
    np.testing.assert_allclose([m.sum() for m in messages], of_hidden, **close)  # 10 to 12


@pytest.mark.source("lrp:eq8", "lrp:eq62")
@each_rule
@seeds
def test_a_neurons_relevance_is_the_sum_of_its_messages(rule, seed):
    rng = np.random.default_rng(seed)
    x, R = Tensor(rng.normal(size=(1, 4))), rng.normal(size=(1, 3))
    z = ops.affine(x, rng.normal(size=(4, 3)), rng.normal(size=3))
    messages = [send(z, x, R * unit, rule) for unit in np.eye(3)]
    np.testing.assert_allclose(sum(messages), send(z, x, R, rule), rtol=1e-9, atol=1e-9)


@pytest.mark.source("lrp:ordering")
@each_rule
@seeds
def test_the_larger_positive_contribution_gets_no_smaller_message(rule, seed):
    rng = np.random.default_rng(seed)
    x, W = rng.normal(size=(1, 6)), rng.normal(size=(6, 1))
    z = x[0] * W[:, 0]
    assume(z.sum() > 0)
    source = Tensor(x)
    message = send(ops.affine(source, W), source, rng.uniform(0.1, 2, (1, 1)), rule)[0]
    order = np.argsort(z)
    order = order[z[order] > 0]
    assert (np.diff(message[order]) >= 0).all()


# ---------------------------------------------------------------------------------------------- LRP: equations 50 to 63


def drawn_unit(seed):
    """x, w and b of one unit with both signs among its contributions and a pre-activation away from 0."""
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=5), rng.normal(size=5), rng.normal()
    z = x * w
    assume(z.max() > 0.01 and z.min() < -0.01 and abs(z.sum() + b) > 0.05)
    return x, w, b, z, z.sum() + b


def explain_unit(x, w, b, rule):
    """Scores and account where the unit is the output, so R_j = z_j."""
    return lrp(lambda v: ops.affine(v, w[:, None], np.array([b])), x[None], rules=rule)


@pytest.mark.source("lrp:eq50", "lrp:eq56")
@seeds
def test_the_basic_rule_and_what_its_bias_absorbs(seed):
    x, w, b, z, zj = drawn_unit(seed)
    result = explain_unit(x, w, b, basic())
    np.testing.assert_allclose(result.scores[0], z / zj * zj, rtol=1e-9)  # 56
    np.testing.assert_allclose(result.scores.sum(), zj * (1 - b / zj), rtol=1e-9, atol=1e-12)  # 57
    np.testing.assert_allclose(result.absorbed_as("bias"), b / zj * zj, rtol=1e-9)


@pytest.mark.source("lrp:eq58")
@given(seed=st.integers(0, 10_000), eps=st.sampled_from([1e-3, 0.5, 4.0, 1e6]))
def test_the_epsilon_rule_and_what_its_stabiliser_absorbs(seed, eps):
    x, w, b, z, zj = drawn_unit(seed)
    result = explain_unit(x, w, b, epsilon(eps))
    s = eps if zj >= 0 else -eps
    np.testing.assert_allclose(result.scores[0], z / (zj + s) * zj, rtol=1e-9)  # 58
    np.testing.assert_allclose(result.scores.sum(), zj * (1 - (b + s) / (zj + s)), rtol=1e-6, atol=1e-9)  # 59
    np.testing.assert_allclose(result.absorbed_as("stabiliser"), zj * s / (zj + s), rtol=1e-9)
    np.testing.assert_allclose(result.absorbed_as("bias"), zj * b / (zj + s), rtol=1e-9)


@pytest.mark.source("lrp:eq58")
def test_the_stabiliser_takes_the_sign_plus_at_zero():
    x, W = Tensor([[1.0, 1.0]]), np.array([[2.0], [-2.0]])
    np.testing.assert_allclose(send(ops.affine(x, W), x, [[3.0]], epsilon(0.5)), [[12.0, -12.0]])


@pytest.mark.source("lrp:eq60")
@given(seed=st.integers(0, 10_000), alpha=st.sampled_from([0.5, 2.0, 1.0, 0.0, -1.0]))
def test_the_alpha_beta_rule_and_what_its_bias_absorbs(seed, alpha):
    x, w, b, z, zj = drawn_unit(seed)
    beta = 1 - alpha
    result = explain_unit(x, w, b, alpha_beta(alpha, beta))
    up, down = np.maximum(z, 0), np.minimum(z, 0)
    p, n = up.sum() + max(b, 0), down.sum() + min(b, 0)
    np.testing.assert_allclose(result.scores[0], zj * (alpha * up / p + beta * down / n), rtol=1e-9, atol=1e-12)  # 60
    expected = zj * (1 - alpha * max(b, 0) / p - beta * min(b, 0) / n)  # 61, for any alpha and beta
    np.testing.assert_allclose(result.scores.sum(), expected, rtol=1e-9, atol=1e-9)
    assert not any("undefined" in kinds for kinds in result.absorbed_by.values())


@pytest.mark.source("lrp:bias-redistribution")
@given(seed=st.integers(0, 10_000), alpha=st.sampled_from([None, 2.0]))
def test_the_biass_share_is_spread_evenly_over_the_inputs(seed, alpha):
    x, w, b, z, zj = drawn_unit(seed)
    absorb, spread = ("absorb", "redistribute")
    rules = [basic(k) if alpha is None else alpha_beta(alpha, 1 - alpha, k) for k in (absorb, spread)]
    kept, spread = (explain_unit(x, w, b, rule) for rule in rules)
    np.testing.assert_allclose(spread.scores[0], kept.scores[0] + kept.absorbed_as("bias") / 5, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(spread.scores.sum(), zj, rtol=1e-9)


@pytest.mark.source("lrp:bias-redistribution")
def test_a_convolution_spreads_its_bias_over_the_pixels_it_reads_padding_not_counted():
    x, W, b = Tensor(np.ones((1, 1, 3, 3))), np.zeros((1, 1, 3, 3)), np.array([2.0])
    R = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    expected = np.zeros((3, 3))
    for u in range(3):
        for v in range(3):  # the unit at (u, v) reads its neighbours inside the image
            rows, columns = slice(max(u - 1, 0), u + 2), slice(max(v - 1, 0), v + 2)
            expected[rows, columns] += R[0, 0, u, v] / expected[rows, columns].size
    got = send(ops.conv2d(x, W, b, 1, 1), x, R, basic("redistribute"))
    np.testing.assert_allclose(got[0, 0], expected, rtol=1e-12)


@pytest.mark.source("lrp:eq63")
@each_rule
@seeds
def test_given_its_relevance_the_activation_of_a_unit_does_not_matter(rule, seed):
    rng = np.random.default_rng(seed)
    x, R = Tensor(rng.normal(size=(1, 4))), rng.normal(size=(1, 3))
    W, b = rng.normal(size=(4, 3)), rng.normal(size=3)
    plain = send(ops.affine(x, W, b), x, R, rule)
    for g in NON_LINEAR.values():
        np.testing.assert_array_equal(send(g(ops.affine(x, W, b)), x, R, rule), plain)


@pytest.mark.source("lrp:eq63")
def test_max_pooling_is_the_limit_of_p_means():
    x = Tensor([[1.0, 2.0, 3.0]])
    for p in (1, 2, 8):
        share = send(ops.mean(x**p, 1) ** (1 / p), x, [1.0])
        np.testing.assert_allclose(share, x.data**p / (x.data**p).sum(), rtol=1e-12)
    np.testing.assert_allclose(send(ops.mean(x**200, 1) ** (1 / 200), x, [1.0]), [[0, 0, 1]], atol=1e-12)
    np.testing.assert_array_equal(send(ops.amax(x, 1), x, [1.0]), [[0, 0, 1]])


@pytest.mark.source("lrp:alg2", "lrp:eq62", "lrp:eq58", "lrp:eq60")
@given(seed=st.integers(0, 10_000), name=st.sampled_from(["epsilon", "alpha 2"]))
def test_algorithm_2_in_plain_numpy(seed, name):
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=(n, m)), rng.normal(size=m)) for n, m in ((4, 5), (5, 3), (3, 1))]
    activations = [x := rng.normal(size=4)]
    for W, b in layers:
        activations.append(x := np.tanh(x @ W + b))

    R = activations[-1]  # input of the algorithm: f(x)
    for (W, b), x in zip(layers[::-1], activations[-2::-1]):
        z = x[:, None] * W
        if name == "epsilon":
            zj = z.sum(0) + b
            messages = z / (zj + np.where(zj >= 0, 0.5, -0.5)) * R
        else:
            p, n = np.maximum(z, 0).sum(0) + np.maximum(b, 0), np.minimum(z, 0).sum(0) + np.minimum(b, 0)
            assume((p > 0).all() and (n < 0).all())
            messages = (2 * np.maximum(z, 0) / p - np.minimum(z, 0) / n) * R
        R = messages.sum(1)

    def model(h):
        for W, b in layers:
            h = ops.tanh(ops.affine(h, W, b))
        return h

    result = lrp(model, activations[0][None], rules=RULES[name])
    np.testing.assert_allclose(result.scores[0], R, rtol=1e-8, atol=1e-12 * result.flow[0])


# -------------------------------------------------------------------------------------------- DeepLIFT: figures 1, 2, 3


@pytest.mark.source("deeplift:fig1", "deeplift:rescale-rule")
def test_figure_1_saturation():
    def closed(i):
        return ops.relu(1 - i.sum(1))

    def y(i):
        return 1 - closed(i)

    point = np.array([[1.0, 1.0]])
    for erased in ([[0.0, 1.0]], [[1.0, 0.0]]):
        assert y(np.array(erased)) == y(point) == 1  # perturbation changes nothing
    for method in (saliency, gradient_times_input, lrp):
        np.testing.assert_array_equal(method(y, point).scores, [[0, 0]])
    for rule in (rescale(), reveal_cancel()):
        np.testing.assert_allclose(deeplift(y, point, reference=0.0, rules=rule).scores, [[0.5, 0.5]])
    i = Tensor(point)
    h = closed(i)
    out = 1 - h
    assert multipliers(out, h, np.ones(1)) == -1
    assert grad(out, h) == -1  # the text prints dy/dh = 0: it is the derivative of h that is 0
    np.testing.assert_array_equal(grad(h, i), [[0, 0]])


@pytest.mark.source("deeplift:fig2", "deeplift:bias")
@pytest.mark.parametrize("eps", [1e-6, 0.01, 1.0, 5.0])
def test_figure_2_a_threshold(eps):
    def y(x):
        return ops.relu(x - 10.0)

    above, below = np.array([[10 + eps]]), np.array([[10 - eps]])
    np.testing.assert_array_equal(gradient_times_input(y, above).scores, above)
    by_relevance = lrp(y, above, rules=basic())
    np.testing.assert_allclose(by_relevance.scores, above, rtol=1e-9)
    np.testing.assert_allclose(by_relevance.absorbed_as("bias"), [-10], rtol=1e-9)
    for rule in (rescale(), reveal_cancel()):
        result = deeplift(y, above, reference=0.0, rules=rule)
        np.testing.assert_allclose(result.scores, [[eps]], rtol=1e-8)
        assert result.absorbed == 0
        assert deeplift(y, below, reference=0.0, rules=rule).scores == 0
    assert gradient_times_input(y, below).scores == lrp(y, below).scores == 0


@pytest.mark.source("deeplift:fig3", "deeplift:revealcancel-rule", "deeplift:rescale-rule")
@given(i=st.lists(st.integers(1, 40), min_size=2, max_size=2, unique=True))
def test_figure_3_the_smaller_of_two(i):
    def smaller(i):
        return i[:, 0] - ops.relu(i[:, 0] - i[:, 1])

    i = np.array([i]) / 4
    least = np.where(i == i.min(), i, 0)
    for method in (gradient_times_input, lrp):
        np.testing.assert_allclose(method(smaller, i).scores, least, atol=1e-4)
    np.testing.assert_allclose(deeplift(smaller, i, reference=0.0, rules=rescale()).scores, least, atol=1e-12)
    both = deeplift(smaller, i, reference=0.0, rules=reveal_cancel())
    np.testing.assert_allclose(both.scores, np.full((1, 2), i.min() / 2), rtol=1e-12)


@pytest.mark.source("deeplift:noise-example")
@given(signal=st.floats(2.1, 9), noise=st.floats(0.2, 1.9))
def test_below_its_threshold_a_unit_is_blamed_by_reveal_cancel_only(signal, noise):
    x = np.array([[signal, noise - signal]])  # they sum to less than the threshold
    by_rescale, by_parts = (
        deeplift(lambda x: ops.relu(x.sum(1) - 2), x, reference=0.0, rules=rule)
        for rule in (rescale(), reveal_cancel())
    )
    assert (by_rescale.scores == 0).all()
    np.testing.assert_allclose(by_parts.scores, [[(signal - 2) / 2, (2 - signal) / 2]], rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------------------------------------- DeepLIFT: its equations


def drawn_network(seed, f):
    """Two hidden layers and one output: the function, the layers, an input with zero differences, a reference."""
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=(n, m)), rng.normal(size=m)) for n, m in ((10, 8), (8, 4), (4, 1))]
    x, x0 = rng.normal(size=10), rng.normal(size=10)
    x0[0] = x[0]

    def model(h):
        for W, b in layers[:-1]:
            h = f(ops.affine(h, W, b))
        return ops.affine(h, *layers[-1])

    return model, layers, x, x0


@pytest.mark.source(
    "deeplift:linear-rule", "deeplift:rescale-rule", "deeplift:revealcancel-rule", "deeplift:positive-negative",
    "deeplift:eq1", "deeplift:eq2", "deeplift:eq3", "deeplift:eq4",
)  # fmt: skip
@pytest.mark.parametrize("reveal", [False, True], ids=["rescale", "reveal_cancel"])
@pytest.mark.parametrize("f", [ops.relu, ops.tanh], ids=["relu", "tanh"])
@seeds
def test_the_rules_in_plain_numpy_with_indicators(reveal, f, seed):
    """Sections 3.4 and 3.5 as they are printed: parts forward, multipliers for each part backward."""
    model, layers, x, x0 = drawn_network(seed, f)
    value, rest, way = x, x0, []
    pos, neg = np.maximum(x - x0, 0), np.minimum(x - x0, 0)
    for W, b in layers:
        d = value - rest
        terms = d[:, None] * W
        pos, neg = np.where(terms > 0, terms, 0).sum(0), np.where(terms < 0, terms, 0).sum(0)
        way.append(("linear", d, W))
        value, rest = value @ W + b, rest @ W + b  # 4
        if W is not layers[-1][0]:
            assume(min(pos.min(), -neg.max()) > 1e-3 if reveal else abs(value - rest).min() > 1e-3)
            y, y0 = f(value), f(rest)
            if reveal:
                up = (f(rest + pos) - f(rest) + f(rest + neg + pos) - f(rest + neg)) / 2
                down = (f(rest + neg) - f(rest) + f(rest + pos + neg) - f(rest + pos)) / 2
            else:
                up, down = (y - y0) / (value - rest) * pos, (y - y0) / (value - rest) * neg
            way.append(("function", *((up / pos, down / neg) if reveal else 2 * [(y - y0) / (value - rest)])))
            value, rest = y, y0
    up = down = np.ones(1)
    for kind, one, two in reversed(way):
        if kind == "function":
            up, down = up * one, down * two
        else:
            d, W = one, two
            by_sign = np.where(d[:, None] * W > 0, W * up, W * down).sum(1)
            up = down = np.where(d == 0, 0.5 * (W * up + W * down).sum(1), by_sign)

    rule = reveal_cancel() if reveal else rescale()
    result = deeplift(model, x[None], reference=x0[None], rules=rule)
    atol = 1e-10 * result.flow[0]
    np.testing.assert_allclose(result.scores[0], up * (x - x0), rtol=1e-8, atol=atol)  # 2
    np.testing.assert_allclose(multipliers(model(t := Tensor(x[None])), t, x0[None], rule)[0], up, atol=atol)  # 3
    np.testing.assert_allclose(result.scores.sum(), (value - rest).item(), rtol=1e-8, atol=atol)  # 1
    assert_law(result)


@pytest.mark.source("deeplift:eq4")
@seeds
def test_references_of_inner_neurons_are_the_tape_replayed(seed):
    model, layers, x, x0 = drawn_network(seed, ops.relu)
    source = Tensor(x[None])
    h = ops.relu(ops.affine(source, *layers[0]))
    y = ops.affine(ops.relu(ops.affine(h, *layers[1])), *layers[2])
    found = multiplier_pass(y, source, x0[None]).reference
    np.testing.assert_allclose(found[h], np.maximum(x0 @ layers[0][0] + layers[0][1], 0)[None], rtol=1e-12)
    np.testing.assert_allclose(found[y], model(x0[None]), rtol=1e-12)


@pytest.mark.source("deeplift:eq5")
@seeds
def test_subtracting_the_mean_over_classes_is_a_target_of_weights(seed):
    rng = np.random.default_rng(seed)
    W, b, V, x = rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=(5, 3)), rng.normal(size=(2, 4))

    def logits(x):
        return ops.affine(ops.relu(ops.affine(x, W, b)), V)

    for rule in (rescale(), reveal_cancel()):
        each = np.stack([deeplift(logits, x, c, reference=0.0, rules=rule).scores for c in range(3)])
        for c in range(3):
            once = deeplift(logits, x, np.eye(3)[c] - 1 / 3, reference=0.0, rules=rule)
            np.testing.assert_allclose(once.scores, each[c] - each.mean(0), rtol=1e-9, atol=1e-9)
            z, z0 = logits(x), logits(0 * x[:1])
            np.testing.assert_allclose(once.scores.sum(1), (z - z0)[:, c] - (z - z0).mean(1), rtol=1e-9, atol=1e-9)


@pytest.mark.source("deeplift:target-layer")
def test_the_sigmoid_attenuates_and_the_logit_does_not():
    x = np.array([[50.0, 0.0], [100.0, 100.0]])
    with pytest.warns(UserWarning, match="deeplift: .* a sigmoid. It saturates.*attenuated.* explain the logits"):
        by_probability = deeplift(lambda x: ops.sigmoid(x.sum(1)), x, reference=0.0)
    np.testing.assert_allclose(by_probability.scores, [[0.5, 0], [0.25, 0.25]], atol=1e-12)
    np.testing.assert_array_equal(deeplift(lambda x: x.sum(1), x, reference=0.0).scores, x)
    # a target that is a function chooses the layer, too
    both = deeplift(lambda x: x, x, lambda y: ops.sigmoid(y.sum(1)), reference=0.0)
    np.testing.assert_array_equal(both.scores, by_probability.scores)


@pytest.mark.source("deeplift:target-layer")
@pytest.mark.parametrize("end", [ops.softmax, lambda y: ops.reshape(ops.softmax(y), (-1, 3))])
def test_whoever_explains_probabilities_is_warned(end):
    x, W = np.random.default_rng(0).normal(size=(2, 4)), np.random.default_rng(1).normal(size=(4, 3))

    def model(h):
        return end(ops.affine(h, W))

    for method in (saliency, lambda *a: lrp(*a, expand=True), lambda *a: deeplift(*a, reference=0.0, expand=True)):
        with pytest.warns(UserWarning, match="a softmax. It saturates.* less their mean over the classes$"):
            method(model, x, 0)


@pytest.mark.source("deeplift:bias")
@seeds
def test_biases_matter_to_multipliers_but_receive_nothing(seed):
    model, _, x, x0 = drawn_network(seed, ops.tanh)
    for rule in (rescale(), reveal_cancel()):
        result = deeplift(model, x[None], reference=x0[None], rules=rule)
        assert result.absorbed == 0 and not result.absorbed_by


@pytest.mark.source("deeplift:saliency", "deeplift:gradient-times-input")
@seeds
def test_gradient_methods_against_finite_differences(seed):
    model, _, x, x0 = drawn_network(seed, ops.tanh)
    h = 1e-5
    slopes = np.array([(model((x + h * e)[None]) - model((x - h * e)[None])).item() / (2 * h) for e in np.eye(10)])
    close = {"rtol": 1e-6, "atol": 1e-7}
    np.testing.assert_allclose(saliency(model, x[None], signed=True).scores[0], slopes, **close)
    np.testing.assert_allclose(saliency(model, x[None]).scores[0], abs(slopes), **close)
    np.testing.assert_allclose(gradient_times_input(model, x[None]).scores[0], slopes * x, **close)
    shifted = gradient_times_input(model, x[None], reference=x0[None])
    np.testing.assert_allclose(shifted.scores[0], slopes * (x - x0), **close)
    assert shifted.expected is None and shifted.residual is None


# ------------------------------------------------------------------------------------------------------ the convolution


@pytest.mark.source("gal:conv-as-matmul")
@given(seed=st.integers(0, 10_000), stride=st.integers(1, 2))
def test_a_convolution_is_patches_times_kernels(seed, stride):
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(2, 3, 7, 6)), rng.normal(size=(4, 3, 3, 2)), rng.normal(size=4)
    patches = ops.im2col(x, (3, 2), (stride, stride))
    product = (patches @ W.reshape(4, -1).T + b).transpose(0, 3, 1, 2)
    fast = ops.conv2d(x, W, b, stride)
    np.testing.assert_allclose(fast, product, rtol=1e-12, atol=1e-12)
    for o, u, v in ((0, 0, 0), (3, 1, 2), (2, product.shape[2] - 1, product.shape[3] - 1)):  # the kernel is not flipped
        window = x[1, :, stride * u : stride * u + 3, stride * v : stride * v + 2]
        np.testing.assert_allclose(fast[1, o, u, v], (window * W[o]).sum() + b[o], rtol=1e-12)
