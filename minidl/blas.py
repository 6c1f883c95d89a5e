"""What BLAS does: how many threads it uses, and whether it has a way of its own for small products."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache

# those of OpenBLAS's processor types whose small products are not packed first
UNPACKED = ("SkylakeX", "Cooperlake", "SapphireRapids")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block BLAS uses one thread: sums run in one order on any machine, and small products are faster."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield


@cache
def has_small_kernels() -> bool:
    """Whether NumPy's BLAS multiplies small matrices without packing them: OpenBLAS does on processors with AVX-512.

    It follows from the processor, not from a measurement, so that a run repeats itself.
    """
    from threadpoolctl import threadpool_info

    return any(pool.get("architecture") in UNPACKED for pool in threadpool_info())
