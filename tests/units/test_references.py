"""References: constant ones, blurred images, and shuffles that keep letters or pairs of letters and nothing else."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.stats import chi2
from support.accounts import assert_law
from support.tolerance import assert_close

from minidl import backend, nn
from minidl.data.genomics import LETTERS, letters, one_hot
from minidl.explain import deeplift
from minidl.explain.references import blurred, dinucleotide_shuffled, expected_frequencies, shuffled, zeros

ALARM = 1e-6  # the chance that a right shuffle fails a test of statistics on a seed that was never looked at
SHUFFLES = {"letters": shuffled, "pairs": dinucleotide_shuffled}
each_shuffle = pytest.mark.parametrize("shuffle", SHUFFLES.values(), ids=SHUFFLES)


@st.composite
def batches(draw):
    """Sequences of one length, of one letter to four: degenerate ones are the rule."""
    length = draw(st.sampled_from([1, 2, 3, 4, 7, 30]))
    alphabet = st.sampled_from(["A", "CT", "ACG", LETTERS])
    return [draw(st.text(draw(alphabet), min_size=length, max_size=length)) for _ in range(draw(st.integers(1, 3)))]


# ---------------------------------------------------------------------------------------------------------- of all rows


@pytest.mark.source("deeplift:references")
def test_zeros_and_frequencies_are_one_row_that_stands_for_all():
    x = one_hot(["AACT", "GACT"])
    np.testing.assert_array_equal(zeros(x), np.zeros((1, 4, 4)))
    from_data, given_ones = expected_frequencies(x), expected_frequencies(x, (0.3, 0.2, 0.2, 0.3))
    np.testing.assert_array_equal(from_data, np.repeat(np.array([[[3], [2], [1], [2]]]) / 8, 4, axis=2))
    np.testing.assert_array_equal(given_ones[0], np.repeat(np.float32([[0.3], [0.2], [0.2], [0.3]]), 4, axis=1))
    for reference in (zeros(x), from_data, given_ones):
        assert reference.dtype == x.dtype and reference.shape == (1, 4, 4)


def test_letters_may_lie_on_the_last_axis():
    x, p = one_hot(["AACTG", "GACTT"]), [0.1, 0.2, 0.3, 0.4]
    turned = x.swapaxes(1, 2)
    for axis in (2, -1):
        for made, reference in (
            (expected_frequencies(turned, axis=axis), expected_frequencies(x)),
            (expected_frequencies(turned, p, axis), expected_frequencies(x, p)),
            (shuffled(turned, 3, 0, axis), shuffled(x, 3, 0)),
            (dinucleotide_shuffled(turned, 3, 0, axis), dinucleotide_shuffled(x, 3, 0, axis=-2)),
        ):
            np.testing.assert_array_equal(made.swapaxes(-1, -2), reference)


# --------------------------------------------------------------------------------------------------------------- images


@pytest.mark.source("deeplift:references")
@given(
    height=st.integers(1, 9), width=st.integers(1, 9), sigma=st.floats(0.2, 6), seed=st.integers(0, 999),
    dtype=st.sampled_from(["float32", "float64"]),
)  # fmt: skip
def test_blurring_is_scipys_gaussian_filter(height, width, sigma, seed, dtype):
    x = np.random.default_rng(seed).normal(size=(2, 3, height, width)).astype(dtype)
    theirs = x.astype(float)
    for axis in (2, 3):
        theirs = gaussian_filter1d(theirs, sigma, axis, mode="reflect", truncate=4.0)
    ours = blurred(x, sigma)
    assert ours.dtype == dtype
    assert_close(ours, theirs.astype(dtype), scale=abs(x).max())


@given(sigma=st.floats(0.2, 20), value=st.integers(-70, 70).map(lambda k: k / 7), seed=st.integers(0, 999))
def test_blurring_keeps_constants_and_means(sigma, value, seed):
    constant = np.full((1, 2, 5, 4), value)
    assert_close(blurred(constant, sigma), constant)
    x = np.random.default_rng(seed).normal(size=(2, 5, 4))
    assert_close(blurred(x, sigma).mean((1, 2)), x.mean((1, 2)), scale=abs(x).max())


# ------------------------------------------------------------------------------------------------------------- shuffles


@pytest.mark.source("deeplift:references")
@given(sequences=batches(), seed=st.integers(0, 999), n=st.integers(1, 3))
def test_a_shuffle_keeps_the_number_of_each_letter(sequences, seed, n):
    x = one_hot(sequences)
    drawn = shuffled(x, n, seed)
    assert drawn.shape == (n, *x.shape) and drawn.dtype == x.dtype
    for one in drawn:
        assert [Counter(s) for s in letters(one)] == [Counter(s) for s in sequences]


@pytest.mark.source("deeplift:references")
@given(sequences=batches(), seed=st.integers(0, 999), n=st.integers(1, 3))
def test_a_dinucleotide_shuffle_keeps_the_number_of_each_pair_and_both_ends(sequences, seed, n):
    x = one_hot(sequences, np.float64)
    drawn = dinucleotide_shuffled(x, n, seed)
    assert drawn.shape == (n, *x.shape) and drawn.dtype == x.dtype
    for one in drawn:
        for new, old in zip(letters(one), sequences, strict=True):
            assert Counter(pairwise(new)) == Counter(pairwise(old))
            assert (new[0], new[-1]) == (old[0], old[-1])


def assert_drawn_evenly(seen, possible):
    """Every possible outcome, and no other, came up as often as every other: Pearson's chi-square."""
    counts, expected = Counter(seen), len(seen) / len(possible)
    assert counts.keys() <= set(possible)
    assert sum((counts[p] - expected) ** 2 / expected for p in possible) < chi2.isf(ALARM, len(possible) - 1)


def test_every_order_is_as_likely_as_every_other():
    possible = {"".join(p) for p in permutations("AACGT")}
    drawn = shuffled(one_hot(["AACGT"]), 100 * len(possible), 0)
    assert_drawn_evenly(letters(drawn[:, 0]), possible)


@pytest.mark.parametrize("sequence", ["AACAGACA", "ACGACTAGC", "ACCCAACAC", "AGTCAGCTG"])
def test_every_sequence_with_the_same_pairs_is_as_likely_as_every_other(sequence):
    pairs = Counter(pairwise(sequence))
    possible = {"".join(p) for p in permutations(sequence)}
    possible = {p for p in possible if Counter(pairwise(p)) == pairs}
    assert len(possible) > 2
    drawn = dinucleotide_shuffled(one_hot([sequence]), 150 * len(possible), 0)
    assert_drawn_evenly(letters(drawn[:, 0]), possible)


def test_a_sequence_with_rare_ways_out_is_no_trouble():
    # a tree drawn at random and tried again until it fits would take some 10^6 trials here
    sequence = "A" * 100 + "C" * 100 + "G" * 100 + "T"
    assert letters(dinucleotide_shuffled(one_hot([sequence]), 2, 0)[:, 0]) == [sequence] * 2


def test_rows_and_shuffles_are_drawn_independently():
    x = one_hot(["ACGTACGTAC"] * 2)
    drawn = shuffled(x, 2, 0)
    assert len({a.tobytes() for pair in drawn for a in pair}) == 4


@each_shuffle
def test_a_shuffle_follows_its_rng(shuffle):
    x = one_hot(["ACGGTCAACGTTGACA"])
    one, two, other = (shuffle(x, 4, rng) for rng in (5, np.random.default_rng(5), 6))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    with pytest.raises(TypeError, match="rng must be a numpy.random.Generator or an int"):
        shuffle(x, 4, None)


# ------------------------------------------------------------------------------------------------------------------ all


@each_shuffle
def test_contributions_against_shuffles_are_the_mean_over_them(shuffle):
    model = nn.Sequential(nn.Conv1d(4, 3, 3, rng=0, dtype="float64"), nn.ReLU(), nn.GlobalAvgPool())
    x = one_hot(["ACGGTCAACG", "TTGACATGCA"], np.float64)
    references = shuffle(x, 3, 0)
    together = deeplift(model, x, 0, reference=references, axis=0)
    assert_law(together)
    each = [deeplift(model, x, 0, reference=r).scores for r in references]
    assert_close(together.scores, np.mean(each, 0))
    assert_law(deeplift(model, x, 0, reference=expected_frequencies(x)))


def test_references_stay_on_the_array_module_of_x(xp):
    x = one_hot(["ACGGTCAACG", "TTGACATGCA"])
    for make in (
        zeros,
        expected_frequencies,
        lambda x: expected_frequencies(x, (0.3, 0.2, 0.2, 0.3)),
        lambda x: shuffled(x, 2, 0),
        lambda x: dinucleotide_shuffled(x, 2, 0),
        lambda x: blurred(x, 1.5),
    ):
        there = make(xp.asarray(x))
        assert backend.xp(there) is xp
        assert_close(backend.to_numpy(there), make(x))


X = one_hot(["ACGT", "AACC"])


@pytest.mark.parametrize("make", [lambda x, axis: expected_frequencies(x, axis=axis)] + [
    lambda x, axis, shuffle=shuffle: shuffle(x, 2, 0, axis) for shuffle in SHUFFLES.values()
])  # fmt: skip
@pytest.mark.parametrize("x, axis", [(X[0], 1), (X, 0), (X, 3), (X, -3), (X[:, :, :0], 1)])
def test_sequences_of_another_shape(make, x, axis):
    with pytest.raises(ValueError, match=r"x must be sequences with three axes and axis, that of the letters, 1 or 2"):
        make(x, axis)


@pytest.mark.parametrize("make", [zeros, expected_frequencies, lambda x: blurred(x, 1.0), lambda x: shuffled(x, 2, 0)])
def test_integers_are_refused(make):
    with pytest.raises(TypeError, match=r"x must be floating point, got uint8; convert and scale it"):
        make(X.astype(np.uint8))


@each_shuffle
@pytest.mark.parametrize("n", [0, -1, 2.0, None])
def test_a_number_of_shuffles_that_is_none(shuffle, n):
    with pytest.raises(ValueError, match=f"n, the number of shuffles, must be an int of at least 1, got {n}"):
        shuffle(X, n, 0)


@pytest.mark.parametrize(
    "frequencies", [(0.5, 0.5), (0.3, 0.2, 0.2, 0.4), (1.5, -0.5, 0, 0), (np.nan, 1, 0, 0)], ids=str
)
def test_frequencies_that_are_none(frequencies):
    with pytest.raises(ValueError, match=r"frequencies must be 4 numbers >= 0 that sum to 1, got \["):
        expected_frequencies(X, frequencies)


def test_pairs_of_what_is_no_letter():
    with pytest.raises(ValueError, match="dinucleotide_shuffled: x must be one-hot along axis 1"):
        dinucleotide_shuffled(X * 0.5, 2, 0)
    with pytest.raises(ValueError, match="dinucleotide_shuffled: x must be one-hot along axis 2"):
        dinucleotide_shuffled(X, 2, 0, axis=2)


def test_images_and_widths_that_are_none():
    with pytest.raises(ValueError, match=r"blurred: x must be images \(N, ..., H, W\), got shape \(4, 4\)"):
        blurred(X[0], 1.0)
    for sigma in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"blurred: sigma must be a number of pixels above 0, got {sigma}"):
            blurred(X, sigma)
