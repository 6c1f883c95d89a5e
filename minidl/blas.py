"""One BLAS thread, for whatever must repeat itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block BLAS uses one thread: sums run in one order on any machine, and small products are faster."""
    with threadpool_limits(1, "blas"):
        yield
