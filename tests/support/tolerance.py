"""How far two numbers may lie apart, derived from the type of the numbers: the only place where that is decided.

Rounding. One operation in floating point is off by at most half a unit in the last place, eps / 2 relative to its
result. A computation of n of them is off by n eps / 2 times the largest magnitude on its way at worst, and by about
sqrt(n) eps on average, since the errors point both ways. Our cases have up to some hundred operations on the way to a
number, so ULPS = 64 units relative to `scale` leave room and still see any wrong term larger than 1.5e-14 (float64).

Differences. The central difference D(h) = (f(x + h) - f(x - h)) / 2h is off in two ways.
 - Truncation: D(h) - f' = h^2 f'''/6 + O(h^4). From D(2h) - f' = 4 h^2 f'''/6 follows D(2h) - D(h) = 3 (D(h) - f'),
   so |D(2h) - D(h)| bounds the truncation with a factor of 3 for the higher orders, whatever f''' is.
 - Rounding: both values of f carry ULPS eps size / 2 at worst, so their quotient by 2h is off by ULPS eps size / 2h.
The two are balanced at h = eps^(1/3), 6e-6 in float64, where both are of order eps^(2/3) = 4e-11. Cases stay
GAP = 10 h away from kinks and ties, so that neither x - 2h nor x + 2h crosses one.
"""

import numpy as np

ULPS = 64
STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
GAP = 10 * STEP


def rounding(dtype, scale=1.0, ulps=ULPS):
    """What rounding may add to a number computed in that type from terms of size `scale`."""
    return ulps * float(np.finfo(dtype).eps) * scale


def assert_close(actual, expected, scale=None, ulps=ULPS):
    """actual and expected have one shape and differ by rounding alone.

    scale: the size of the terms that they are sums of (a number, or an array of their shape); the largest |expected|
    if not given. The type is the coarser one of the two.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    if not actual.size:
        return
    dtype = max((actual.dtype, expected.dtype), key=lambda t: np.finfo(t).eps if t.kind == "f" else 0)
    scale = abs(expected).max() if scale is None else scale
    off = abs(actual - expected)
    assert (off <= rounding(dtype, scale, ulps)).all(), f"off by {off.max():.2e} at scale {np.max(scale):.2e}"


def difference(phi, size):
    """The slope of phi at 0 by central differences, and how far it may be off.

    phi: a function of one float64; size: the size of the terms that its value is a sum of.
    """
    coarse, fine = ((phi(h) - phi(-h)) / (2 * h) for h in (2 * STEP, STEP))
    return fine, abs(coarse - fine) + rounding(np.float64, size) / (2 * STEP)
