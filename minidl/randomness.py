"""Randomness is explicit: whoever draws is given a generator, an int to start one, or a seed and a place in the work.

Everything is drawn by NumPy and moved to the device afterwards, so that all backends get the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["generator", "stream"]


def generator(rng: Any, caller: str = "rng") -> np.random.Generator:
    """The generator itself, or a new one started with an int: the same int gives the same numbers.

    Raises TypeError for anything else (None would mean numbers that nobody can draw again).
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    raise TypeError(f"{caller}: rng must be a numpy.random.Generator or an int >= 0, got {rng!r}")


def stream(seed: int, *place: int) -> np.random.Generator:
    """The generator of one piece of resumable work: default_rng([seed, *place]), e.g. stream(seed, SHUFFLE, epoch)."""
    return np.random.default_rng([seed, *place])
