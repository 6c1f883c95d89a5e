"""Letters as high as their scores: what is drawn, measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from support.tolerance import assert_close

from minidl.data.genomics import LETTERS
from minidl.explain.letters import COLOURS, plot_letters


def drawn(ax):
    """{(letter, position): (foot, top)} of the letters on the axes, in their own units, and the letters' collection."""
    (collection,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    names = {colour: letter for letter, colour in COLOURS.items()}
    found = {}
    for path, colour in zip(collection.get_paths(), collection.get_facecolors(), strict=True):
        box = path.get_extents()  # of the outlines themselves: curves do not reach their control points
        t = round(float(box.x0 + box.x1) / 2)
        assert_close(box.x0 + box.x1, 2.0 * t, scale=t + 1)  # in the middle of its position ...
        assert 0 < box.width < 1  # ... and within it
        found[names[to_hex(colour).upper()], t] = box.y0, box.y1
    assert len(found) == len(collection.get_paths())
    return found, collection


@pytest.mark.source("deeplift:fig6")
@given(seed=st.integers(0, 10_000), length=st.integers(1, 12))
def test_letters_are_as_high_as_their_scores_and_the_small_ones_are_nearer_to_the_axis(seed, length):
    scores = np.random.default_rng(seed).integers(-4, 5, (4, length)) / 4 * 10.0 ** (seed % 7 - 3)  # zeros and ties
    found, _ = drawn(plot_letters(scores))
    assert set(found) == {(LETTERS[k], t) for k, t in np.argwhere(scores != 0)}
    size = abs(scores).sum(0).max(initial=0)
    for sign in (1, -1):
        for t in range(length):
            mine = sorted((abs(scores[k, t]), k) for k in range(4) if sign * scores[k, t] > 0)
            height = 0.0
            for score, k in mine:
                ends = sorted(sign * end for end in found[LETTERS[k], t])
                assert_close(ends, np.array([height, height + score]), scale=size)
                height += score


@pytest.mark.source("deeplift:fig6")
def test_the_picture_holds_all_letters_and_its_colours_are_four():
    scores = np.random.default_rng(0).normal(size=(4, 30))
    ax = plot_letters(scores, title="scores")
    low, high = np.minimum(scores, 0).sum(0).min(), np.maximum(scores, 0).sum(0).max()
    assert ax.get_ylim()[0] < low and high < ax.get_ylim()[1] and ax.get_xlim() == (-0.5, 29.5)
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("scores", "position", "score")
    _, collection = drawn(ax)
    assert len(set(map(to_hex, collection.get_facecolors()))) == 4
    ax.figure.canvas.draw()


def test_letters_above_the_axis_stand_upright_and_those_below_upside_down():
    scores = np.zeros((4, 2))
    scores[LETTERS.index("T")] = 1.0, -1.0
    _, collection = drawn(plot_letters(scores))
    for path, bar in zip(collection.get_paths(), (1.0, -1.0), strict=True):
        (outline,) = path.to_polygons()
        leftmost = outline[outline[:, 0] == outline[:, 0].min()]
        assert (leftmost[:, 1] / bar > 0.5).all()  # the bar of a T is away from its foot, and the foot is on the axis


@pytest.mark.source("deeplift:fig6")
def test_boxes_surround_their_motifs():
    scores = np.zeros((4, 20))
    scores[0, 3:8] = 2.0
    ax = plot_letters(scores, highlight=[(3, 8, "tab:blue"), (19, 20, "tab:green")])
    assert [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches] == [(2.5, 7.5), (18.5, 19.5)]
    for patch, colour in zip(ax.patches, ("tab:blue", "tab:green"), strict=True):
        assert patch.get_y() < 0 and patch.get_y() + patch.get_height() > 2
        assert to_hex(patch.get_edgecolor()) == to_hex(colour) and not patch.get_fill()


def test_it_draws_on_the_axes_that_it_is_given_and_leaves_their_title():
    ax = Figure().subplots()
    ax.set_title("mine")
    assert plot_letters(np.ones((4, 3)), ax) is ax and ax.get_title() == "mine"


def test_scores_that_are_all_zero_are_an_empty_picture():
    ax = plot_letters(np.zeros((4, 3)))
    assert drawn(ax)[0] == {}
    ax.figure.canvas.draw()


@pytest.mark.parametrize("shape", [(3, 5), (5, 4), (4, 0), (1, 4, 5)])
def test_scores_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"scores must be \(4, T\), letters in the order A, C, G, T, got \("):
        plot_letters(np.zeros(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite(bad):
    with pytest.raises(ValueError, match="scores hold NaN or infinite values"):
        plot_letters(np.full((4, 3), bad))


@pytest.mark.parametrize("start, stop", [(-1, 2), (2, 2), (3, 6)])
def test_boxes_beyond_the_sequence(start, stop):
    with pytest.raises(ValueError, match=f"0 <= start < stop <= 5, got {start} and {stop}"):
        plot_letters(np.ones((4, 5)), highlight=[(start, stop, "red")])
