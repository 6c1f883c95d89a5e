"""Proposition 1: a condition under which the pathwise estimator beats the score function, and where it says nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import door
from .estimators import Function, pathwise_values, score_values, slopes
from .quadrature import exact, expectation

__all__ = ["Proposition1", "proposition_1"]


@dataclass(frozen=True)
class Proposition1:
    """What Proposition 1 says about one f, and what is true of it: variances of the mean-derivative estimators.

    score_term, pathwise_term: (E[(x - mu) f' + f])^2 and sigma^4 E[f''^2]. By Cacoullos' inequalities score_term /
    sigma^2 is at most the variance of the score function estimator, and pathwise_term / sigma^2 at least that of the
    pathwise one. score_variance, pathwise_variance: the two variances themselves.
    """

    score_term: float
    pathwise_term: float
    score_variance: float
    pathwise_variance: float

    @property
    def premise(self) -> float:
        """The number that must not be negative: score_term - pathwise_term."""
        return self.score_term - self.pathwise_term

    @property
    def holds(self) -> bool:
        """Whether the premise holds. If not, the proposition is silent: it promises nothing and excludes nothing."""
        return self.premise >= 0

    @property
    def conclusion(self) -> bool:
        """Whether the pathwise estimator's variance is at most that of the score function, promised or not."""
        return self.pathwise_variance <= self.score_variance

    def __str__(self) -> str:
        says = "pathwise <= score function is promised" if self.holds else "silent"
        sign = "<=" if self.conclusion else ">"
        return (
            f"premise {self.score_term:.4g} - {self.pathwise_term:.4g} = {self.premise:.4g}: {says}; "
            f"variances: pathwise {self.pathwise_variance:.4g} {sign} score function {self.score_variance:.4g}"
        )


def proposition_1(f: Function, mu: float, sigma: float) -> Proposition1:
    """The premise of Proposition 1 for f under N(mu, sigma^2), and both variances, by quadrature.

    f: a function made of minidl's operations, of an array (n,) to n numbers, with two derivatives. The pathwise and the
    characteristic function estimator are one and the same for the mean.
    Raises ValueError for sigma not above 0, and if a quadrature does not settle, as for f with a corner.
    Erratum: gal, proposition 1: printed E(f''(x))^2 in the condition, and Var((x - mu) f'(x)) at the end of the proof;
    right: E[f''(x)^2] and Var((x - mu) f(x)).
    Source: gal:prop1
    """
    mu, sigma = door.gaussian(mu, sigma, "proposition_1")

    def slope_of_product(x: np.ndarray) -> np.ndarray:
        """The derivative of (x - mu) f(x)."""
        return (x - mu) * slopes(f, x, "proposition_1")[0] + f(x)

    score_term = expectation(slope_of_product, mu, sigma) ** 2
    pathwise_term = sigma**4 * expectation(lambda x: slopes(f, x, "proposition_1")[1] ** 2, mu, sigma)
    score = exact(score_values, f, mu, sigma).variance[0]
    path = exact(pathwise_values, f, mu, sigma).variance[0]
    return Proposition1(score_term, pathwise_term, float(score), float(path))
