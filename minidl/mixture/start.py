"""Where EM starts: it climbs to the next maximum only, so the start decides which one that is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import to_numpy, xp
from ..randomness import generator
from . import door
from .em import Parameters, by_blocks, m_step

LLOYD = 50  # rounds of k-means: for a start nearly right is right


def k_means(x: Any, k: int, rng: Any, max_iter: int = LLOYD) -> tuple[Any, Any]:
    """k centres, each the mean of the rows that it is nearest to (Lloyd), begun far apart (k-means++).

    x: floats (N, d). rng: a Generator or an int. max_iter: rounds, if the centres do not rest before.
    Returns the centres (k, d) and the number of the nearest one for each row, ints (N,).
    Raises TypeError and ValueError for a bad argument, ValueError if x has fewer than k different rows.
    """
    x, rng = door.rows(x, "k_means"), generator(rng, "k_means")
    door.positive("k_means", k=k, max_iter=max_iter)
    door.refuse_few(x, k, "k_means")
    m = xp(x)
    origin = x.mean(0)
    x = x - origin  # so that squares of large numbers do not cancel
    centres, labels = _far_apart(x, k, rng), None
    for _ in range(max_iter):
        before, labels = labels, _nearest(x, centres)
        if before is not None and (labels == before).all():
            break
        own = (labels[:, None] == m.arange(k)).astype(x.dtype)
        counts = own.sum(0)[:, None]
        centres = m.where(counts > 0, own.T @ x / m.maximum(counts, 1), centres)  # a centre without rows stays
    return centres + origin, labels


def _far_apart(x: Any, k: int, rng: np.random.Generator) -> Any:
    """k rows of x: each drawn in proportion to its squared distance from those before it."""
    m = xp(x)
    chosen = [int(rng.integers(len(x)))]
    distance = m.inf
    while len(chosen) < k:
        distance = m.minimum(distance, ((x - x[chosen[-1]]) ** 2).sum(1))
        reach = to_numpy(m.cumsum(distance))
        if not reach[-1] > 0:
            raise ValueError(f"k_means: x has only {len(chosen)} different rows, fewer than the {k} centres asked for")
        chosen.append(min(int(np.searchsorted(reach, rng.random() * reach[-1], "right")), len(x) - 1))
    return x[m.asarray(chosen)]


def _nearest(x: Any, centres: Any) -> Any:
    """The number of the nearest centre for each row."""
    half = (centres * centres).sum(1) / 2  # |x - c|^2 / 2 without |x|^2 / 2, which is the same for all centres
    return xp(x).concatenate(by_blocks(lambda x: (half - x @ centres.T).argmin(1), centres.size, x))


def from_k_means(x: Any, k: int, covariance_type: str, floor: float, rng: np.random.Generator) -> Parameters:
    """A Gaussian for the rows around each centre of k-means."""
    m = xp(x)
    _, labels = k_means(x, k, rng)
    return m_step(x, (labels[:, None] == m.arange(k)).astype(x.dtype), covariance_type, floor)


def from_random_rows(x: Any, k: int, covariance_type: str, floor: float, rng: np.random.Generator) -> Parameters:
    """Gaussians as wide as the data around k rows drawn at random, all with the same weight."""
    m = xp(x)
    wide = m_step(x, m.full((len(x), k), 1 / k, dtype=x.dtype), covariance_type, floor)
    return wide._replace(means=x[m.asarray(rng.choice(len(x), k, replace=False))])


STARTS = {"k-means": from_k_means, "random": from_random_rows}
