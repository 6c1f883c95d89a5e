"""One heatmap from the explanations of an image's regions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tolerance import assert_close

from minidl import backend, ops
from minidl.explain import lrp
from minidl.explain.regions import average_regions, split_regions
from minidl.explain.rules import basic

seeds = st.integers(0, 10_000)
sides = st.integers(1, 4)


def averaged_by_loops(scores, corners, shape):
    """The definition: for each pixel the mean over the regions in which it lies."""
    image = np.zeros(shape)
    for c, i, j in np.ndindex(*shape):
        covering = [
            region[c, i - top, j - left]
            for region, (top, left) in zip(scores, corners)
            if 0 <= i - top < region.shape[1] and 0 <= j - left < region.shape[2]
        ]
        image[c, i, j] = np.mean(covering) if covering else 0
    return image


@pytest.mark.source("lrp:sub-regions")
@given(seed=seeds, h=sides, w=sides, count=st.integers(1, 8))
def test_a_pixel_gets_the_mean_of_the_regions_that_cover_it(seed, h, w, count):
    rng = np.random.default_rng(seed)
    scores, shape = rng.normal(size=(count, 2, h, w)), (2, 6, 5)
    corners = np.stack([rng.integers(0, 6 - h + 1, count), rng.integers(0, 5 - w + 1, count)], 1)
    expected = averaged_by_loops(scores, corners, shape)
    assert_close(average_regions(scores, corners, shape), expected, scale=abs(scores).max())


@pytest.mark.source("lrp:sub-regions")
@given(seed=seeds, size=st.tuples(sides, sides), stride=st.tuples(sides, sides))
def test_regions_lie_where_their_corners_say_and_cover_the_image(seed, size, stride):
    image = np.random.default_rng(seed).normal(size=(2, 7, 6))
    regions, corners = split_regions(image, size, stride)
    assert len({tuple(c) for c in corners.tolist()}) == len(regions)
    for region, (i, j) in zip(regions, corners):
        np.testing.assert_array_equal(region, image[:, i : i + size[0], j : j + size[1]])
    covered = average_regions(np.ones_like(regions), corners, image.shape) > 0
    # a stride beyond the size leaves gaps, but never at the border
    assert covered[:, [0, -1]][:, :, [0, -1]].all()
    if stride[0] <= size[0] and stride[1] <= size[1]:
        assert covered.all()
        assert_close(average_regions(regions, corners, image.shape), image)


def test_the_last_regions_are_moved_back_to_the_border():
    _, corners = split_regions(np.zeros((1, 5, 7)), (2, 3))
    assert corners.tolist() == [[i, j] for i in (0, 2, 3) for j in (0, 3, 4)]
    _, corners = split_regions(np.zeros((1, 4, 6)), (2, 3))
    assert corners.tolist() == [[i, j] for i in (0, 2) for j in (0, 3)]


@pytest.mark.source("lrp:sub-regions")
def test_explanations_of_regions_side_by_side_sum_to_all_of_their_outputs():
    rng = np.random.default_rng(0)
    W, image = rng.normal(size=(2 * 3 * 3, 1)), rng.normal(size=(2, 6, 9))
    regions, corners = split_regions(image, 3)
    explained = lrp(lambda h: ops.affine(ops.flatten(h), W), regions, 0, rules=basic())
    whole = average_regions(explained.scores, corners, image.shape)
    assert_close(whole.sum(), explained.output.sum(), scale=abs(explained.scores).sum())
    assert_close(whole[:, 3:6, 6:9], explained.scores[5])


def test_regions_keep_their_type_and_array_module(xp):
    image = np.random.default_rng(0).random((1, 5, 5), np.float32)
    regions, corners = split_regions(xp.asarray(image), 2, 1)
    whole = average_regions(regions, corners, image.shape)
    assert whole.dtype == np.float32 and backend.xp(whole) is backend.xp(regions) is xp
    assert_close(backend.to_numpy(whole), image)


@pytest.mark.parametrize(
    "call, sentence",
    [
        (
            lambda: split_regions(np.zeros((5, 5)), 2),
            r"image must be \(C, H, W\), of at least 2 x 2 pixels, got \(5, 5\)",
        ),
        (lambda: split_regions(np.zeros((1, 5, 2)), 3), r"of at least 3 x 3 pixels, got \(1, 5, 2\)"),
        (lambda: split_regions(np.zeros((1, 5, 5)), 0), "size must be a positive int or two of them, got 0"),
        (
            lambda: split_regions(np.zeros((1, 5, 5)), 2, (1, 2, 3)),
            r"stride must be a positive int or two .*\(1, 2, 3\)",
        ),
        (
            lambda: average_regions(np.zeros((2, 1, 2, 2)), np.zeros((2, 2), int), (3, 5, 5)),
            r"scores must be \(K, C, h, w\) for an image \(C, H, W\) of shape \(3, 5, 5\), got \(2, 1, 2, 2\)",
        ),
        (
            lambda: average_regions(np.zeros((2, 1, 2, 2)), np.zeros((3, 2), int), (1, 5, 5)),
            r"corners must be ints \(2, 2\), one for each region, got int64 \(3, 2\)",
        ),
        (
            lambda: average_regions(np.zeros((2, 1, 2, 2)), np.zeros((2, 2)), (1, 5, 5)),
            r"corners must be ints \(2, 2\), one for each region, got float64 \(2, 2\)",
        ),
        (
            lambda: average_regions(np.zeros((2, 1, 2, 3)), np.array([[0, 0], [4, 1]]), (1, 5, 5)),
            r"region 1, of \(2, 3\) pixels at \(4, 1\), leaves the image of \(5, 5\) pixels",
        ),
        (lambda: average_regions(np.zeros((1, 1, 2, 2)), np.array([[-1, 0]]), (1, 5, 5)), r"at \(-1, 0\), leaves"),
    ],
)
def test_what_does_not_fit_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
