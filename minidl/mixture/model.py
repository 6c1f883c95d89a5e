"""A mixture of Gaussians: fitted by EM, asked for densities and responsibilities, drawn from."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np

from .. import blas
from ..backend import is_array, to_numpy, xp
from ..randomness import generator, stream
from . import door
from .covariances import cholesky, of_type
from .em import Parameters, e_step, log_evidence, m_step
from .start import STARTS


class GaussianMixture:
    """P[X = x] = sum_y c_y N(x; mu_y, Sigma_y): a density made of K Gaussians, and EM to fit it.

    n_components: K. covariance_type: the shape of the covariances, "full" (K, d, d), "tied" (d, d), one for all,
    "diagonal" (K, d) or "spherical" (K,). seed: of the start. start: "k-means"; "random", wide Gaussians around rows of
    the data; or a GaussianMixture or Parameters to go on from. restarts: how many starts are tried; the highest bound
    is kept. tolerance: EM stops when an iteration gains less, in nats a row; 0 for all of max_iter iterations.
    floor: the least variance that a Gaussian may have in any direction, as a share of the mean variance of x's columns
    (where columns have very different units, standardise them first). The M-step then finds the maximum under this
    condition, so the bound still never falls (unless a start given by hand is below the floor). Without a floor the
    likelihood has no maximum: a Gaussian that collapses onto one row makes it infinite.

    After `fit`: weights c_y (K,), means mu_y (K, d), covariances, in x's dtype; bound_history, the bound in nats at the
    start and after each iteration, where it touches the log likelihood of all rows; converged, whether the last gain
    was below the tolerance. They may be set by hand; `known` makes a mixture from them.
    Raises ValueError for a bad argument.
    Source: em:gmm-density
    """

    def __init__(
        self,
        n_components: int,
        covariance_type: str = "full",
        seed: int = 0,
        *,
        start: Any = "k-means",
        restarts: int = 1,
        tolerance: float = 1e-5,
        max_iter: int = 500,
        floor: float = 1e-6,
    ):
        door.positive("GaussianMixture", n_components=n_components, restarts=restarts, max_iter=max_iter)
        door.not_negative("GaussianMixture", tolerance=tolerance, floor=floor)
        if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
            raise ValueError(f"GaussianMixture: seed must be an int of at least 0, got {seed!r}")
        of_type(covariance_type)
        if not (start in STARTS if isinstance(start, str) else hasattr(start, "covariance_type")):
            raise ValueError(f"GaussianMixture: start must be one of {', '.join(STARTS)} or a mixture, got {start!r}")
        self.n_components, self.covariance_type, self.seed = n_components, covariance_type, seed
        self.start, self.restarts, self.tolerance, self.max_iter, self.floor = (
            start, restarts, tolerance, max_iter, floor,
        )  # fmt: skip
        self.weights = self.means = self.covariances = None
        self.bound_history: list[float] = []
        self.converged = False

    @classmethod
    def known(cls, weights: Any, means: Any, covariances: Any, covariance_type: str = "full") -> GaussianMixture:
        """The mixture with these parameters: weights (K,), means (K, d), covariances as the type has them.

        Raises ValueError if they do not fit together, if weights do not sum to 1, or for a singular covariance.
        """
        given = (a if is_array(a) else np.asarray(a, dtype=float) for a in (weights, means, covariances))
        omega = Parameters(*given, covariance_type)
        door.parameters(omega, "GaussianMixture.known")
        mixture = cls(len(omega.weights), covariance_type)
        mixture.weights, mixture.means, mixture.covariances = omega[:3]
        return mixture

    def __repr__(self) -> str:
        return f"GaussianMixture({self.n_components}, {self.covariance_type!r}, seed={self.seed})"

    @property
    def parameters(self) -> Parameters:
        """omega. Raises RuntimeError if the mixture has none yet."""
        if self.weights is None:
            raise RuntimeError(
                f"{self!r} has no parameters yet: call fit(x), or make it by GaussianMixture.known(weights, means, ...)"
            )
        return Parameters(self.weights, self.means, self.covariances, self.covariance_type)

    @property
    def matrices(self) -> Any:
        """The covariances as a matrix for each Gaussian, (K, d, d), whatever their type."""
        omega = self.parameters
        return of_type(self.covariance_type).matrices(omega.covariances, omega.means)

    def fit(self, x: Any, progress: bool = False) -> GaussianMixture:
        """Climb from the start to a maximum of the likelihood of the rows of x, by E-step and M-step in turn.

        x: floats (N, d), N >= K. progress: show a bar. Returns the mixture itself. An iteration costs of the order of
        N K d^2 multiplications and N K numbers of memory. Runs with one BLAS thread and two of minidl's own.
        Warns if a Gaussian collapsed: if some variance ended at the floor.
        Raises TypeError and ValueError for a bad x, ValueError for rows that are all equal, for a Gaussian that is left
        without rows, and, with floor=0, for one whose covariance becomes singular.
        Source: em:m-step, em:e-step
        """
        x = door.rows(x, "fit")
        door.refuse_few(x, self.n_components, "fit")
        least = self.floor * door.spread(x, "fit")
        with blas.one_thread(), _Bar(progress, self.restarts * self.max_iter) as bar:
            runs = (self._climb(x, stream(self.seed, r), least, bar) for r in range(self.restarts))
            omega, self.bound_history, self.converged = max(runs, key=lambda run: run[1][-1])
        self.weights, self.means, self.covariances = omega[:3]
        self._warn_of_collapse(least)
        return self

    def _climb(self, x: Any, rng: np.random.Generator, least: float, bar: _Bar) -> tuple[Parameters, list[float], bool]:
        omega = self._begin(x, rng, least)
        q, evidence = e_step(x, omega)
        history = [float(evidence.sum())]
        for _ in range(self.max_iter):
            omega = m_step(x, q, self.covariance_type, least)
            q, evidence = e_step(x, omega)
            history.append(float(evidence.sum()))
            bar.advance(history[-1] / len(x))
            if abs(history[-1] - history[-2]) < self.tolerance * len(x):
                return omega, history, True
        return omega, history, False

    def _begin(self, x: Any, rng: np.random.Generator, least: float) -> Parameters:
        if isinstance(self.start, str):
            return STARTS[self.start](x, self.n_components, self.covariance_type, least, rng)
        _, omega = door.rows_for(x, self.start, "fit")
        if len(omega.weights) != self.n_components or omega.covariance_type != self.covariance_type:
            raise ValueError(
                f"fit: start must have {self.n_components} Gaussians of type {self.covariance_type!r}, got "
                f"{len(omega.weights)} of type {omega.covariance_type!r}"
            )
        return omega

    def _warn_of_collapse(self, least: float) -> None:
        variances = to_numpy(of_type(self.covariance_type).directions(self.covariances))
        slack = 8 * np.finfo(variances.dtype).eps * variances.max(-1)
        collapsed = np.flatnonzero(variances.min(-1) <= least + slack)
        if collapsed.size:
            warnings.warn(
                f"fit: Gaussians {collapsed.tolist()} collapsed: in some direction their variance is at the floor of "
                f"{least:.3g}. Use fewer Gaussians, another seed, more restarts or a larger floor; or does x have "
                "a constant column?",
                RuntimeWarning,
                stacklevel=3,
            )

    def predict_proba(self, x: Any) -> Any:
        """The responsibilities q_{i,y} = P[Y = y | X = x_i]: x (N, d) to (N, K), rows that sum to 1.

        Raises TypeError and ValueError for a bad x, RuntimeError without parameters.
        Source: em:responsibilities
        """
        return e_step(x, self)[0]

    def score_samples(self, x: Any) -> Any:
        """The log density ln P[X = x_i] of each row: x (N, d) to (N,), in nats.

        Raises TypeError and ValueError for a bad x, RuntimeError without parameters.
        Source: em:gmm-density, em:log-likelihood
        """
        return log_evidence(x, self)

    def sample(self, n: int, rng: Any, labels: bool = False) -> Any:
        """Draw n rows: for each pick a Gaussian y by the weights, then draw from it.

        rng: a Generator or an int. Returns (n, d), or with labels=True that and the Gaussians picked, ints (n,).
        Raises ValueError for an n below 1 or a singular covariance, TypeError for another rng, RuntimeError without
        parameters.
        Source: em:gmm-density
        """
        omega, rng = self.parameters, generator(rng, "sample")
        door.positive("sample", n=n)
        m, weights = xp(omega.means), to_numpy(omega.weights).astype(np.float64)
        y = rng.choice(len(weights), n, p=weights / weights.sum())
        noise = m.asarray(rng.standard_normal((n, omega.means.shape[1])).astype(omega.means.dtype))
        roots, x = cholesky(self.matrices), m.empty_like(noise)
        for k in range(len(weights)):
            rows = m.asarray(np.flatnonzero(y == k))
            x[rows] = omega.means[k] + noise[rows] @ roots[k].T
        return (x, y) if labels else x


class _Bar:
    """A progress bar over iterations, or nothing."""

    def __init__(self, shown: bool, total: int):
        self.bar = None
        if shown:
            from tqdm import tqdm

            self.bar = tqdm(total=total, unit="iteration", desc="EM")

    def advance(self, bound: float) -> None:
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix(bound=f"{bound:.6f} nats a row", refresh=False)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
