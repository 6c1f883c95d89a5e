"""Shapley values: the axioms that define them, every order one by one, and what DeepLIFT makes of small networks."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores, assert_law
from support.networks import networks
from support.tolerance import assert_close

from minidl import backend, ops
from minidl.explain import deeplift, perturbation
from minidl.explain.rules import rescale, reveal_cancel
from minidl.explain.shapley import coalitions, shapley, weights_in

seeds = given(seed=st.integers(0, 10_000))


class Small:
    """A network of two outputs with one hidden layer, over rows of n numbers, and rows and references to explain."""

    def __init__(self, seed, n=4, hidden=5, f=ops.tanh):
        rng = np.random.default_rng(seed)
        self.f, self.x, self.reference = f, rng.normal(size=(2, n)), rng.normal(size=(2, n))
        self.W, self.b, self.V = rng.normal(size=(n, hidden)), rng.normal(size=hidden), rng.normal(size=(hidden, 2))

    def __call__(self, x):
        return ops.affine(self.f(ops.affine(x, self.W, self.b)), self.V)

    @property
    def size(self):
        """At least the largest sum of |terms| on the way to an output, for any mixture of x and reference."""
        inner = abs(self.x).max() + abs(self.reference).max()
        return 2 * (inner * abs(self.W).sum() + abs(self.b).sum() + 1) * abs(self.V).sum()


def by_orders(value, n):
    """What each of n players adds in the mean over all n! orders; value: {frozenset of players: number}."""
    added = np.zeros(n)
    for order in permutations(range(n)):
        for k, player in enumerate(order):
            added[player] += value(frozenset(order[: k + 1])) - value(frozenset(order[:k]))
    return added / factorial(n)


def game(model, x, reference, labels, target):
    """The value of a coalition: the model's output where its players have x's values and the others the reference's."""
    found = {}

    def value(players):
        if players not in found:
            row = np.where(np.isin(labels, list(players)), x, reference)
            found[players] = model(row[None])[0, target]
        return found[players]

    return value


@pytest.mark.source("deeplift:shapley")
@given(seed=st.integers(0, 10_000), n=st.integers(1, 5))
def test_every_order_one_by_one_gives_the_same(seed, n):
    model = Small(seed, n)
    result = shapley(model, model.x, [0, 1], reference=model.reference)
    for row in (0, 1):
        value = game(model, model.x[row], model.reference[row], np.arange(n), row)
        assert_close(result.scores[row], by_orders(value, n), scale=model.size)
        assert_close(result.reference_output[row], value(frozenset()), scale=model.size)
        assert_close(result.output[row], value(frozenset(range(n))), scale=model.size)


@pytest.mark.source("deeplift:shapley")
@given(network=networks(powers=True), one=st.booleans())
def test_the_values_sum_to_the_difference_from_the_reference(network, one):
    players = np.arange(network.x[0].size).reshape(network.x.shape[1:]) % 5
    reference = network.reference if one else network.x[::-1] * 0.5
    assert_law(shapley(network, network.x, 1, reference=reference, players=players))


@pytest.mark.source("deeplift:shapley")
@given(network=networks(activations=(), gates=False, winners=False, images=False))
def test_on_a_linear_network_the_values_are_the_contributions(network):
    x = network.generic()
    contributions = deeplift(network, x, 0, reference=network.reference)
    result = shapley(network, x, 0, reference=network.reference)
    assert_equal_scores(result.scores, contributions.scores, contributions.flow + result.flow)


@seeds
def test_players_that_do_the_same_get_the_same(seed):
    model = Small(seed)
    model.W[1], model.x[:, 1], model.reference[:, 1] = model.W[0], model.x[:, 0], model.reference[:, 0]
    scores = shapley(model, model.x, 0, reference=model.reference).scores
    assert_close(scores[:, 1], scores[:, 0], scale=model.size)


@seeds
def test_players_that_change_nothing_get_nothing(seed):
    model = Small(seed)
    model.W[1], model.x[0, 2] = 0, model.reference[0, 2]
    scores = shapley(model, model.x, 0, reference=model.reference).scores
    assert_close(scores[:, 1], np.zeros(2), scale=model.size)
    assert_close(scores[0, 2], np.zeros(()), scale=model.size)


@seeds
def test_a_sum_of_outputs_has_the_sum_of_their_values(seed):
    model = Small(seed)
    weights = np.random.default_rng(seed).normal(size=(2, 2))
    both = shapley(model, model.x, weights, reference=model.reference).scores
    each = [shapley(model, model.x, c, reference=model.reference).scores * weights[:, c, None] for c in (0, 1)]
    assert_close(both, sum(each), scale=model.size * abs(weights).sum())


@given(n=st.integers(1, 16))
def test_partners_of_a_product_share_it_evenly(n):
    def times(h):
        y = h[:, 0]
        for k in range(1, n):
            y = y * h[:, k]
        return y

    result = shapley(times, np.full((1, n), 2.0), reference=0.0)
    assert_close(result.scores, np.full((1, n), 2.0**n / n), scale=result.flow)


@pytest.mark.parametrize("n", range(1, 8))
def test_a_coalitions_weight_is_that_of_the_orders_in_which_it_stands_before_a_player(n):
    inside = coalitions(n, 0, 2**n)
    assert {tuple(row) for row in inside} == set(np.ndindex(*[2] * n))
    for coalition, weights in zip(inside, weights_in(inside).T, strict=True):
        s = coalition.sum()
        for player, weight in zip(coalition, weights, strict=True):
            before = s - player  # members beside the player
            share = factorial(before) * factorial(n - before - 1) / factorial(n)
            assert_close(np.array(weight), np.array(share if player else -share))


# ------------------------------------------------------------------------------------------ players of several elements


@given(seed=st.integers(0, 10_000), shape=st.sampled_from([(6,), (2, 3), (1, 2, 3)]))
def test_elements_of_one_player_enter_together_and_share_its_value(seed, shape):
    model = Small(seed, 6)
    rng = np.random.default_rng(seed)
    labels = rng.choice([-7, 0, 3, 10], shape)
    names = np.unique(labels)
    x, reference = model.x.reshape(2, *shape), model.reference.reshape(2, *shape)
    result = shapley(lambda h: model(ops.reshape(h, (-1, 6))), x, 0, reference=reference, players=labels)
    numbers = np.searchsorted(names, labels)
    for row in (0, 1):
        values = by_orders(game(model, model.x[row], model.reference[row], numbers.ravel(), 0), len(names))
        for player, value in enumerate(values):
            mine = result.scores[row][numbers == player]
            assert_close(mine, np.full(len(mine), value / len(mine)), scale=model.size)


def test_players_broadcast_to_a_row():
    x = np.arange(24.0).reshape(2, 3, 4)
    result = shapley(lambda h: ops.relu(h - 8).sum((1, 2)), x, reference=0.0, players=[0, 0, 1, 1])
    full = np.broadcast_to([0, 0, 1, 1], (3, 4))
    again = shapley(lambda h: ops.relu(h - 8).sum((1, 2)), x, reference=0.0, players=full)
    np.testing.assert_array_equal(result.scores, again.scores)
    np.testing.assert_array_equal(result.scores[:, :, 0], result.scores[:, :, 1])


# -------------------------------------------------------------------------------------- DeepLIFT as their approximation


@pytest.mark.source("deeplift:shapley", "deeplift:revealcancel-rule")
@given(seed=st.integers(0, 10_000), f=st.sampled_from([ops.relu, ops.tanh, ops.sigmoid, ops.elu, ops.softplus]))
@pytest.mark.filterwarnings("ignore:.* saturates")
def test_reveal_cancel_is_exact_for_the_two_parts_of_one_non_linearity(seed, f):
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(1, 4)), rng.normal(size=(4, 1)), rng.normal(size=1)
    terms = x[0] * W[:, 0]
    part = (terms > 0).astype(int)
    assume(0 < part.sum() < 4)

    def unit(h):
        return f(ops.affine(h, W, b))

    exact = shapley(unit, x, reference=0.0, players=part).scores[0]
    approximate = deeplift(unit, x, reference=0.0, rules=reveal_cancel()).scores[0]
    for sign in (0, 1):
        scale = 1 + abs(terms).sum() + abs(b[0])  # |f(z)| <= 1 + |z|
        assert_close(approximate[part == sign].sum(), exact[part == sign].sum(), scale=scale)


@pytest.mark.source("deeplift:shapley", "deeplift:fig3")
@given(i1=st.floats(0.1, 10), i2=st.floats(0.1, 10))
def test_both_inputs_of_the_minimum_get_half_of_it_as_by_reveal_cancel(i1, i2):
    assume(abs(i1 - i2) > 1e-3)
    x = np.array([[i1, i2]])

    def minimum(i):
        return i[:, 0] - ops.relu(ops.affine(i, np.array([[1.0], [-1.0]])))[:, 0]

    half = np.full((1, 2), min(i1, i2) / 2)
    assert_close(shapley(minimum, x, reference=0.0).scores, half, scale=i1 + i2)
    assert_close(deeplift(minimum, x, reference=0.0, rules=reveal_cancel()).scores, half, scale=i1 + i2)
    by_rescale = deeplift(minimum, x, reference=0.0, rules=rescale()).scores
    assert abs(by_rescale - half).max() > 0.04  # all of it to the smaller


@pytest.mark.source("deeplift:shapley")
@pytest.mark.parametrize("f", [ops.relu, ops.tanh, ops.sigmoid])
def test_reveal_cancel_comes_closer_to_the_exact_values_than_rescale(f):
    gain = []
    for seed in range(60):
        model = Small(seed, 5, 6, f)
        exact = shapley(model, model.x, 0, reference=0.0).scores
        off = [
            np.abs(deeplift(model, model.x, 0, reference=0.0, rules=rule).scores - exact).sum() / np.abs(exact).sum()
            for rule in (rescale(), reveal_cancel())
        ]
        gain.append(off[0] - off[1])
    standard_error = np.std(gain, ddof=1) / np.sqrt(len(gain))
    assert np.mean(gain) > 5 * standard_error  # by chance 3 times in 10 million


# -------------------------------------------------------------------------------------------------------------- corners


@given(seed=st.integers(0, 10_000), chunk=st.sampled_from([1, 3, 16, 1000]))
def test_how_many_coalitions_are_asked_about_at_once_does_not_matter(seed, chunk):
    model = Small(seed)
    whole = shapley(model, model.x, [0, 1], reference=model.reference)
    parts = shapley(model, model.x, [0, 1], reference=model.reference, chunk=chunk)
    assert_law(parts)
    for name in ("scores", "output", "reference_output"):
        assert_close(getattr(parts, name), getattr(whole, name), scale=model.size)


def test_the_model_is_asked_about_a_bounded_number_of_coalitions(monkeypatch):
    asked = []

    def model(x):
        asked.append(len(x))
        return x.sum(1)

    monkeypatch.setattr(perturbation, "NUMBERS", 50)
    shapley(model, np.ones((2, 4)), reference=0.0)
    assert asked == [2, 12, 12, 8]  # x itself, then 16 coalitions, six of 8 numbers at a time


def test_a_row_of_one_number_is_one_player():
    result = shapley(lambda x: x * x, np.array([3.0, 1.0]), reference=1.0)
    np.testing.assert_array_equal(result.scores, [8, 0])
    assert_law(result)


def test_the_law_is_printed_as_a_sum():
    result = shapley(lambda x: ops.relu(x).sum(1), np.array([[1.0, 2.0]]), reference=-1.0)
    assert str(result) == "scores 3 = output 3 - reference output 0 (residual 0e+00)"


def test_float32_stays_float32():
    model = Small(0)
    single = Small(0)
    for name in ("x", "reference", "W", "b", "V"):
        setattr(single, name, getattr(model, name).astype(np.float32))
    result = shapley(single, single.x, 0, reference=single.reference)
    assert_law(result)
    exact = shapley(model, model.x, 0, reference=model.reference)
    for name in ("scores", "output", "reference_output", "absorbed", "residual", "flow"):
        assert getattr(result, name).dtype == np.float32, name
        assert_close(getattr(result, name), getattr(exact, name), scale=model.size)


def test_every_array_module_gives_numpys_numbers(xp):
    model, there = Small(1), Small(1)
    for name in ("x", "reference", "W", "b", "V"):
        setattr(there, name, xp.asarray(getattr(model, name)))
    for players in (None, [0, 1, 1, 0]):
        ours = shapley(there, there.x, [0, 1], reference=there.reference, players=players)
        theirs = shapley(model, model.x, [0, 1], reference=model.reference, players=players)
        for name in ("scores", "output", "reference_output", "absorbed", "expected", "residual", "flow"):
            assert backend.xp(getattr(ours, name)) is xp, name
            assert_close(backend.to_numpy(getattr(ours, name)), getattr(theirs, name), scale=model.size)


@pytest.mark.parametrize(
    "options, error, sentence",
    [
        (dict(), ValueError, r"17 players have 2\^17 coalitions, .* above 16; give players=, labels by which elements"),
        (dict(players=np.arange(17)), ValueError, r"17 players have 2\^17 coalitions"),
        (dict(players=np.zeros(3, int)), ValueError, r"players must have the shape of a row of x, .* got \(3,\)"),
        (dict(players=np.zeros(17)), TypeError, "players must be integer labels, got float64"),
        (dict(players=[0] * 17, chunk=0), ValueError, "chunk must be an int of at least 1, got 0"),
        (dict(players=[0] * 17, reference=[0.0, 1.0]), ValueError, r"reference must be a number or .* got \(2,\)"),
        (dict(players=[0] * 17, reference=np.inf), ValueError, "reference holds NaN or infinite values"),
    ],
)
def test_what_shapley_refuses(options, error, sentence):
    with pytest.raises(error, match=f"shapley: {sentence}"):
        shapley(lambda h: h.sum(1), np.ones((2, 17)), **(dict(reference=0.0) | options))


def test_a_coalition_without_a_finite_answer():
    sentence = "shapley: the model's output for a variant of x holds NaN or infinite values"
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match=sentence):
        shapley(lambda h: ops.log(h).sum(1), np.ones((2, 3)), reference=0.0)
