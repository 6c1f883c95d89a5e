"""Drawn mixtures of Gaussians with data and responsibilities, and the notes' sums written out row by row."""

from math import log

import numpy as np
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from minidl.mixture import GaussianMixture

TYPES = ("full", "tied", "diagonal", "spherical")


def matrix(rng, d):
    """A covariance with variances between 1/4 and 4 along random directions: rounding stays rounding."""
    directions = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return (directions * np.exp(rng.uniform(-1.4, 1.4, d))) @ directions.T


def mixture(covariance_type, rng, k, d):
    """A mixture of K Gaussians over d numbers, of that type."""
    covariances = {
        "full": lambda: np.stack([matrix(rng, d) for _ in range(k)]),
        "tied": lambda: matrix(rng, d),
        "diagonal": lambda: np.exp(rng.uniform(-1.4, 1.4, (k, d))),
        "spherical": lambda: np.exp(rng.uniform(-1.4, 1.4, k)),
    }[covariance_type]()
    return GaussianMixture.known(
        rng.dirichlet(np.ones(k) * 5), rng.normal(size=(k, d)) * 2, covariances, covariance_type
    )


class Case:
    """A mixture, rows x (N, d), and responsibilities q (N, K), some of them 0."""

    def __init__(self, covariance_type, seed, k=3, d=2, n=20):
        self.rng = rng = np.random.default_rng(seed)
        self.mixture = mixture(covariance_type, rng, k, d)
        self.x = rng.normal(size=(n, d)) * 3
        q = rng.dirichlet(np.ones(k), n) * (rng.random((n, k)) > 0.2)
        q[:, 0] += q.sum(1) == 0
        self.q = q / q.sum(1, keepdims=True)

    def joint(self):
        """ln P[X = x_i, Y = y], (N, K), by another library's density."""
        m = self.mixture
        return np.stack(
            [
                log(weight) + multivariate_normal(mean, covariance).logpdf(self.x).reshape(-1)
                for weight, mean, covariance in zip(m.weights, m.means, m.matrices)
            ],
            axis=1,
        )

    @property
    def size(self):
        """The size of the terms that sums over rows and Gaussians are made of; each has some d^2 terms of its own."""
        return (1 + abs(self.joint())).sum() * self.x.shape[1] ** 2


cases = st.builds(
    Case, st.sampled_from(TYPES), st.integers(0, 10_000), k=st.integers(1, 4), d=st.integers(1, 4), n=st.integers(4, 30)
)
