"""What a server need not see: a mean update with clipping and noise, and sums of which no summand can be read.

Both belong to synchronous rounds, as the text says of them. They are small models of the ideas, not protocols: keys are
not exchanged, and nobody drops out between the masks and the sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ..randomness import stream

__all__ = ["NoisyMean", "decode", "encode", "mask", "secure_average"]

NOISE, PAIR = 4, 5  # streams of random numbers
Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class NoisyMean:
    """The mean of the clients' updates, each clipped to a length, with Gaussian noise on their sum: for `combine`.

    clip: the largest Euclidean length of an update w_k - w over all its numbers. sigma: the deviation of the noise on
    the sum, in units of clip; m answers then have a mean with noise of clip sigma / m. All answers count the same,
    however many examples they rest on, since their numbers are private too.
    Raises ValueError for clip <= 0 or sigma < 0.
    Source: fedavg:secure-aggregation
    """

    clip: float
    sigma: float
    seed: int = 0

    def __post_init__(self):
        if not self.clip > 0 or not self.sigma >= 0:
            raise ValueError(f"NoisyMean: clip must be above 0 and sigma >= 0, got {self.clip!r} and {self.sigma!r}")

    def __call__(self, answers: Sequence[tuple[Weights, int]], *, w: Weights, round: int) -> dict[str, np.ndarray]:
        total = {path: np.zeros(a.shape) for path, a in w.items()}
        for own, _ in answers:
            update = {path: own[path].astype(float) - a for path, a in w.items()}
            length = sqrt(sum(float((u * u).sum()) for u in update.values()))
            for path, u in update.items():
                total[path] += u * min(1.0, self.clip / length) if length else u
        rng, m = stream(self.seed, NOISE, round), len(answers)
        return {
            path: (w[path] + (t + self.clip * self.sigma * rng.standard_normal(t.shape)) / m).astype(w[path].dtype)
            for path, t in total.items()
        }


def encode(a: np.ndarray, bits: int = 32, summands: int = 1) -> np.ndarray:
    """Real numbers as fixed-point integers modulo 2^64: round(a 2^bits). Sums of so many are exact, in any order.

    Raises OverflowError for numbers of 2^(62 - bits) / summands and more, whose sum might not fit.
    """
    scaled = np.rint(np.asarray(a, float) * 2.0**bits)
    if not (abs(scaled) < 2.0**62 / summands).all():
        limit = f"2^{62 - bits}" + (f" / {summands}, for a sum of {summands}, and" if summands > 1 else "")
        raise OverflowError(f"encode: numbers must lie below {limit} for {bits} bits, got {np.max(np.abs(a))}")
    return scaled.astype(np.int64).view(np.uint64)


def decode(total: np.ndarray, bits: int = 32) -> np.ndarray:
    """The real numbers of a sum of encoded ones: float64."""
    return total.view(np.int64) / 2.0**bits


def mask(message: np.ndarray, k: int, others: Sequence[int], seed: int, round: int) -> np.ndarray:
    """A client's encoded numbers behind masks that it shares with each other client: they cancel in the sum.

    Of each pair the client with the smaller number adds the random integers that only the two of them know, and the
    other takes them away, modulo 2^64. A masked message by itself is uniformly random. One message a round: the masks
    of a second would be the same, and the difference of the two would show that of their numbers.
    Source: fedavg:secure-aggregation
    """
    masked = message.copy()
    for j in others:
        if j == k:
            continue
        shared = stream(seed, PAIR, round, min(j, k), max(j, k)).integers(2**64, size=message.shape, dtype=np.uint64)
        masked = masked + shared if k < j else masked - shared
    return masked


def secure_average(
    answers: Sequence[tuple[Weights, int]], *, w: Weights, round: int, bits: int = 32, seed: int = 0
) -> dict[str, np.ndarray]:
    """`average`, by a server that sees masked messages only: for `combine`.

    Each client sends n_k and n_k w_k, encoded and masked as one long vector; the server adds them up and divides. Exact
    up to the rounding of the fixed point, 2^-bits an entry.
    Raises OverflowError where n_k w_k is too large for a sum of so many clients.
    Source: fedavg:secure-aggregation
    """
    total = np.zeros(1 + sum(a.size for a in w.values()), np.uint64)
    for k, (own, n) in enumerate(answers):
        numbers = np.concatenate([[float(n)], *(n * own[path].astype(float).ravel() for path in w)])
        total += mask(encode(numbers, bits, len(answers)), k, range(len(answers)), seed, round)
    m_t, *sums = np.split(decode(total, bits), 1 + np.cumsum([0, *(a.size for a in w.values())])[:-1])
    return {path: (part / m_t).reshape(a.shape).astype(a.dtype) for (path, a), part in zip(w.items(), sums)}
