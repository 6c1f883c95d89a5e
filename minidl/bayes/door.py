"""What estimators, KL terms and scales refuse: one sentence with the argument, what came, and what was expected."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from typing import Any


def gaussian(mu: Any, sigma: Any, caller: str) -> tuple[float, float]:
    """mu and sigma as floats; ValueError unless both are finite numbers and sigma is above 0."""
    if not isinstance(mu, Real) or not isfinite(mu):
        raise ValueError(f"{caller}: mu must be a finite number, got {mu!r}")
    if not isinstance(sigma, Real) or not 0 < sigma < float("inf"):
        raise ValueError(f"{caller}: sigma, the standard deviation, must be a finite number above 0, got {sigma!r}")
    return float(mu), float(sigma)


def samples(n: Any, caller: str) -> int:
    """n as an int; ValueError unless it is an int of at least 2."""
    if not isinstance(n, Integral) or isinstance(n, bool) or n < 2:
        raise ValueError(f"{caller}: n must be an int of at least 2, for a variance needs two samples; got {n!r}")
    return int(n)


def baseline(value: Any, caller: str) -> float | None:
    """The baseline as a float, or None for "mean"; ValueError for anything else."""
    if isinstance(value, str) and value == "mean":
        return None
    if not isinstance(value, Real) or not isfinite(value):
        raise ValueError(f'{caller}: baseline must be a finite number or "mean", got {value!r}')
    return float(value)


def above_zero(caller: str, **numbers: Any) -> None:
    """ValueError unless every one of the numbers is finite and above 0."""
    for name, value in numbers.items():
        if not isinstance(value, Real) or not 0 < value < float("inf"):
            raise ValueError(f"{caller}: {name} must be a finite number above 0, got {value!r}")


def dropping(caller: str, p: Any, masks: Any) -> None:
    """ValueError unless p is a probability of dropping, in [0, 1), and masks one of the two conventions."""
    if not isinstance(p, Real) or not 0 <= p < 1:
        raise ValueError(f"{caller}: p, the probability of dropping, must lie in [0, 1), got {p!r}")
    if masks not in ("01", "scaled"):
        raise ValueError(f'{caller}: masks must be "01" or "scaled", got {masks!r}')


def one_each(y: Any, x: Any, caller: str, name: str = "f") -> None:
    """ValueError unless the answer y of the function of that name has the shape of its argument x."""
    if y.shape != x.shape:
        raise ValueError(f"{caller}: {name} must return one number a sample, shape {x.shape}, got {y.shape}")
