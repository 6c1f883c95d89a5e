"""The simulated DNA of section 4.2: what is where, in which numbers, with which letters; and the network for it."""

import hashlib
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from minidl.data import embedded
from minidl.data.genomics import (
    KINDS,
    LETTERS,
    MOTIFS,
    TASKS,
    Site,
    letters,
    one_hot,
    place,
    simulate,
    smoothed,
)
from minidl.nn.models import deeplift_genomics

IUPAC = {"V": "ACG", "B": "CGT", "S": "CG", "W": "AT", "M": "AC", "K": "GT", "Y": "CT", "N": "ACGT"}
ALARM = 1e-6  # the chance that a right simulator fails a test of statistics on a seed that was never looked at


@pytest.fixture(scope="module")
def data():
    return simulate(rng=0)


def assert_drawn(counts, probabilities):
    """Counts, each against its own binomial distribution, exactly; of many, the least likely one decides."""
    n = counts.sum(-1, keepdims=True)
    tails = np.minimum(binom.cdf(counts, n, probabilities), binom.sf(counts - 1, n, probabilities))
    assert tails.min() > ALARM / 2 / counts.size


def assert_drawn_evenly(seen, possible):
    """Every possible outcome, and no other, came up as often as every other: Pearson's chi-square."""
    counts, expected = Counter(seen), len(seen) / len(possible)
    assert counts.keys() <= set(possible)
    assert sum((counts[p] - expected) ** 2 / expected for p in possible) < chi2.isf(ALARM, len(possible) - 1)


# ------------------------------------------------------------------------------------------------------- the simulation


@pytest.mark.source("deeplift:genomics-simulation")
def test_a_quarter_of_each_kind_labelled_by_the_motifs_that_were_put_in(data):
    assert data.x.shape == (8000, 4, 200) and data.x.dtype == np.float32
    assert data.labels.shape == (8000, 3) and data.labels.dtype == np.float32
    assert np.bincount(data.kind).tolist() == [2000] * 4
    assert TASKS == ("both", "GATA1", "TAL1") and KINDS == (*TASKS, "none")
    for kind, label, sites in zip(data.kind, data.labels, data.sites, strict=True):
        gata1, tal1 = (any(s.motif == name for s in sites) for name in ("GATA1", "TAL1"))
        assert label.tolist() == [gata1 and tal1, gata1, tal1]
        assert KINDS[kind] == {(1, 1): "both", (1, 0): "GATA1", (0, 1): "TAL1", (0, 0): "none"}[gata1, tal1]
    assert abs(np.flatnonzero(data.kind == 0).mean() - 3999.5) < 6 * 8000 / np.sqrt(12 * 2000)  # kinds are mixed


@pytest.mark.source("deeplift:genomics-simulation")
def test_numbers_of_instances_are_poisson_between_1_and_3(data):
    for kind, motif, mean in (("both", "GATA1", 1), ("both", "TAL1", 1), ("GATA1", "GATA1", 2), ("TAL1", "TAL1", 2)):
        rows = np.flatnonzero(data.kind == KINDS.index(kind))
        numbers = np.array([sum(s.motif == motif for s in data.sites[r]) for r in rows])
        pmf = np.array([mean, mean**2 / 2, mean**3 / 6])
        assert 1 <= numbers.min() and numbers.max() <= 3
        assert_drawn(np.bincount(numbers, minlength=4)[1:], pmf / pmf.sum())


@pytest.mark.source("deeplift:genomics-simulation")
@pytest.mark.parametrize("motif", MOTIFS)
def test_letters_at_the_instances_follow_the_motif(data, motif):
    width = len(MOTIFS[motif])
    there = [data.x[r, :, s.start : s.stop] for r, sites in enumerate(data.sites) for s in sites if s.motif == motif]
    counts = np.sum(there, 0, dtype=int).T
    assert counts.shape == (width, 4)
    assert_drawn(counts, 0.999 * MOTIFS[motif] + 0.001 / 4)
    impossible = MOTIFS[motif] == 0  # but for the pseudocount
    trials = len(there) * impossible.sum()
    assert binom.cdf(counts[impossible].sum(), trials, 0.001 / 4) > ALARM


@pytest.mark.source("deeplift:genomics-simulation")
def test_letters_elsewhere_follow_the_background(data):
    outside = np.ones((8000, 200), bool)
    for row, sites in zip(outside, data.sites, strict=True):
        for s in sites:
            row[s.start : s.stop] = False
    assert_drawn((data.x * outside[:, None]).sum((0, 2), dtype=float), np.array([0.3, 0.2, 0.2, 0.3]))


@given(seed=st.integers(0, 10_000), length=st.sampled_from([78, 79, 100, 200]))
def test_instances_lie_side_by_side_within_the_sequence(seed, length):
    for sites in simulate(24, length, seed).sites:
        ends = [0, *(end for s in sites for end in (s.start, s.stop)), length]
        assert ends == sorted(ends)
        assert all(s.stop - s.start == len(MOTIFS[s.motif]) for s in sites)


@pytest.mark.source("deeplift:genomics-simulation")
@pytest.mark.parametrize("motifs, length", [(["GATA1", "TAL1"], 30), (["GATA1", "GATA1", "TAL1"], 38)])
def test_every_placement_is_as_likely_as_every_other(motifs, length):
    widths = [len(MOTIFS[name]) for name in motifs]
    possible = set()
    for starts in product(*(range(length - w + 1) for w in widths)):
        sites = sorted(zip(starts, motifs, strict=True))
        if all(a + len(MOTIFS[name]) <= b for (a, name), (b, _) in zip(sites, sites[1:], strict=False)):
            possible.add(tuple(sites))
    rng = np.random.default_rng(0)
    assert_drawn_evenly([place(motifs, length, rng) for _ in range(100 * len(possible))], possible)


def test_the_same_rng_gives_the_same_sequences():
    one, two, other = (simulate(40, 100, rng) for rng in (5, np.random.default_rng(5), 6))
    assert one.sites == two.sites != other.sites
    for name in ("x", "labels", "kind"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.x != other.x).any()


def test_what_simulate_refuses():
    for n in (0, 10, -4):
        with pytest.raises(ValueError, match=f"n must be a positive multiple of 4, a quarter for each kind, got {n}"):
            simulate(n)
    with pytest.raises(ValueError, match="length must be at least 78, for 3 instances of each motif .*, got 77"):
        simulate(4, 77)
    with pytest.raises(TypeError, match="simulate: rng must be a numpy.random.Generator or an int"):
        simulate(4, rng=None)


# ----------------------------------------------------------------------------------------------------------- the motifs


def test_the_motifs_are_the_original_ones():
    note = (embedded.FILE.parent / "README.md").read_text(encoding="utf-8")
    assert "GATA_disc1" in note and "TAL1_known1" in note
    for name, consensus in (("GATA1", "VSWGATAAGV"), ("TAL1", "VBBAMCAGATGKYNNN")):
        assert hashlib.sha256(MOTIFS[name].astype("<f8").tobytes()).hexdigest() in note
        best = [LETTERS[k] for k in MOTIFS[name].argmax(1)]
        assert all(letter in IUPAC.get(code, code) for letter, code in zip(best, consensus, strict=True))
        np.testing.assert_allclose(MOTIFS[name].sum(1), 1, atol=1.5e-6)  # six printed digits


def test_a_smoothed_motif_leaves_no_letter_impossible():
    p = smoothed([[1, 0, 0, 0], [0.1, 0.2, 0.3, 0.4]], pseudocount=0.1)
    np.testing.assert_allclose(p, [[0.925, 0.025, 0.025, 0.025], [0.115, 0.205, 0.295, 0.385]], rtol=1e-14)
    np.testing.assert_allclose(smoothed([[0.333, 0.333, 0.333, 0.0]]).sum(1), 1, rtol=1e-14)


@pytest.mark.parametrize(
    "motif, pseudocount, sentence",
    [
        ([0.3, 0.2, 0.2, 0.3], 0.001, r"motif: expected \(w, 4\), a probability for each .*, got \(4,\)"),
        (np.zeros((0, 4)), 0.001, r"motif: expected \(w, 4\), .*, got \(0, 4\)"),
        ([[0.3, 0.2, 0.2, 0.4]], 0.001, r"each row must hold probabilities that sum to 1, got \[0.3, 0.2, 0.2, 0.4\]"),
        ([[1.5, -0.5, 0, 0]], 0.001, "each row must hold probabilities that sum to 1"),
        ([[np.nan, 1, 0, 0]], 0.001, "each row must hold probabilities that sum to 1"),
        ([[1, 0, 0, 0]], 0, r"pseudocount must lie in \(0, 1\), got 0"),
    ],
)
def test_what_smoothed_refuses(motif, pseudocount, sentence):
    with pytest.raises(ValueError, match=sentence):
        smoothed(motif, pseudocount)


# ---------------------------------------------------------------------------------------------------------- the letters


def test_letters_are_in_the_order_a_c_g_t():
    np.testing.assert_array_equal(one_hot(["ACGT"])[0], np.eye(4))
    assert one_hot(["A"]).dtype == np.float32 and one_hot(["A"], np.float64).dtype == np.float64


@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.text(LETTERS, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_letters_of_one_hot_are_the_sequences(sequences):
    assert letters(one_hot(sequences)) == sequences


@pytest.mark.parametrize(
    "sequences, error, sentence",
    [
        (["ACGT", "ACNT"], ValueError, "sequence 1 holds 'N' at position 2, expected one of A, C, G, T in capitals"),
        (["acgt"], ValueError, "sequence 0 holds 'a' at position 0"),
        (["AC", "ACG"], ValueError, r"must have one length of at least 1, got lengths \[2, 3\]"),
        ([""], ValueError, r"got lengths \[0\]"),
        ([], ValueError, r"got lengths \[\]"),
        ("ACGT", TypeError, r"must be a list of strings, got a str; a single sequence needs \[sequence\]"),
    ],
)
def test_what_one_hot_refuses(sequences, error, sentence):
    with pytest.raises(error, match=f"one_hot: .*{sentence}"):
        one_hot(sequences)


@pytest.mark.parametrize(
    "x, sentence",
    [
        (np.eye(4), r"letters: x must have shape \(N, 4, T\), letters in the order A, C, G, T, got \(4, 4\)"),
        (np.zeros((1, 5, 3)), r"x must have shape \(N, 4, T\), .*, got \(1, 5, 3\)"),
        (np.zeros((1, 4, 3)), "letters: x must be one-hot, a single 1 and else zeros at every position"),
        (np.ones((1, 4, 3)), "x must be one-hot"),
        (np.full((1, 4, 3), 0.25), "x must be one-hot"),
    ],
)
def test_what_letters_refuses(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        letters(x)


# ---------------------------------------------------------------------------------------------------------- the network


@pytest.mark.source("deeplift:genomics-model")
def test_the_network_of_section_4_2_has_the_texts_layers():
    model = deeplift_genomics(0)
    assert {path: p.shape for path, p in model.parameters().items()} == {
        "conv1.W": (50, 4, 11),
        "conv1.b": (50,),
        "conv2.W": (50, 50, 11),
        "conv2.b": (50,),
        "dense1.W": (50, 50),
        "dense1.b": (50,),
        "dense2.W": (50, 3),
        "dense2.b": (3,),
    }
    assert sum(p.size for p in model.parameters().values()) == 32_503
    x = simulate(4).x
    shapes = []
    for layer in model:
        x = layer(x)
        shapes.append(x.shape[1:])
    assert shapes == [(50, 190)] * 2 + [(50, 180)] * 2 + [(50,)] * 4 + [(3,)]
    assert [type(layer).__name__ for layer in model if not layer.parameters()] == [
        "ReLU", "ReLU", "GlobalAvgPool", "ReLU", "Dropout",
    ]  # fmt: skip
    assert model.dropout.p == 0.5 and model(np.zeros((1, 4, 21), np.float32)).shape == (1, 3)


def test_its_first_weights_follow_its_rng():
    one, two, other = (deeplift_genomics(rng).state_dict() for rng in (1, 1, 2))
    assert all(np.array_equal(one[path], two[path]) for path in one)
    assert not np.array_equal(one["conv1.W"], other["conv1.W"])


def test_sites_say_where_they_stop():
    assert (Site(5, "GATA1").stop, Site(5, "TAL1").stop) == (15, 21)
