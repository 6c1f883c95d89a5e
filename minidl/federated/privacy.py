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


def encode(a: np.ndarray, bits: int = 32) -> np.ndarray:
    """Real numbers as fixed-point integers modulo 2^64: round(a 2^bits). Sums of them are exact, in any order.

    Raises OverflowError for numbers of 2^(62 - bits) and more, of which a sum might not fit.
    """
    scaled = np.rint(np.asarray(a, float) * 2.0**bits)
    if not (abs(scaled) < 2.0**62).all():
        raise OverflowError(f"encode: numbers must lie below 2^{62 - bits} for {bits} bits, got {abs(a).max()}")
    return scaled.astype(np.int64).view(np.uint64)


def decode(total: np.ndarray, bits: int = 32) -> np.ndarray:
    """The real numbers of a sum of encoded ones: float64."""
    return total.view(np.int64) / 2.0**bits


def mask(message: np.ndarray, k: int, others: Sequence[int], seed: int, round: int) -> np.ndarray:
    """A client's encoded numbers behind masks that it shares with each other client: they cancel in the sum.

    Of each pair the client with the smaller number adds the random integers that only the two of them know, and the
    other takes them away, modulo 2^64. A masked message by itself is uniformly random.
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

    Each client sends n_k w_k and n_k, encoded and masked; the server adds them up and divides. Exact up to the rounding
    of the fixed point, 2^-bits an entry.
    Source: fedavg:secure-aggregation
    """
    everybody = range(len(answers))

    def total(parts: Sequence) -> np.ndarray:
        messages = [mask(encode(part, bits), k, everybody, seed, round) for k, part in enumerate(parts)]
        return decode(np.sum(messages, 0, dtype=np.uint64), bits)

    m_t = total([float(n) for _, n in answers])
    return {path: (total([a[path].astype(float) * n for a, n in answers]) / m_t).astype(w[path].dtype) for path in w}
