"""Large batches a few rows at a time: a block of rows stays in the processor's cache, and two threads share the blocks.

For functions that treat every row by itself, such as formulas element by element and sums over all axes but the rows'.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from .. import threads
from ..backend import xp
from . import fast
from .signals import Delta, Pair


def by_rows(f: Callable[..., Any], first: Any, *others: Any) -> Any:
    """f(first, *others), computed block by block of rows where there are many numbers.

    first, others: arrays, Pairs or Deltas with the rows on their first axis, or one row that stands for all, or None. f
    returns an array, a Pair, None, or a tuple of these, with as many rows as it was given. The blocks follow from the
    sizes alone, so the numbers are the same on one thread and on two.
    """
    x = _array(first)
    if xp(x) is not np or x.ndim < 2 or len(parts := fast.blocks(np, x)) < 2:
        return f(first, *others)
    n = len(x)
    start, *rest = parts[0]
    part = f(*(_rows(a, start, n) for a in (first, *others)))
    single = not isinstance(part, tuple)
    results = [_Result(n) for _ in range(1 if single else len(part))]

    def keep(block, part):
        for result, p in zip(results, (part,) if single else part):
            result.put(block, p)

    def work(half):
        for block in half:
            keep(block, f(*(_rows(a, block, n) for a in (first, *others))))

    keep(start, part)
    threads.run(work, [rest, *parts[1:]])
    values = tuple(result.value for result in results)
    return values[0] if single else values


def _array(a: Any) -> Any:
    return a.pos if isinstance(a, Pair) else a.value if isinstance(a, Delta) else a


def _rows(a: Any, block: slice, n: int) -> Any:
    """Some rows of an array, of both parts of a Pair, or of a value beside its reference."""
    if a is None:
        return None
    if isinstance(a, Pair):
        pos = _rows(a.pos, block, n)
        return Pair(pos, pos if a.one else _rows(a.neg, block, n))
    if isinstance(a, Delta):
        return Delta(_rows(a.value, block, n), _rows(a.reference, block, n), _rows(a.parts, block, n))
    return a[block] if len(a) == n else a


class _Result:
    """An array or a Pair for all rows, made when the first rows of it come; None if none came."""

    def __init__(self, n: int):
        self.n, self.value, self.making = n, None, Lock()

    def put(self, block: slice, part: Any) -> None:
        """Enter the rows of a block; the rows of a block that has None are 0."""
        with self.making:
            if self.value is None and part is not None:
                self.value = self._like(part, zeros=block.start > 0)
        if self.value is None:
            return
        if isinstance(self.value, Pair):
            self.value.pos[block] = part.pos
            if not self.value.one:
                self.value.neg[block] = part.neg
        else:
            self.value[block] = 0 if part is None else part

    def _like(self, part: Any, zeros: bool) -> Any:
        if isinstance(part, Pair):
            pos = self._like(part.pos, zeros)
            return Pair(pos, pos if part.one else self._like(part.neg, zeros))
        m = xp(part)
        return (m.zeros_like if zeros else m.empty_like)(part, shape=(self.n, *part.shape[1:]))
