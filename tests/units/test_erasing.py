"""Erasing, and heatmaps' normalisation."""

import numpy as np
import pytest

from minidl import ops
from minidl.explain import gradient_times_input
from minidl.explain.erasing import erase, log_odds, log_odds_change
from minidl.explain.heatmaps import normalise, plot


@pytest.mark.source("deeplift:fig4")
def test_only_elements_that_argue_for_the_first_class_are_erased_the_strongest_first():
    x = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    difference = np.array([[0.1, 5.0, -1.0, 2.0], [-1.0, -2.0, 0.0, 0.5]])
    erased = erase(x, difference + 7.0, np.full(x.shape, 7.0), 2, fill=-1.0)
    np.testing.assert_array_equal(erased, [[1.0, -1.0, 3.0, -1.0], [1.0, 2.0, 3.0, -1.0]])


@pytest.mark.source("deeplift:fig4")
def test_log_odds_of_a_linear_model_change_by_the_erased_contributions():
    rng = np.random.default_rng(0)
    x, W = rng.random((5, 4)), rng.normal(size=(4, 3))
    scores = [x * W[:, c] for c in (0, 1)]
    erased = erase(x, scores[0], scores[1], 4)
    gone = np.maximum(scores[0] - scores[1], 0).sum(1)
    np.testing.assert_allclose(log_odds_change(lambda h: ops.affine(h, W), x, erased, 0, 1), gone, atol=1e-12)


@pytest.mark.source("deeplift:fig4")
def test_each_row_may_have_classes_of_its_own():
    rng = np.random.default_rng(1)
    x, erased, W = rng.random((3, 4)), rng.random((3, 4)), rng.normal(size=(4, 5))
    pairs = [(0, 1), (4, 2), (3, 3)]

    def model(h):
        return ops.affine(h, W)

    each = [log_odds_change(model, x[k : k + 1], erased[k : k + 1], a, b)[0] for k, (a, b) in enumerate(pairs)]
    together = log_odds_change(model, x, erased, *np.transpose(pairs))
    np.testing.assert_allclose(together, each, atol=1e-12)
    assert together[2] == 0 and each[0] != 0


def test_erase_names_shapes_that_differ():
    with pytest.raises(ValueError, match=r"shape of x, \(2, 3\), got \(2, 3\) and \(1, 3\)"):
        erase(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((1, 3)), 1)


@pytest.mark.parametrize("which", [0, 1])
def test_scores_that_are_not_finite_rank_nothing(which):
    scores = [np.zeros((2, 3)), np.zeros((2, 3))]
    scores[which][1, 2] = np.nan
    with pytest.raises(ValueError, match="erase: scores hold NaN or infinite values"):
        erase(np.zeros((2, 3)), *scores, 1)
    with pytest.raises(ValueError, match="scores hold NaN or infinite values"):
        plot(scores[which])


def test_explanations_bring_their_scores():
    x, W = np.random.default_rng(2).random((3, 4)), np.arange(8.0).reshape(4, 2)[:, ::-1]
    by_class = [gradient_times_input(lambda h: ops.affine(h, W), x, c) for c in (0, 1)]
    expected = erase(x, by_class[0].scores, by_class[1].scores, 2)
    assert (expected != x).sum() == 6
    np.testing.assert_array_equal(erase(x, *by_class, 2), expected)


@pytest.mark.parametrize(
    "a, b, sentence",
    [
        (1, -1, r"log_odds: class_b must lie in 0..2, got -1"),
        (3, 0, r"class_a must lie in 0..2, got 3"),
        ([0, 7], 1, r"class_a must lie in 0..2, got \[0, 7\]"),
    ],
)
def test_a_class_that_the_model_does_not_have(a, b, sentence):
    with pytest.raises(ValueError, match=sentence):
        log_odds(lambda h: h, np.zeros((2, 3)), a, b)


@pytest.mark.source("lrp:eq35")
def test_heatmaps_are_divided_by_their_largest_magnitude_and_zero_stays_zero():
    scores = np.array([[[2.0, -4.0]], [[0.0, 0.0]], [[1.0, 0.5]]])
    np.testing.assert_array_equal(normalise(scores), [[[0.5, -1.0]], [[0.0, 0.0]], [[1.0, 0.5]]])
    np.testing.assert_array_equal(normalise(scores, over="set"), scores / 4.0)


def test_a_heatmap_has_zero_in_the_middle_of_its_colours():
    figure = plot(np.array([[[[3.0, -1.0], [0.0, 0.0]]]]), images=np.ones((1, 1, 2, 2)))
    shown = figure.axes[1].get_images()[0]
    assert shown.get_clim() == (-1, 1)
    np.testing.assert_allclose(shown.get_array(), [[1.0, -1 / 3], [0.0, 0.0]])
