"""The area under the ROC curve, against all pairs one by one and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.metrics import auroc

drawn = given(seed=st.integers(0, 10_000), n=st.integers(2, 40))


def rows(seed, n, dtype="float64"):
    """Scores with many ties, and labels that both occur."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-3, 4, n) / 2).astype(dtype), rng.permutation([0, 1, *rng.integers(0, 2, n - 2)])


@drawn
def test_auroc_is_the_share_of_pairs_in_the_right_order(seed, n):
    scores, labels = rows(seed, n)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    assert auroc(scores, labels) == pytest.approx(np.mean(pairs), rel=1e-12)


@drawn
def test_auroc_depends_on_the_order_alone(seed, n):
    scores, labels = rows(seed, n, "float32")
    area = auroc(scores, labels.astype(np.float32))
    assert auroc(1 / (1 + np.exp(-scores)), labels) == area
    assert auroc(-scores, labels) == pytest.approx(1 - area)
    assert auroc(scores, 1 - labels) == pytest.approx(1 - area)
    assert auroc(labels, labels) == 1 and auroc(0 * scores, labels) == 0.5


def test_auroc_takes_infinite_scores():
    assert auroc([-np.inf, 0, np.inf], [0, 0, 1]) == 1


@pytest.mark.peers
@drawn
def test_auroc_is_scikit_learns(seed, n):
    why = "scikit-learn is not installed: pip install 'minidl[peers]'"
    metrics = pytest.importorskip("sklearn.metrics", reason=why)
    scores, labels = rows(seed, n)
    assert auroc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores), rel=1e-12)


@pytest.mark.parametrize(
    "scores, labels, sentence",
    [
        ([[1.0, 2.0]], [[0, 1]], r"scores and labels must both be \(N,\), got \(1, 2\) and \(1, 2\)"),
        ([1.0, 2.0, 3.0], [0, 1], r"must both be \(N,\), got \(3,\) and \(2,\)"),
        ([1.0, 2.0], [0, 2], r"labels must be 0 or 1, got \[0, 2\]"),
        ([1.0, np.nan], [0, 1], "scores hold NaN"),
        ([1.0, 2.0], [1, 1], "both labels must occur, got 2 rows of 1 and 0 of 0"),
        ([1.0, 2.0], [0, 0], "both labels must occur, got 0 rows of 1 and 2 of 0"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(scores, labels, sentence):
    with pytest.raises(ValueError, match=f"auroc: .*{sentence}"):
        auroc(scores, labels)
