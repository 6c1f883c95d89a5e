"""First values of weights, by name: glorot (Xavier) keeps variances through linear layers, he through ReLUs.

Numbers are drawn by NumPy in float64 and cast, then moved: every backend and dtype starts from the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from .. import backend
from ..randomness import generator
from ..tape import Tensor

__all__ = ["INITIALISERS", "constant", "weights"]

Draw = Callable[[np.random.Generator, tuple[int, ...], int, int], np.ndarray]


def _uniform(limit: Callable[[int, int], float]) -> Draw:
    return lambda rng, shape, n_in, n_out: rng.uniform(-limit(n_in, n_out), limit(n_in, n_out), shape)


def _normal(std: Callable[[int, int], float]) -> Draw:
    return lambda rng, shape, n_in, n_out: rng.normal(0.0, std(n_in, n_out), shape)


# n_in, n_out: how many inputs feed a unit, and how many units an input feeds
INITIALISERS: dict[str, Draw] = {
    "glorot_uniform": _uniform(lambda n_in, n_out: sqrt(6 / (n_in + n_out))),
    "glorot_normal": _normal(lambda n_in, n_out: sqrt(2 / (n_in + n_out))),
    "he_uniform": _uniform(lambda n_in, n_out: sqrt(6 / n_in)),
    "he_normal": _normal(lambda n_in, n_out: sqrt(2 / n_in)),
}


def weights(
    shape: tuple[int, ...], n_in: int, n_out: int, init: str, rng: Any, dtype: Any, caller: str = "weights"
) -> Tensor:
    """A parameter with first values drawn by the initialiser of that name.

    n_in, n_out: inputs that feed a unit, units that an input feeds (a convolution counts its kernel in both).
    rng: a Generator, which moves on, or an int.
    Raises ValueError for an unknown name, TypeError for a bad rng or dtype.
    """
    if init not in INITIALISERS:
        raise ValueError(f"{caller}: init must be one of {', '.join(INITIALISERS)}, got {init!r}")
    values = INITIALISERS[init](generator(rng, caller), shape, n_in, n_out)
    return Tensor(backend.current().asarray(values.astype(floating(dtype, caller))))


def constant(shape: tuple[int, ...], value: float, dtype: Any, caller: str = "constant") -> Tensor:
    """A parameter that starts with one value everywhere."""
    return Tensor(backend.current().full(shape, value, floating(dtype, caller)))


def floating(dtype: Any, caller: str) -> np.dtype:
    """The dtype, if it is of floating-point numbers."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"{caller}: dtype must be floating point, got {dtype}")
    return dtype
