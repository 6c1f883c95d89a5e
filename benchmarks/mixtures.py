"""EM for a mixture of Gaussians, against scikit-learn from the same start; the parameters are compared first."""

from __future__ import annotations

import warnings

import numpy as np

from minidl.mixture import GaussianMixture, Parameters

from . import peers
from .timing import Case

BAR = 1.0


def cases(smoke: bool) -> list[Case]:
    n, d, k, iterations = (200, 2, 2, 2) if smoke else (100_000, 10, 8, 10)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(k, d))[rng.integers(0, k, n)] * 2 + rng.normal(size=(n, d))
    start = Parameters(np.full(k, 1 / k), x[:k].copy(), np.tile(np.cov(x.T), (k, 1, 1)))

    def ours():
        return GaussianMixture(k, start=start, tolerance=0, floor=0, max_iter=iterations).fit(x).means

    name = f"EM, {n:,} x {d}, {k} Gaussians, {iterations} iterations"
    sklearn = peers.find("sklearn.mixture")
    if sklearn is None:
        return [Case(name, BAR, ours, {})]
    limits = peers.find("threadpoolctl").threadpool_limits
    twin = sklearn.GaussianMixture(
        k, tol=0, reg_covar=0, max_iter=iterations, weights_init=start.weights, means_init=start.means,
        precisions_init=np.linalg.inv(start.covariances),
    )  # fmt: skip

    def theirs(threads):
        def run():
            with limits(threads), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it has not converged
                return twin.fit(x).means_

        return run

    note = peers.same(ours(), theirs(1)(), name, 1e-9)
    return [Case(name, BAR, ours, {f"sklearn, {t} thread{'s' * (t > 1)}": theirs(t) for t in (1, 2)}, note)]
