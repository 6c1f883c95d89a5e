"""Motif matches and the importance they get, against loops over every sequence, window and letter."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from support.tolerance import assert_close

from minidl import backend
from minidl.data.genomics import BACKGROUND, KINDS, LETTERS, MOTIFS, TASKS, Site, letters, one_hot, simulate
from minidl.explain.explanation import Explanation
from minidl.explain.motifs import (
    Criteria,
    best_matches,
    covered,
    criteria,
    false_negatives,
    importance,
    log_odds,
)

seeds = given(seed=st.integers(0, 10_000))


def sequences_of(rng, n=3, length=20):
    return ["".join(row) for row in rng.choice(list(LETTERS), (n, length))]


@pytest.mark.source("deeplift:motif-criteria", "deeplift:fig5")
@given(
    seed=st.integers(0, 10_000), width=st.integers(1, 20), pseudocount=st.floats(0.001, 0.5),
    dtype=st.sampled_from(["float32", "float64"]),
)  # fmt: skip
def test_log_odds_are_sums_of_logarithms_over_each_window(seed, width, pseudocount, dtype):
    rng = np.random.default_rng(seed)
    sequences, motif, background = sequences_of(rng), rng.dirichlet([0.3] * 4, width), rng.dirichlet([5] * 4)
    slow = np.zeros((3, 20 - width + 1))
    for row, s in enumerate(sequences):
        for start in range(20 - width + 1):
            for k in range(width):
                letter = LETTERS.index(s[start + k])
                p = (1 - pseudocount) * motif[k, letter] + pseudocount / 4
                slow[row, start] += log(p) - log(background[letter])
    odds = log_odds(one_hot(sequences, dtype), motif, background, pseudocount)
    assert odds.dtype == dtype
    assert_close(odds, slow.astype(dtype), scale=width * abs(np.log([pseudocount / 4, background.min()])).max())


@pytest.mark.source("deeplift:fig5")
def test_by_default_against_the_texts_background_with_the_simulations_pseudocount():
    best = one_hot(["".join(LETTERS[k] for k in MOTIFS["TAL1"].argmax(1))], np.float64)
    p = 0.999 * MOTIFS["TAL1"].max(1) + 0.001 / 4
    q = np.array([0.3, 0.2, 0.2, 0.3])[MOTIFS["TAL1"].argmax(1)]
    np.testing.assert_allclose(log_odds(best, MOTIFS["TAL1"]), [[np.log(p / q).sum()]], rtol=1e-12)
    assert log_odds(best, MOTIFS["TAL1"]).item() > 7  # what the text calls a strong match


def test_instances_that_were_put_in_score_as_their_letters_say():
    data = simulate(40, 100, 0)
    for name, motif in MOTIFS.items():
        odds = log_odds(data.x, motif)
        for row, sites in enumerate(data.sites):
            for site in sites:
                if site.motif == name:
                    alone = log_odds(data.x[row : row + 1, :, site.start : site.stop], motif)
                    assert_close(odds[row, site.start], alone[0, 0], scale=16 * abs(log(0.001 / 4)))


def test_log_odds_stay_on_the_array_module_of_x(xp):
    x = one_hot(["ACGGTCAACGTTAGC"])
    there = log_odds(xp.asarray(x), MOTIFS["GATA1"])
    assert backend.xp(there) is xp
    assert_close(backend.to_numpy(there), log_odds(x, MOTIFS["GATA1"]))


@pytest.mark.source("deeplift:motif-criteria", "deeplift:fig5")
@given(seed=st.integers(0, 10_000), k=st.integers(1, 8))
def test_the_best_matches_come_first_and_of_equals_the_first_in_the_sequence(seed, k):
    odds = np.random.default_rng(seed).integers(-3, 3, (4, 8)) / 2  # many ties
    positions, values = best_matches(odds, k)
    for row in range(4):
        slow = sorted(range(8), key=lambda t: (-odds[row, t], t))[:k]
        assert positions[row].tolist() == slow
        assert values[row].tolist() == [odds[row, t] for t in slow]


@pytest.mark.source("deeplift:fig5")
def test_five_matches_that_may_overlap():
    x = one_hot(["A" * 12])
    positions, values = best_matches(log_odds(x, np.tile([0.97, 0.01, 0.01, 0.01], (4, 1))))
    assert positions.tolist() == [[0, 1, 2, 3, 4]] and len(set(values[0])) == 1


@pytest.mark.source("deeplift:motif-criteria", "deeplift:fig5")
@seeds
def test_importance_is_the_sum_over_letters_and_positions_of_the_match(seed):
    rng = np.random.default_rng(seed)
    scores, width = rng.normal(size=(3, 4, 12)), int(rng.integers(1, 13))
    positions = rng.integers(0, 13 - width, (3, 5))
    slow = [
        [sum(scores[n, c, t + j] for c in range(4) for j in range(width)) for t in positions[n]] for n in range(3)
    ]  # fmt: skip
    total = importance(scores, positions, width)
    assert_close(total, np.array(slow), scale=abs(scores).sum((1, 2)).max())
    assert importance(scores.astype(np.float32), positions, width).dtype == np.float32


@pytest.mark.source("deeplift:motif-criteria", "deeplift:fig5")
@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([6.0, 7.0]))
def test_false_negatives_are_strong_matches_with_nothing_or_less(seed, threshold):
    rng = np.random.default_rng(seed)
    total = rng.integers(-2, 3, (6, 5)).astype(float)
    odds = rng.integers(5, 10, (6, 5)).astype(float)  # some of them are the threshold itself: not strong
    strong = [t for t, o in zip(total.flat, odds.flat, strict=True) if o > threshold]
    share = false_negatives(total, odds, threshold)
    assert share == sum(t <= 0 for t in strong) / len(strong)
    assert threshold == 6.0 or share == false_negatives(total, odds)


@pytest.mark.source("deeplift:motif-criteria")
def test_perfect_scores_miss_no_strong_match_and_their_negatives_miss_all():
    data = simulate(40, 100, 0)
    odds = log_odds(data.x, MOTIFS["TAL1"])
    positions, values = best_matches(odds)
    assert (values > 7).any() and (values <= 7).any()
    for sign, missed in ((1, 0.0), (-1, 1.0)):
        assert false_negatives(importance(sign * data.x, positions, 16), values) == missed


@pytest.mark.source("deeplift:genomics-simulation")
def test_covered_are_the_letters_of_the_instances_and_no_other():
    data = simulate(40, 100, 0)
    inside = covered(data.sites, 100)
    for row, sites in zip(inside, data.sites, strict=True):
        assert set(np.flatnonzero(row)) == {t for s in sites for t in range(s.start, s.start + len(MOTIFS[s.motif]))}
    assert covered([], 7).shape == (0, 7)


@pytest.mark.source("deeplift:motif-criteria")
@given(seed=st.integers(0, 10_000), motif=st.sampled_from(["GATA1", "TAL1"]), threshold=st.sampled_from([6.0, 7.0]))
def test_the_five_properties_are_means_over_strong_matches(seed, motif, threshold):
    rng = np.random.default_rng(seed)
    total = rng.normal(size=(3, 12, 4))
    odds = rng.integers(5, 10, (12, 4)).astype(float)  # ties, and some are the threshold itself: not strong
    odds[:2, :2] = [[8, 9], [9, 8]]
    kind = np.array([0, 1, 2, 3] * 3)
    kind[:2] = 0, KINDS.index(motif)
    own, other = (1, 2) if motif == "GATA1" else (2, 1)
    strong = [(n, j) for n in range(12) for j in range(4) if odds[n, j] > threshold]

    def mean(task, of_kind=None):
        return np.mean([total[task, n, j] for n, j in strong if of_kind in (None, KINDS[kind[n]])])

    expected = Criteria(
        mean(own), mean(other),
        spearmanr([total[own, n, j] for n, j in strong], [odds[n, j] for n, j in strong]).statistic,
        mean(0, "both"), mean(0, "both") - mean(0, motif),
    )  # fmt: skip
    found = criteria(total, odds, kind, motif, threshold)
    assert vars(found) == pytest.approx(vars(expected), rel=1e-12, abs=1e-12)
    assert threshold == 6.0 or found == criteria(total, odds, kind, motif)


@pytest.mark.source("deeplift:motif-criteria")
@pytest.mark.parametrize("motif", MOTIFS)
def test_scores_that_know_the_simulation_have_all_five_properties(motif):
    data = simulate(80, 100, 0)
    odds = log_odds(data.x, MOTIFS[motif])
    positions, values = best_matches(odds)
    label = data.labels[:, 0, None]  # 1 where both are
    of_task = {"both": values * (0.1 + label), "GATA1": 0 * values, "TAL1": 0 * values} | {motif: values}
    total = np.stack([of_task[task] for task in TASKS])
    found = criteria(total, values, data.kind, motif)
    assert found.own_task > 7 and found.other_task == 0 and found.rank_correlation == pytest.approx(1)
    assert found.both_task > 7 and found.cooperativity > 5
    blind = criteria(total[[0, 2, 1]], values, data.kind, motif)  # the two tasks exchanged: (1) to (3) are lost
    assert (blind.own_task, blind.rank_correlation) == (0, 0) and blind.other_task == found.own_task


# ------------------------------------------------------------------------------------------------------ what is refused

X = one_hot(["ACGTAC", "CCGTAC"])
P = np.full((3, 4), 0.25)
T = np.full((3, 2, 5), 8.0)


@pytest.mark.parametrize(
    "make, error, sentence",
    [
        (lambda: log_odds(X[0], P), ValueError, r"x must have shape \(N, 4, T\), letters .*, got \(4, 6\)"),
        (lambda: log_odds(X * 0.5, P), ValueError, "log_odds: x must be one-hot, a single 1 and else zeros"),
        (lambda: log_odds(X.astype(int), P), TypeError, "log_odds: x must be floating point, got int64"),
        (lambda: log_odds(X, P * 2), ValueError, "motif: each row must hold probabilities that sum to 1"),
        (lambda: log_odds(X, P, pseudocount=0), ValueError, r"pseudocount must lie in \(0, 1\), got 0"),
        (lambda: log_odds(X, P, (0.5, 0.5)), ValueError, r"background must be 4 numbers > 0 .*, got \[0.5, 0.5\]"),
        (lambda: log_odds(X, P, (0.5, 0.5, 0, 0)), ValueError, "background must be 4 numbers > 0 that sum to 1"),
        (lambda: log_odds(X, P, (0.3, 0.3, 0.3, 0.3)), ValueError, "background must be 4 numbers > 0 that sum to 1"),
        (lambda: log_odds(X, MOTIFS["GATA1"]), ValueError, "x has 6 positions, fewer than the motif's 10"),
        (
            lambda: best_matches(np.zeros((2, 3)), 4),
            ValueError,
            r"k must lie between 1 and .*, got 4 for shape \(2, 3\)",
        ),
        (
            lambda: best_matches(np.zeros((2, 3)), 0),
            ValueError,
            r"k must lie between 1 and .*, got 0 for shape \(2, 3\)",
        ),
        (lambda: best_matches(np.zeros(9)), ValueError, r"log_odds \(N, windows\), got 5 for shape \(9,\)"),
        (lambda: importance(X, [0, 1], 2), ValueError, r"\(N, 4, T\) and positions \(N, k\), got .* and \(2,\)"),
        (lambda: importance(X, [[0]], 2), ValueError, r"positions \(N, k\), got \(2, 4, 6\) and \(1, 1\)"),
        (lambda: importance(X[0], [[0]] * 4, 2), ValueError, r"scores must be \(N, 4, T\) .*, got \(4, 6\)"),
        (
            lambda: importance(X, [[0], [5]], 2),
            ValueError,
            r"positions must lie in 0..4, so that 2 letters fit, got 0..5",
        ),
        (lambda: importance(X, [[0], [-1]], 2), ValueError, "positions must lie in 0..4, .*, got -1..0"),
        (lambda: false_negatives([1.0], [8.0, 9.0]), ValueError, r"must have one shape, got \(1,\) and \(2,\)"),
        (lambda: false_negatives([1.0], [7.0]), ValueError, "no match has log-odds above the threshold, 7.0"),
        (lambda: importance(X * np.nan, [[0], [0]], 2), ValueError, "importance: scores hold NaN or infinite values"),
        (lambda: best_matches(np.full((2, 3), np.nan), 1), ValueError, "best_matches: log_odds hold NaN or infinite"),
        (lambda: false_negatives([np.nan], [8.0]), ValueError, "false_negatives: importance holds NaN or infinite"),
        (lambda: false_negatives([1.0], [np.inf]), ValueError, "false_negatives: log_odds hold NaN or infinite values"),
        (lambda: criteria(T * np.nan, T[0], [0, 2], "TAL1"), ValueError, "criteria: importance holds NaN or infinite"),
        (lambda: criteria(T, T[0] * np.nan, [0, 2], "TAL1"), ValueError, "criteria: log_odds hold NaN or infinite"),
        (lambda: covered([[Site(95, "GATA1")]], 100), ValueError, r"covered: sites must lie in 0..100, got 95..105"),
        (lambda: criteria(T, T[0], [0, 2], "GATA"), ValueError, "motif must be one of GATA1, TAL1, got 'GATA'"),
        (
            lambda: criteria(T[0], T[0], [0, 2], "TAL1"),
            ValueError,
            r"importance must be \(3, N, k\), log_odds \(N, k\) and kind \(N,\), got \(2, 5\), \(2, 5\) and \(2,\)",
        ),
        (lambda: criteria(T, T[0], [0], "TAL1"), ValueError, r"got \(3, 2, 5\), \(2, 5\) and \(1,\)"),
        (lambda: criteria(T, T[0], [0, 1], "TAL1"), ValueError, "sequences of kind TAL1 has log-odds above 7"),
        (lambda: criteria(T, T[0], [2, 2], "TAL1"), ValueError, "no match in sequences of kind both has log"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


def test_the_importance_of_an_explanation_is_that_of_its_scores():
    explanation = Explanation(np.random.default_rng(0).normal(size=X.shape), np.zeros(2), "scores")
    found = importance(explanation, [[0], [3]], 3)
    np.testing.assert_array_equal(found, importance(explanation.scores, [[0], [3]], 3))


def test_the_background_is_the_texts():
    assert BACKGROUND == (0.3, 0.2, 0.2, 0.3) and letters(X) == ["ACGTAC", "CCGTAC"]
