"""Every relevance rule against its plain matrix form, its ends, its relations to the others, and its account."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores, assert_law

from minidl import nn, ops
from minidl.explain import lrp
from minidl.explain.rules import (
    ANY,
    FIRST,
    alpha_beta,
    basic,
    epsilon,
    flat,
    gamma,
    presets,
    w_squared,
    z_bounded,
    z_plus,
)
from minidl.ops.arithmetic import shift

seeds = given(seed=st.integers(0, 10_000))


def layer(seed, positive=False):
    """One dense layer (x, W, b) with zeros and repeated numbers, and relevances of its units."""
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(3, 5)), rng.normal(size=(5, 4)), rng.normal(size=4)
    x[rng.random(x.shape) < 0.2], W[rng.random(W.shape) < 0.2] = 0, 0
    return abs(x) if positive else x, W, b, rng.normal(size=(3, 4))


def explained(x, W, b, R, rule):
    """The rule's shares of x for relevances R of the units, which weights of the outputs bring about."""
    z = x @ W + b
    return lrp(lambda h: ops.affine(h, W, b), x, R / z, rules=rule)


def contributions(x, W):
    return x[:, :, None] * W  # z_nij


def sent(counted, R, bias=0.0, eps=0.0):
    """In proportion to what is counted (n, i, j); nothing where the sum is 0."""
    z = counted.sum(1) + bias
    z = z + eps * np.where(z >= 0, 1, -1)
    return (counted * np.divide(R, z, out=np.zeros_like(R), where=z != 0)[:, None]).sum(2)


def positive(a):
    return np.maximum(a, 0)


def negative(a):
    return np.minimum(a, 0)


def by_gamma(x, W, b, R, g):
    z = x @ W + b
    up, down = (sign(contributions(x, W)) * g + contributions(x, W) for sign in (positive, negative))
    return sent(up, R * (z >= 0), b + g * positive(b)) + sent(down, R * (z < 0), b + g * negative(b))


def between(x, W, R, low, high):
    return sent(contributions(x, W) - low * positive(W) - high * negative(W), R)


def evened(share, W):
    return np.repeat(share.sum(1, keepdims=True) / len(W), len(W), 1)


MATRIX_FORMS = {
    "basic": (basic(), lambda x, W, b, R: sent(contributions(x, W), R, b)),
    "epsilon": (epsilon(0.3), lambda x, W, b, R: sent(contributions(x, W), R, b, 0.3)),
    "ignored bias": (basic("ignore"), lambda x, W, b, R: sent(contributions(x, W), R)),
    "redistributed": (
        basic("redistribute"),
        lambda x, W, b, R: sent(contributions(x, W), R, b) + evened(b / (x @ W + b) * R, W),
    ),
    "alpha-beta": (
        alpha_beta(2, -1),
        lambda x, W, b, R: (
            2 * sent(positive(contributions(x, W)), R, positive(b))
            - sent(negative(contributions(x, W)), R, negative(b))
        ),
    ),
    "z+": (z_plus(), lambda x, W, b, R: sent(positive(contributions(x, W)), R)),
    "gamma": (gamma(0.7), lambda x, W, b, R: by_gamma(x, W, b, R, 0.7)),
    "between bounds": (z_bounded(-5, 6), lambda x, W, b, R: between(x, W, R, -5, 6)),
    "flat": (flat(), lambda x, W, b, R: evened(R, W)),
    "w^2": (w_squared(), lambda x, W, b, R: sent(np.broadcast_to(W**2, (len(x), *W.shape)), R)),
}


@pytest.mark.parametrize("name", MATRIX_FORMS)
@seeds
def test_the_rule_is_its_matrix_form(name, seed):
    x, W, b, R = layer(seed)
    rule, matrix_form = MATRIX_FORMS[name]
    result = explained(x, W, b, R, rule)
    assert_equal_scores(result.scores, matrix_form(x, W, b, R), 100 * result.flow)
    assert_law(result)


@seeds
def test_alpha_one_beta_zero_is_z_plus_that_keeps_its_bias(seed):
    x, W, b, R = layer(seed)
    one = explained(x, W, b, R, alpha_beta(1, 0))
    np.testing.assert_array_equal(one.scores, explained(x, W, b, R, z_plus(bias="absorb")).scores)
    assert alpha_beta(2, minus_beta=1) == alpha_beta(2) == alpha_beta(2, -1)


@seeds
def test_gamma_tends_to_the_basic_rule_and_to_the_side_of_the_total(seed):
    x, W, b, R = layer(seed)
    z = x @ W + b
    near_basic = explained(x, W, b, R, gamma(1e-9))
    expected = explained(x, W, b, R, basic())
    # each share is off by about gamma times the gross sum over the net one
    gross = ((abs(contributions(x, W)).sum(1) + abs(b)) / abs(z)).max() ** 2
    np.testing.assert_allclose(near_basic.scores, expected.scores, atol=1e-8 * gross * abs(R).max())
    c = contributions(x, W)
    side = sent(positive(c), R * (z >= 0), positive(b)) + sent(negative(c), R * (z < 0), negative(b))
    far = explained(x, W, b, R, gamma(1e9))
    one_sided = np.maximum(abs(positive(c).sum(1) + positive(b)), abs(negative(c).sum(1) + negative(b)))
    gross = (abs(c).sum(1) / one_sided).max() ** 2
    np.testing.assert_allclose(far.scores, side, atol=1e-8 * gross * abs(R).max())


@pytest.mark.source("lrp:ordering")
@pytest.mark.parametrize(
    "rule", [basic(), epsilon(0.1), alpha_beta(2, -1), z_plus(), gamma(0.5)], ids=lambda rule: type(rule).__name__
)
@seeds
def test_a_larger_positive_contribution_gets_no_smaller_message(rule, seed):
    x, W, b, _ = layer(seed)
    W[:, 0] += 1  # a positive sum for some
    z, c = x @ W + b, contributions(x, W)
    for j in range(W.shape[1]):
        message = lrp(lambda h: ops.affine(h, W, b), x, j, rules=rule).scores
        for n in np.flatnonzero((z[:, j] > 0) & (c[:, :, j].sum(1) > 0)):
            order = np.argsort(c[n, :, j])
            order = order[c[n, order, j] > 0]
            assert (np.diff(message[n, order]) >= -1e-12 * abs(message[n]).max()).all()


@given(seed=st.integers(0, 1000), name=st.sampled_from(list(MATRIX_FORMS)))
def test_a_convolution_obeys_the_rule_as_the_product_of_matrices_that_it_is(seed, name):
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(2, 2, 5, 4)), rng.normal(size=(3, 2, 3, 2)), rng.normal(size=3)
    weights = rng.normal(size=(2, 3))

    def fast(h):
        return ops.conv2d(h, W, b, 2)

    def composed(h):
        patches = ops.im2col(h, (3, 2), (2, 2))
        return ops.transpose(ops.affine(patches, W.reshape(3, -1).T.copy(), b), (0, 3, 1, 2))

    table = (FIRST, MATRIX_FORMS[name][0]), (ANY, basic())
    one, other = (
        lrp(lambda h, f=f: ops.affine(ops.total(ops.relu(f(h)), (2, 3)), np.eye(3)), x, weights, rules=table)
        for f in (fast, composed)
    )
    assert_equal_scores(one.scores, other.scores, 100 * np.maximum(one.flow, other.flow))
    assert_law(one)


def test_flat_counts_no_padding():
    x, W = np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3))
    result = lrp(lambda h: ops.total(ops.conv2d(h, W, padding=1), (2, 3)), x, 0, rules=flat())
    np.testing.assert_allclose(result.scores, np.full((1, 1, 2, 2), 4.0))
    assert_law(result)


@given(seed=st.integers(0, 1000), padding=st.sampled_from([2, "same", "by hand"]))
def test_what_goes_to_padding_is_no_input_of_a_layer_and_never_lost(seed, padding):
    rng = np.random.default_rng(seed)
    conv = nn.Conv1d(3, 3, 5, padding=0 if padding == "by hand" else padding, rng=rng, dtype="float64")
    conv.b = rng.normal(size=3)
    dense = nn.Dense(3 * 9, 2, rng=rng, dtype="float64")

    def model(x):
        x = ops.pad(x, ((0, 0), (0, 0), (2, 2))) if padding == "by hand" else x
        return dense(ops.flatten(ops.relu(conv(x))))

    x = rng.random((3, 3, 9))  # as many rows as channels: what is absorbed must still find its row
    for rule, _ in MATRIX_FORMS.values():
        assert_law(lrp(model, x, 1, rules=presets.convolutional(rule)))
    assert_law(lrp(model, x, 1, rules=presets.bounded(0, 1)))


def test_black_pixels_get_relevance_between_bounds_and_bounds_may_be_arrays():
    x, W = np.array([[0.0, 1.0]]), np.array([[-1.0], [2.0]])
    by_number = lrp(lambda h: ops.affine(h, W), x, 0, rules=z_bounded(0, 1))
    np.testing.assert_allclose(by_number.scores, [[2 / 3, 4 / 3]])
    by_array = lrp(lambda h: ops.affine(h, W), x, 0, rules=z_bounded(np.zeros(2), np.ones((1, 2))))
    np.testing.assert_array_equal(by_array.scores, by_number.scores)
    with pytest.raises(ValueError, match=r"x must lie between low and high, got values in 0\.\.1"):
        lrp(lambda h: ops.affine(h, W), x, 0, rules=z_bounded(0.5, 1))
    with pytest.raises(ValueError, match=r"low must broadcast to the shape of x, \(1, 2\); got \(3,\)"):
        lrp(lambda h: ops.affine(h, W), x, 0, rules=z_bounded(np.zeros(3), 1))


@pytest.mark.source("lrp:eq58")
@pytest.mark.parametrize("bias", ["absorb", "redistribute", "ignore"])
@pytest.mark.parametrize("eps", [1e-300, 1e-60, 1e-42, 1e-30, 1e30, 1e60, 1e300])
def test_a_stabiliser_at_the_ends_of_a_type_is_its_limit_and_never_nan(eps, bias):
    x, W = np.array([[0, 0], [1, 2], [1, -1]], np.float32), np.ones((2, 1), np.float32)  # totals of 0, 3 and 0
    zero, more = np.zeros(1, np.float32), np.full((3, 1), 3, np.float32)

    def model(h):
        return shift(ops.affine(h, W, zero), more)  # relevance comes to the totals of 0 too

    found, without = (lrp(model, x, 0, rules=rule) for rule in (epsilon(eps, bias), basic(bias)))
    assert_law(found)
    kept = found.absorbed_as("stabiliser") + found.absorbed_as("undefined")
    if eps > 1:
        np.testing.assert_allclose(kept, found.output, rtol=1e-6)
    else:
        np.testing.assert_allclose(kept, without.absorbed_as("undefined"), atol=1e-6)
        np.testing.assert_allclose(found.scores[:2], without.scores[:2], rtol=1e-6)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: gamma(0), r"gamma must be greater than 0 and finite, got 0; for 0 use basic\(\)"),
        (lambda: alpha_beta(2, -1, minus_beta=1), "give beta or minus_beta, got both"),
        (lambda: alpha_beta(2, minus_beta=2), r"alpha \+ beta must be 1, got 2 \+ -2 = 0"),
    ],
)
def test_settings_that_are_no_rule(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def network():
    return nn.Sequential(
        conv1=nn.Conv2d(1, 3, 3, padding=1, rng=0, dtype="float64"), relu1=nn.ReLU(), pool=nn.MaxPool2d(2),
        conv2=nn.Conv2d(3, 4, 2, rng=1, dtype="float64"), relu2=nn.ReLU(), flatten=nn.Flatten(),
        dense1=nn.Dense(16, 6, rng=2, dtype="float64"), relu3=nn.ReLU(), dense2=nn.Dense(6, 3, rng=3, dtype="float64"),
    )  # fmt: skip


@pytest.mark.parametrize("table", [presets.convolutional(), presets.bounded(), presets.convolutional(middle=z_plus())])
def test_presets_choose_by_the_place_in_the_network(table):
    x = np.random.default_rng(0).random((4, 1, 6, 6))
    model = network()
    for name in ("conv1", "conv2", "dense1"):
        vars(model)[name].b = np.random.default_rng(1).normal(size=vars(model)[name].b.shape)
    result = lrp(model, x, 1, rules=table)
    assert_law(result)
    by_path = (("conv1", table[0][1]), ("conv2", table[1][1]), (ANY, table[3][1]))
    np.testing.assert_array_equal(lrp(model, x, 1, rules=by_path).scores, result.scores)


def test_first_is_what_reads_the_input_on_every_way_from_it():
    rng = np.random.default_rng(0)
    x, A, B, C = rng.normal(size=(2, 3)), *(rng.normal(size=(3, 3)) for _ in range(3))

    def model(h):
        return ops.affine(ops.relu(ops.affine(ops.relu(h), A)) + ops.affine(h, B), C)

    rules = ((FIRST, flat()), (ANY, basic()))
    result = lrp(model, x, 0, rules=rules)
    assert_law(result)
    np.testing.assert_allclose(result.scores, np.repeat(result.scores.mean(1, keepdims=True), 3, 1))  # both were flat


def test_the_table_of_layers_tells_who_kept_what():
    model, x = network(), np.random.default_rng(0).random((2, 1, 6, 6))
    model.conv1.b, model.dense1.b = np.array([0.1, -0.2, 0.3]), np.linspace(-0.1, 0.2, 6)
    result = lrp(model, x, 2, rules=epsilon(0.05))
    assert list(result.arrived) == ["dense2", "dense1", "conv2", "conv1"]
    passed = result.output
    for path in result.arrived:  # no branches: what one passes on arrives at the next
        np.testing.assert_allclose(result.arrived[path], passed)
        passed = passed - sum(result.absorbed_by.get(path, {}).values())
    np.testing.assert_allclose(result.scores.sum((1, 2, 3)), passed)
    head, *rows, last = result.layers(1).splitlines()
    assert head.split() == ["layer", "arrives", "bias", "stabiliser", "passes", "on"]
    assert [row.split()[0] for row in rows] == list(result.arrived)
    assert last.split()[:2] == ["input", f"{result.scores[1].sum():.4g}"]
