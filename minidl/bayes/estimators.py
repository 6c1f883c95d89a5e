"""The derivative of an expectation from samples: d/dmu and d/dsigma of E f(x) for x ~ N(mu, sigma^2).

Each of the three estimators is a formula that makes, of standard normal numbers, values with the derivative as their
mean: `score_values`, `pathwise_values`, `characteristic_values`. Fed random numbers they estimate it (`estimate`, and
by name `score_function`, `pathwise`, `characteristic_function`). Fed the nodes of a quadrature they give their own
exact mean and variance (`quadrature.exact`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import backend, threads
from ..backend import to_numpy, xp
from ..randomness import generator
from ..tape import Tensor, grad, raw
from . import door

__all__ = [
    "Estimate", "characteristic_function", "characteristic_values", "estimate", "pathwise", "pathwise_values",
    "score_function", "score_values",
]  # fmt: skip

Function = Callable[[Any], Any]
Values = Callable[[Function, float, float, Any], tuple[Any, Any]]

BLOCK = 1 << 16  # samples in one call of f: fewer, and two threads wait for the interpreter more than they compute
STREAM = 1 << 17  # samples from one generator, so that two threads can draw and the numbers do not depend on it


@dataclass(frozen=True)
class Estimate:
    """n estimates of d/dmu and n of d/dsigma of E f(x), and what they say together.

    samples_mu, samples_sigma: (n,), each number an unbiased estimate by itself. mean, variance, standard_error: (2,),
    for mu and for sigma: the mean of the samples, their variance with divisor n - 1, and the standard deviation of the
    mean, the root of variance / n.
    """

    samples_mu: Any
    samples_sigma: Any
    mean: np.ndarray
    variance: np.ndarray
    standard_error: np.ndarray

    @property
    def variance_error(self) -> np.ndarray:
        """The standard error of `variance`, from the fourth central moments of the samples: (2,).

        Var(s^2) = (m4 - s^4 (n - 3) / (n - 1)) / n for independent samples of any distribution that has an m4.
        """
        n = len(self.samples_mu)
        both = zip((self.samples_mu, self.samples_sigma), self.mean.tolist(), strict=True)
        m4 = np.array([float(((samples - mean) ** 4).mean()) for samples, mean in both])
        return np.sqrt(np.maximum(m4 - self.variance**2 * (n - 3) / (n - 1), 0) / n)

    def __str__(self) -> str:
        parts = zip(("mu", "sigma"), self.mean, self.standard_error, self.variance, strict=True)
        return ", ".join(f"d/d{name} = {m:.4g} +- {e:.1g} (variance {v:.4g})" for name, m, e, v in parts)


# --------------------------------------------------------------------------------------------------- the three formulas


def score_values(f: Function, mu: float, sigma: float, eps: Any, baseline: float = 0.0) -> tuple[Any, Any]:
    """(f(x) - baseline) d log p(x) / d(mu, sigma) at x = mu + sigma eps. f is only evaluated, on arrays.

    eps: (n,). Returns the values for mu and those for sigma, (n,) each. A baseline that does not depend on x leaves the
    mean as it is, because the mean of d log p is 0.
    Raises TypeError or ValueError unless f gives one number for each element of x.
    Source: gal:eq3.4
    """
    x = mu + sigma * eps
    y = (_answer(f, x, "score_function") - baseline) / sigma
    return y * eps, y * (eps * eps - 1)


def pathwise_values(f: Function, mu: float, sigma: float, eps: Any) -> tuple[Any, Any]:
    """f'(x) dx/d(mu, sigma) along the path x = g(mu, sigma, eps) = mu + sigma eps: f'(x) and f'(x) eps.

    eps: (n,). Returns the values for mu and those for sigma, (n,) each. f' comes from the tape.
    Raises TypeError or ValueError unless f gives one number for each element of x, by minidl's operations.
    Source: gal:eq3.5, gal:remark-auxiliary
    """
    x, y = _traced(f, mu + sigma * eps, "pathwise")
    slope = grad(y, x, upstream=xp(eps).ones_like(eps))
    return slope, slope * eps


def characteristic_values(f: Function, mu: float, sigma: float, eps: Any) -> tuple[Any, Any]:
    """f'(x) and sigma f''(x) at x = mu + sigma eps. For a Gaussian only.

    eps: (n,). Returns the values for mu and those for sigma, (n,) each. f' and f'' come from the tape; f' must be the
    integral of f'', so f must have no corners: what a corner adds to the integral of f'' no sample can see.
    Raises TypeError or ValueError unless f gives one number for each element of x, by minidl's operations.
    Erratum: gal, section 3.1.2: printed that the second derivative of x + x^2 is zero, and so the variance for sigma;
    right: it is the constant 2, which has the variance zero.
    Source: gal:eq3.6
    """
    slope, bend = slopes(f, mu + sigma * eps, "characteristic_function")
    return slope, sigma * bend


def slopes(f: Function, x: Any, caller: str) -> tuple[Any, Any]:
    """f'(x) and f''(x) for an array x, (n,) each, by two passes over the tape."""
    ones = xp(x).ones_like(x)
    x, y = _traced(f, x, caller)
    slope = grad(y, x, upstream=ones, create_graph=True)
    return slope.data, grad(slope, x, upstream=ones)


# ------------------------------------------------------------------------------------------------------- the estimators


def score_function(f: Function, mu: float, sigma: float, n: int, rng: Any, baseline: float | str = 0.0) -> Estimate:
    """Estimate d/dmu and d/dsigma of E f(x), x ~ N(mu, sigma^2), from values of f alone: f may have jumps.

    f: a function of a float64 array (m,) that returns m numbers, each of one element; it is called on blocks of
    samples, also from a second thread. mu, sigma: numbers. n: the number of samples. rng: a Generator or an int; the
    three estimators draw the same x from it. baseline: what is subtracted from f (a control variate). A number must be
    chosen without looking at the samples. "mean" is for each sample the mean of f over the OTHERS, so the estimate
    stays unbiased; the mean over all would make it (n - 1) / n of what it should be. Samples depend on one another
    through that mean, and the standard error is right up to terms that are 1 / n of it. f is then evaluated twice.
    Raises TypeError or ValueError for a bad argument, for f that does not give one number a sample, or gives NaN.
    Erratum: gal, eq 3.3: printed E[f(x)] and df/dx dx/dtheta, I_2, to the right of the equation; right: the equation
    is I(theta) = d/dtheta of the integral of f(x) p(x), the rest is a handwritten note.
    Source: gal:eq3.3, gal:eq3.4
    """
    draws, number = _Draws(mu, sigma, n, rng, "score_function"), door.baseline(baseline, "score_function")
    if number is None:
        mean = float(_estimate(_plain_values, f, draws).mean[0])
        return _estimate(partial(_leave_one_out, mean=mean, n=draws.n), f, draws)
    return _estimate(partial(score_values, baseline=number), f, draws)


def pathwise(f: Function, mu: float, sigma: float, n: int, rng: Any) -> Estimate:
    """Estimate d/dmu and d/dsigma of E f(x), x ~ N(mu, sigma^2), by moving the samples: f must be continuous.

    f, mu, sigma, n, rng: as for `score_function`; f is made of minidl's operations.
    Raises TypeError or ValueError as `score_function`, and for f that the tape cannot differentiate.
    Source: gal:eq3.3, gal:eq3.5
    """
    return _estimate(pathwise_values, f, _Draws(mu, sigma, n, rng, "pathwise"))


def characteristic_function(f: Function, mu: float, sigma: float, n: int, rng: Any) -> Estimate:
    """Estimate d/dmu and d/dsigma of E f(x), x ~ N(mu, sigma^2), by f' and f'': f must have no corners.

    f, mu, sigma, n, rng: as for `pathwise`, with the same samples_mu. Where f has a corner, as ReLU has, d/dsigma is
    wrong, and no sample shows it.
    Raises TypeError or ValueError as `pathwise`.
    Erratum: gal, eq 3.6: printed a brace under d/dsigma of the integral, 2 sigma 1/2 E f''; right: sigma E f''.
    Source: gal:eq3.3, gal:eq3.6
    """
    return _estimate(characteristic_values, f, _Draws(mu, sigma, n, rng, "characteristic_function"))


def estimate(values: Values, f: Function, mu: float, sigma: float, n: int, rng: Any) -> Estimate:
    """The same for any formula: values(f, mu, sigma, eps) returns the samples for mu and those for sigma, (m,) each.

    Raises TypeError or ValueError for a bad argument and for NaN or infinite values.
    """
    return _estimate(values, f, _Draws(mu, sigma, n, rng, "estimate"))


class _Draws:
    """n standard normal numbers that can be drawn again, in blocks, by two threads: one generator for each STREAM."""

    def __init__(self, mu: Any, sigma: Any, n: Any, rng: Any, caller: str):
        self.mu, self.sigma = door.gaussian(mu, sigma, caller)
        self.n, self.caller = door.samples(n, caller), caller
        self.key = generator(rng, caller).integers(1 << 63, size=2).tolist()

    def __iter__(self):
        return iter(range(0, self.n, STREAM))

    def blocks(self, start: int):
        """Slices of the samples of one stream, and the numbers for each."""
        rng = np.random.Generator(np.random.SFC64([*self.key, start // STREAM]))
        stop = min(start + STREAM, self.n)
        for a in range(start, stop, BLOCK):
            b = min(a + BLOCK, stop)
            yield slice(a, b), rng.standard_normal(b - a)


def _estimate(values: Values, f: Function, draws: _Draws) -> Estimate:
    m, n = backend.current(), draws.n
    samples = m.empty((2, n))
    found: dict[int, tuple[int, Any, Any]] = {}  # by block: its size, sums, and squares around its own mean

    def work(streams):
        for stream in streams:
            for at, eps in draws.blocks(stream):
                part = samples[:, at]
                part[0], part[1] = values(f, draws.mu, draws.sigma, m.asarray(eps))
                total = part.sum(1)
                off = part - (total / len(eps))[:, None]
                found[at.start] = len(eps), total, m.einsum("ij,ij->i", off, off)

    starts = list(draws)
    half = (len(starts) + 1) // 2
    threads.run(work, [starts[:half], starts[half:]] if m is np and half < len(starts) else [starts])
    mean, variance = _pooled(*zip(*(found[start] for start in sorted(found)), strict=True))
    if not np.isfinite(variance).all():
        raise ValueError(f"{draws.caller}: f or a derivative of it is NaN or infinite for some samples")
    return Estimate(samples[0], samples[1], mean, variance, np.sqrt(variance / n))


def _pooled(sizes: tuple, totals: tuple, squares: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (divisor n - 1) of all samples, from those of the blocks."""
    sizes = np.array(sizes, dtype=float)[:, None]
    totals, squares = (np.array([to_numpy(a) for a in part]) for part in (totals, squares))
    n = sizes.sum()
    mean = totals.sum(0) / n
    between = sizes * (totals / sizes - mean) ** 2
    return mean, (squares.sum(0) + between.sum(0)) / (n - 1)


def _plain_values(f: Function, mu: float, sigma: float, eps: Any) -> tuple[Any, Any]:
    y = _answer(f, mu + sigma * eps, "score_function")
    return y, y


def _leave_one_out(f: Function, mu: float, sigma: float, eps: Any, mean: float, n: int) -> tuple[Any, Any]:
    """f less the mean of f over the other samples: f - (n mean - f) / (n - 1) = n / (n - 1) (f - mean)."""
    for_mu, for_sigma = score_values(f, mu, sigma, eps, mean)
    return for_mu * (n / (n - 1)), for_sigma * (n / (n - 1))


def _answer(f: Function, x: Any, caller: str) -> Any:
    """f(x) as an array. Raises TypeError or ValueError unless it is one number for each element of x."""
    y = raw(f(x))
    if not backend.is_array(y):
        raise TypeError(f"{caller}: f must return an array of one number a sample, got {type(y).__name__}")
    door.one_each(y, x, caller)
    return y


def _traced(f: Function, x: Any, caller: str) -> tuple[Tensor, Tensor]:
    """x as a tensor, and f(x) with its tape."""
    x = Tensor(x)
    y = f(x)
    if not isinstance(y, Tensor):
        raise TypeError(
            f"{caller}: f must be made of minidl's operations, so that it can be differentiated, and return a Tensor; "
            f"got {type(y).__name__}"
        )
    door.one_each(y, x, caller)
    if xp(y.data).isnan(y.data).any():  # its slope may be a number even there, as that of ln x
        raise ValueError(f"{caller}: f is NaN for some samples")
    return x, y
