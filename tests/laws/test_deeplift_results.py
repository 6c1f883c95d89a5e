"""What a DeepLIFT explanation carries: multipliers, hypothetical letters, means over references, bounded memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.networks import networks
from support.tolerance import rounding

from minidl import nn, ops
from minidl.explain import deeplift, integrated_gradients, saliency, shapley
from minidl.explain.rules import presets, rescale, reveal_cancel
from minidl.nn.models import deeplift_genomics

RULES = {"rescale": rescale(), "reveal-cancel": reveal_cancel()}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@pytest.mark.source("deeplift:eq2")
@each_rule
@given(network=networks())
def test_scores_are_multipliers_times_differences(rule, network):
    result = deeplift(network, network.x, 0, reference=network.reference, rules=rule)
    difference = network.x - network.reference
    np.testing.assert_allclose(result.scores, result.multipliers * difference, rtol=1e-12, atol=1e-300)


def test_where_there_is_no_difference_the_multiplier_is_the_mean_of_both_parts():
    def model(h):  # f(x) = relu(x) - 2 relu(-x): the reference is the kink
        return (ops.relu(h) - ops.relu(-h) * 2).sum(1)

    result = deeplift(model, np.array([[0.0, 1.0, -1.0]]), reference=0.0, rules=reveal_cancel())
    np.testing.assert_allclose(result.multipliers[0, 1:], [1.0, 2.0])
    assert np.isfinite(result.multipliers).all()


def dna(seed, n=3, length=12):
    letters = np.random.default_rng(seed).integers(0, 4, (n, length))
    return np.eye(4)[letters].transpose(0, 2, 1)


def model(seed):
    return nn.Sequential(
        nn.Conv1d(4, 5, 3, rng=seed, dtype="float64"), nn.ReLU(), nn.Flatten(),
        nn.Dense(50, 6, rng=seed + 1, dtype="float64"), nn.ReLU(), nn.Dense(6, 2, rng=seed + 2, dtype="float64"),
    )  # fmt: skip


@each_rule
@given(seed=st.integers(0, 1000), several=st.booleans())
def test_a_hypothetical_letter_contributes_what_the_multipliers_give_it(rule, seed, several):
    x, network = dna(seed), model(seed)
    references = np.stack([dna(seed + 1), np.broadcast_to(np.array([0.3, 0.2, 0.2, 0.3])[:, None], x.shape)])
    options = {"reference": references, "axis": 0} if several else {"reference": references[1]}
    result = deeplift(network, x, 1, rules=rule, one_hot=1, **options)
    # the letter that is there contributes what it contributes
    np.testing.assert_allclose((result.hypothetical * x).sum(1), result.scores.sum(1), rtol=1e-9, atol=1e-12)
    used = references if several else references[1:]
    single = [deeplift(network, x, 1, rules=rule, reference=r) for r in used]
    for letter in range(4):
        there = (np.arange(4) == letter)[None, :, None]
        by_hand = np.mean([(e.multipliers * (there - r)).sum(1) for e, r in zip(single, used, strict=True)], 0)
        np.testing.assert_allclose(result.hypothetical[:, letter], by_hand, rtol=1e-9, atol=1e-12)
    assert deeplift(network, x, 1, rules=rule, **options).hypothetical is None


def test_on_a_linear_network_hypothetical_letters_are_what_they_would_contribute():
    x, W = dna(0), np.random.default_rng(1).normal(size=(48, 1))
    rest = 0.25

    def linear(h):
        return ops.affine(ops.flatten(h), W)

    found = deeplift(linear, x, 0, reference=rest, one_hot=1).hypothetical
    for place in range(12):
        for letter in range(4):
            other = x.copy()
            other[:, :, place] = np.eye(4)[letter]
            there = deeplift(linear, other, 0, reference=rest).scores[:, :, place].sum(1)
            np.testing.assert_allclose(found[:, letter, place], there, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 3, True, "letters"])
def test_one_hot_names_an_axis_behind_the_rows(axis):
    with pytest.raises(ValueError, match="one_hot must be an axis of x behind the rows', got"):
        deeplift(model(0), dna(0), 0, reference=0.0, one_hot=axis if axis is not True else -3)


def test_letters_that_are_not_one_hot_are_refused():
    with pytest.raises(ValueError, match="x is not one-hot along axis 1: each place needs a single 1 and else zeros"):
        deeplift(model(0), dna(0) * 0.5, 0, reference=0.0, one_hot=1)


@pytest.mark.parametrize(
    "shape, axis, sentence",
    [
        ((2, 3, 4, 12), 4, r"axis must be an axis of reference, of shape \(2, 3, 4, 12\); got 4"),
        ((0, 3, 4, 12), 0, r"there is no reference along axis 0 of shape \(0, 3, 4, 12\)"),
        ((2, 3, 4, 12), None, r"reference must be a number or broadcast to the shape of x, \(3, 4, 12\); got \(2, 3"),
        ((2, 2, 4, 12), 0, r"reference must be a number or broadcast to the shape of x, .*; got \(2, 4, 12\)"),
    ],
)
def test_axes_that_hold_no_references(shape, axis, sentence):
    with pytest.raises(ValueError, match=sentence):
        deeplift(model(0), dna(0), 0, reference=np.zeros(shape), axis=axis)


@pytest.mark.source("deeplift:variants")
def test_the_presets_rule_behind_convolutions_and_behind_dense_layers():
    network, x = model(3), dna(3)
    mixed = deeplift(network, x, 0, reference=0.25, rules=presets.dense_reveal_cancel())
    by_path = deeplift(network, x, 0, reference=0.25, rules=(("1", rescale()), ("4", reveal_cancel())))
    np.testing.assert_array_equal(mixed.scores, by_path.scores)
    for rule in RULES.values():
        assert abs(mixed.scores - deeplift(network, x, 0, reference=0.25, rules=rule).scores).max() > 1e-6


AT_REST = {
    "rescale": lambda *a, **k: deeplift(*a, rules=rescale(), **k),
    "reveal-cancel": lambda *a, **k: deeplift(*a, rules=reveal_cancel(), **k),
    "preset": lambda *a, **k: deeplift(*a, rules=presets.dense_reveal_cancel(), **k),
    "integrated gradients": lambda *a, **k: integrated_gradients(*a, steps=5, **k),
    "shapley": lambda *a, **k: shapley(*a, players=np.arange(12) // 3, **k),
}


@pytest.mark.parametrize("method", AT_REST.values(), ids=AT_REST)
@given(seed=st.integers(0, 1000))
def test_where_the_reference_is_the_input_nothing_contributes(method, seed):
    x, network = dna(seed), model(seed)
    result = method(network, x, 1, reference=x)
    off = rounding(x.dtype, result.flow) if result.method == "shapley" else 0  # its answers are weighted and summed
    assert (abs(result.scores).max((1, 2)) <= off).all() and (abs(result.residual) <= off).all()
    np.testing.assert_allclose(result.reference_output, result.output, rtol=1e-13, atol=1e-14)
    if result.multipliers is not None:
        np.testing.assert_allclose(
            result.multipliers, saliency(network, x, 1, signed=True).scores, rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("name", ["rescale", "reveal-cancel", "preset", "integrated gradients"])
def test_a_reference_that_is_the_input_adds_nothing_to_the_mean_over_several(name):
    x, network = dna(0), model(0)
    alone = AT_REST[name](network, x, 1, reference=0.25)
    among = AT_REST[name](network, x, 1, reference=np.stack([x, np.full(x.shape, 0.25), x, x]), axis=0)
    np.testing.assert_allclose(among.scores, alone.scores / 4, rtol=1e-12, atol=1e-15)
    assert abs(among.residual).max() <= abs(alone.residual).max() + 1e-12 and abs(among.scores).max() > 0


def test_explanations_are_the_same_only_if_they_are_one_object():
    first, second = (deeplift(model(0), dna(0), 0, reference=0.25) for _ in range(2))
    assert first == first and first != second and len({first, second}) == 2


def test_memory_does_not_grow_with_the_number_of_references():
    network, x = model(0), dna(0, n=200)

    def peak(count):
        references = np.repeat(dna(1, n=200)[None], count, 0)
        tracemalloc.start()
        deeplift(network, x, 0, reference=references, axis=0, rules=reveal_cancel())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    assert peak(12) < 1.3 * peak(3)


@pytest.mark.slow
def test_a_hundred_sequences_against_twenty_references_stay_far_below_a_gigabyte():
    network, x = deeplift_genomics().eval(), dna(0, n=100, length=200).astype(np.float32)
    references = np.stack([dna(seed, n=100, length=200) for seed in range(20)]).astype(np.float32)
    tracemalloc.start()
    deeplift(network, x, 0, reference=references, axis=0, rules=presets.dense_reveal_cancel())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 250e6  # measured: 53 MB; a layer's values are 4 MB for one reference, and 80 for all of them
