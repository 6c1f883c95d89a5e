"""All the noise there is: generators that hand out what a test wrote down, and every mask with its probability."""

import numpy as np

BELOW_ONE = np.float32(1 - 2**-24)


class Scripted(np.random.Generator):
    """Hands out given arrays one by one: masks as uniform numbers that keep or drop, anything else as normal ones."""

    def __init__(self, *arrays):
        super().__init__(np.random.PCG64(0))
        self.arrays = list(arrays)

    def random(self, size=None, dtype=np.float64):
        return self._next(size) * BELOW_ONE  # 0 is below every p but 0, this is not below any

    def standard_normal(self, size=None, dtype=np.float64):
        return self._next(size)

    def _next(self, size):
        array = self.arrays.pop(0).astype(np.float32)
        assert array.shape == tuple(size)
        return array


def every(count):
    """All 2^count rows of zeros and ones: (2^count, count)."""
    return np.arange(2**count)[:, None] >> np.arange(count) & 1


def chances(kept, p):
    """The probability of each row of masks, where a 0 has the probability p."""
    return np.prod(np.where(kept, 1 - p, p), 1)


def mean_and_covariance(y, w):
    """Of rows y (S, D) with probabilities w (S,), term by term."""
    mean = sum(wi * yi for wi, yi in zip(w, y, strict=True))
    return mean, sum(wi * np.outer(yi - mean, yi - mean) for wi, yi in zip(w, y, strict=True))
