"""Rounds to a target: how many rounds of communication a setting needs, at the learning rate that suits it best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Tuned", "best_so_far", "grid", "rounds_to", "tune"]


def best_so_far(curve: Any) -> np.ndarray:
    """The largest value up to each round; NaN counts for nothing. curve: (rounds,)."""
    return np.maximum.accumulate(np.where(np.isnan(curve), -inf, np.asarray(curve, float)))


def rounds_to(curve: Any, target: float) -> float:
    """How many rounds until the best-so-far curve crosses the target, by linear interpolation; inf if it never does.

    curve: the accuracy after each round, (rounds,), the first one after round 1. What lies before round 1 is not
    known, so a target that is met after the first round takes 1.
    Source: fedavg:rounds-to-target
    """
    curve = best_so_far(curve)
    reached = np.flatnonzero(curve >= target)
    if not len(reached):
        return inf
    k = int(reached[0])
    if k == 0 or not np.isfinite(curve[k - 1]):
        return float(k + 1)
    return float(k + (target - curve[k - 1]) / (curve[k] - curve[k - 1]))


def grid(centre: float, points: int = 5, parts: int = 3) -> list[float]:
    """Learning rates around a centre, each 10^(1/parts) times the one before.

    points: how many, an odd number. parts: 3 or 6 in the text.
    Erratum: fedavg, section 3: printed "resolution 10^-3 or 10^-6"; right: 10^(1/3) or 10^(1/6).
    Source: fedavg:rounds-to-target
    """
    if points < 1 or points % 2 == 0:
        raise ValueError(f"grid: points must be an odd number above 0, got {points!r}")
    return [centre * 10 ** (k / parts) for k in range(-(points // 2), points // 2 + 1)]


class Tuned(NamedTuple):
    """The best learning rate, how many rounds it took (inf: none reached the target), and all tried {lr: rounds}."""

    lr: float
    rounds: float
    tried: dict[float, float]


def tune(
    run: Callable[[float], Any], target: float, rates: Sequence[float], parts: int = 3, furthest: int = 6
) -> Tuned:
    """The learning rate of a grid that takes the fewest rounds to the target, with the best strictly inside the grid.

    run(lr) -> the curve of accuracies (rounds,). While the best stands at an edge, the grid grows there by another
    rate, 10^(1/parts) away, at most `furthest` times. Where no rate reaches the target the highest curve is the best.
    Ties go to the smaller rate. The grid is tried from its middle outwards.
    Raises ValueError if the best is still at an edge then, or for rates that are none.
    Source: fedavg:rounds-to-target
    """
    if not len(rates) or not all(0 < lr < inf for lr in rates):
        raise ValueError(f"tune: rates must hold at least one learning rate, finite and above 0, got {rates!r}")
    rates, middle = sorted(rates), (len(rates) - 1) / 2
    outwards = sorted(range(len(rates)), key=lambda k: abs(k - middle))
    curves = {rates[k]: np.asarray(run(rates[k])) for k in outwards}

    def worth(lr: float) -> tuple[float, float]:
        return rounds_to(curves[lr], target), -float(best_so_far(curves[lr])[-1])

    for _ in range(furthest + 1):
        rates = sorted(curves)
        best = min(rates, key=worth)
        if best not in (rates[0], rates[-1]):
            return Tuned(best, worth(best)[0], {lr: worth(lr)[0] for lr in rates})
        further = best * 10 ** ((1 if best == rates[-1] else -1) / parts)
        curves[further] = np.asarray(run(further))
    raise ValueError(f"tune: the best rate, {best:g}, is still at the edge of the grid after {furthest} more rates")
