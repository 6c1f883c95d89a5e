"""Two hands for large batches: Python threads over halves of the work, each with one BLAS thread.

NumPy releases the interpreter while it computes. What is split, and in which order parts are summed, depends on sizes
alone, never on how many threads there are: the bits stay the same on any machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from threading import Lock, Thread, local
from typing import Any

_PROCESSORS = os.cpu_count() or 1  # asked once: on some systems it takes longer than a small product
_jobs: SimpleQueue | None = None
_starting = Lock()
_here = local()  # .busy: this thread works on a part already, so what it calls does not part its work again


def count() -> int:
    """How many threads may work at once: MINIDL_THREADS, else 2 where the machine has as many processors."""
    return int(os.environ.get("MINIDL_THREADS") or min(2, _PROCESSORS))


def run(function: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
    """[function(part) for part in parts], side by side where that helps; results in the order of the parts."""
    if len(parts) < 2 or count() < 2 or getattr(_here, "busy", False):
        return [function(part) for part in parts]
    jobs = [_Job(function, part) for part in parts]
    queue = _queue()
    for job in jobs[1:]:
        queue.put(job)
    jobs[0].work()
    for job in jobs[1:]:
        job.done.acquire()  # nobody may still write into our arrays when we leave
    for job in jobs:
        if job.error is not None:
            raise job.error
    return [job.result for job in jobs]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Inside the block this thread does all its work itself: for workers beside which others work."""
    before, _here.busy = getattr(_here, "busy", False), True
    try:
        yield
    finally:
        _here.busy = before


class _Job:
    """One part of the work; `done` is free once it has ended. Lighter than a future, for parts of microseconds."""

    __slots__ = ("done", "error", "function", "part", "result")

    def __init__(self, function: Callable[[Any], Any], part: Any):
        self.function, self.part, self.result, self.error = function, part, None, None
        self.done = Lock()
        self.done.acquire()

    def work(self) -> None:
        _here.busy = True
        try:
            self.result = self.function(self.part)
        except BaseException as error:  # it is raised where the work was asked for
            self.error = error
        finally:
            _here.busy = False
            self.done.release()


def _queue() -> SimpleQueue:
    """The jobs for the other threads, which are started with the first of them."""
    global _jobs
    with _starting:
        if _jobs is None:
            _jobs = SimpleQueue()
            for k in range(count() - 1):
                Thread(target=_serve, args=(_jobs,), name=f"minidl-{k}", daemon=True).start()
    return _jobs


def _serve(jobs: SimpleQueue) -> None:
    while True:
        jobs.get().work()


def _forget() -> None:
    global _jobs, _starting
    _jobs, _starting = None, Lock()  # a forked child has none of its parent's threads


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
