"""scikit-learn's mixtures from the same start: the same parameters and the same likelihood, step by step."""

import numpy as np
import pytest
from support.mixtures import TYPES, Case

from minidl.mixture import GaussianMixture, k_means

mixture = pytest.importorskip("sklearn.mixture", reason="scikit-learn is not installed: pip install 'minidl[peers]'")
cluster = pytest.importorskip("sklearn.cluster")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

THEIRS = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


@pytest.mark.parametrize("iterations", [1, 2, 20])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_same_start_gives_the_same_mixture_after_the_same_iterations(covariance_type, iterations):
    case = Case(covariance_type, 0, d=3)
    start = case.mixture
    x = Case("full", 1, d=3).mixture.sample(2000, 0)
    invert = np.linalg.inv if covariance_type in ("full", "tied") else lambda c: 1 / c
    theirs = mixture.GaussianMixture(
        3, covariance_type=THEIRS[covariance_type], tol=0, reg_covar=0, max_iter=iterations,
        weights_init=start.weights, means_init=start.means, precisions_init=invert(start.covariances),
    ).fit(x)  # fmt: skip
    ours = GaussianMixture(3, covariance_type, start=start, tolerance=0, floor=0, max_iter=iterations).fit(x)
    np.testing.assert_allclose(ours.weights, theirs.weights_, rtol=1e-9)
    np.testing.assert_allclose(ours.means, theirs.means_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.score_samples(x), theirs.score_samples(x), rtol=1e-9)
    np.testing.assert_allclose(ours.bound_history[-2] / len(x), theirs.lower_bound_, rtol=1e-11)  # before its M-step


def test_k_means_from_the_same_centres():
    x = Case("full", 1, d=3).mixture.sample(500, 0)
    centres, labels = k_means(x, 4, 0, max_iter=200)
    theirs = cluster.KMeans(4, init=centres, n_init=1).fit(x)
    np.testing.assert_array_equal(labels, theirs.labels_)
    np.testing.assert_allclose(centres, theirs.cluster_centers_, rtol=1e-9, atol=1e-9)
