"""Shapley values by sampled orders: the law in every order, and the exact values where orders or effects allow it."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores, assert_law
from support.networks import networks

from minidl import backend, ops
from minidl.explain.sampled import over_orders, sampled_shapley
from minidl.explain.shapley import shapley


def small(seed, n=4):
    rng = np.random.default_rng(seed)
    W, b, V = rng.normal(size=(n, 5)), rng.normal(size=5), rng.normal(size=(5, 2))
    return rng.normal(size=(2, n)), rng.normal(size=(2, n)), lambda h: ops.affine(ops.tanh(ops.affine(h, W, b)), V)


@pytest.mark.source("deeplift:shapley")
@given(network=networks(powers=True), seed=st.integers(0, 99))
def test_a_single_order_sums_to_the_difference_from_the_reference(network, seed):
    reference = network.x[::-1] * 0.5
    assert_law(sampled_shapley(network, network.x, 1, reference=reference, orders=1, rng=seed))


@pytest.mark.source("deeplift:shapley")
@given(seed=st.integers(0, 10_000))
def test_over_all_orders_the_mean_is_exact(seed):
    x, reference, model = small(seed)
    exact = shapley(model, x, [0, 1], reference=reference)
    every = over_orders(model, x, [0, 1], reference, permutations(range(4)), None)
    assert_equal_scores(every.scores, exact.scores, every.flow + exact.flow)


@given(seed=st.integers(0, 10_000))
def test_one_order_and_its_reverse_are_exact_for_effects_of_single_elements_and_of_pairs(seed):
    rng = np.random.default_rng(seed)
    x, A, w = rng.normal(size=(3, 5)), rng.normal(size=(5, 5)), rng.normal(size=5)

    def pairs(h):
        return (h * ops.matmul(h, A)).sum(1) + ops.matmul(h, w)

    exact = shapley(pairs, x, reference=0.3)
    drawn = sampled_shapley(pairs, x, reference=0.3, orders=1, rng=seed)
    assert_equal_scores(drawn.scores, exact.scores, 10 * (drawn.flow + exact.flow))


def test_more_orders_come_nearer():
    x, reference, model = small(0)
    exact = shapley(model, x, 0, reference=reference).scores
    off = [
        np.mean([
            abs(sampled_shapley(model, x, 0, reference=reference, orders=orders, rng=s).scores - exact).mean()
            for s in range(20)
        ])
        for orders in (1, 16)
    ]  # fmt: skip
    assert off[1] < off[0] / 2  # a quarter is expected


def test_rows_are_explained_alone_and_chunks_do_not_matter():
    x, reference, model = small(3)
    options = dict(orders=3, rng=5)
    both = sampled_shapley(model, x, [1, 0], reference=reference, **options)
    chunks = sampled_shapley(model, x, [1, 0], reference=reference, chunk=2, **options)
    assert_equal_scores(chunks.scores, both.scores, both.flow)
    alone = sampled_shapley(model, x[1:], 0, reference=reference[1:], **options)
    assert_equal_scores(alone.scores, both.scores[1:], both.flow[1:])


def test_the_same_rng_gives_the_same_bits_and_float32_stays_float32():
    x, _, model = small(4)
    first, second = (sampled_shapley(model, x, 0, reference=0.0, orders=2, rng=1) for _ in range(2))
    np.testing.assert_array_equal(first.scores, second.scores)
    single = sampled_shapley(lambda h: ops.relu(h).sum(1), x.astype(np.float32), reference=0.0, orders=2, rng=1)
    assert {getattr(single, name).dtype for name in ("scores", "output", "residual", "flow")} == {np.dtype("float32")}
    assert_law(single)


def test_every_array_module_gives_numpys_numbers(xp):
    x = np.random.default_rng(0).normal(size=(2, 1, 2, 3))

    def model(h):
        return ops.relu(h[:, 0] - 0.2).sum((1, 2)) ** 2

    ours = sampled_shapley(model, xp.asarray(x), reference=0.1, orders=2, rng=3)
    theirs = sampled_shapley(model, x, reference=0.1, orders=2, rng=3)
    assert backend.xp(ours.scores) is xp
    assert_equal_scores(backend.to_numpy(ours.scores), theirs.scores, theirs.flow)


@pytest.mark.parametrize("orders", [0, -1, 2.0, True])
def test_orders_that_are_no_number_of_orders(orders):
    with pytest.raises(ValueError, match="sampled_shapley: orders must be an int of at least 1, got"):
        sampled_shapley(lambda h: h.sum(1), np.ones((1, 2)), reference=0.0, orders=orders, rng=0)


@pytest.mark.parametrize(
    "options, error, sentence",
    [
        (dict(rng=None), TypeError, "rng must be a numpy.random.Generator or an int"),
        (dict(reference=np.zeros(3)), ValueError, r"reference must be a number or .* got \(3,\)"),
        (dict(reference=np.nan), ValueError, "reference holds NaN or infinite values"),
        (dict(chunk=0), ValueError, "chunk must be an int of at least 1, got 0"),
    ],
)
def test_what_it_refuses(options, error, sentence):
    with pytest.raises(error, match=f"sampled_shapley: {sentence}"):
        sampled_shapley(lambda h: h.sum(1), np.ones((1, 2)), **(dict(reference=0.0, orders=1, rng=0) | options))
