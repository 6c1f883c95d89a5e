"""Two hands for large batches: Python threads over halves of the work, each with one BLAS thread.

NumPy releases the interpreter while it computes. What is split, and in which order parts are summed, depends on sizes
alone, never on how many threads there are: the bits stay the same on any machine.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import local
from typing import Any

_PROCESSORS = os.cpu_count() or 1  # asked once: on some systems it takes longer than a small product
_pool: ThreadPoolExecutor | None = None
_here = local()  # .busy: this thread works on a part already, so what it calls does not part its work again


def count() -> int:
    """How many threads may work at once: MINIDL_THREADS, else 2 where the machine has as many processors."""
    return int(os.environ.get("MINIDL_THREADS") or min(2, _PROCESSORS))


def run(function: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
    """[function(part) for part in parts], side by side where that helps; results in the order of the parts."""
    if len(parts) < 2 or count() < 2 or getattr(_here, "busy", False):
        return [function(part) for part in parts]
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(count() - 1, thread_name_prefix="minidl")

    def work(part: Any) -> Any:
        _here.busy = True
        try:
            return function(part)
        finally:
            _here.busy = False

    rest = [_pool.submit(work, part) for part in parts[1:]]
    try:
        first = work(parts[0])
    finally:
        errors = [r.exception() for r in rest]  # nobody may still write into our arrays when we leave
    for error in errors:
        if error is not None:
            raise error
    return [first, *(r.result() for r in rest)]


def _forget() -> None:
    global _pool
    _pool = None  # a forked child has none of its parent's threads


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def keep_memory() -> None:
    """Ask the C library to keep freed memory for the next step; the whole process, and only where it is glibc.

    By default it hands large blocks back to the system, and every step of a training loop pays for fresh pages.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(trim_threshold, 1 << 30)
    mallopt(mmap_threshold, 1 << 25)
