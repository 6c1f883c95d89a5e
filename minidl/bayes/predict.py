"""Many passes through a noisy model: T draws from its predictive distribution.

A pass has a generator of its own, so its noise does not depend on how many passes run beside it: on two threads, or one
below the other in one batch where the rows are few. What comes before the first noise is computed once for all passes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import blas, threads
from ..backend import is_array, xp
from ..explain.target import refuse_batch_statistics
from ..nn import Sequential
from ..randomness import generator
from ..tape import no_grad, raw

__all__ = ["mc_predict"]

ROWS = 500  # rows in the model at once: what stays in the processor's cache


def mc_predict(model: Callable[..., Any], x: Any, T: int, rng: Any, *, progress: bool = False) -> Any:
    """The outputs of T stochastic forward passes, each with a new draw of all noise: (T, N, ...) for x (N, ...).

    model: called as model(x, rng=...); of a Sequential the layers before the first one that draws are run only once.
    Without noise all passes are equal. rng: a Generator or an int, from which each pass gets a generator of its own:
    the first 10 of T = 100 passes are those of T = 10. progress: show a bar.
    At most ROWS rows are in the model at once. Where there are fewer, several passes make one batch of copies, each row
    with its own noise: the same draws, and the same numbers up to the rounding of products with more rows.
    Raises ValueError for T below 1, an x without rows, batch statistics, or an output without a row for each of x;
    TypeError for an x that is no array.
    Source: gal:prop2, gal:test-time-batching
    """
    x = raw(x)
    if not is_array(x):
        raise TypeError(f"mc_predict: x must be an array or a Tensor, got {type(x).__name__}")
    if not x.ndim or not len(x):
        raise ValueError(f"mc_predict: x must have rows on its first axis, got shape {x.shape}")
    if not isinstance(T, (int, np.integer)) or isinstance(T, bool) or T < 1:
        raise ValueError(f"mc_predict: T, the number of passes, must be an int of at least 1, got {T!r}")
    refuse_batch_statistics(model, "mc_predict")
    starts = range(0, len(x), ROWS)
    seeds = generator(rng, "mc_predict").integers(2**63, size=(T, len(starts)))
    with no_grad(), blas.one_thread(), _bar(progress, T * len(x)) as advance:
        two = x[:2] if len(x) > 1 else xp(x).concatenate([x, x])  # one row could not tell its own noise from shared
        before, after, by_rows, like = _parted(model, two)
        samples = xp(like).empty((T, len(x), *like.shape[1:]), like.dtype)
        for k, start in enumerate(starts):
            block = slice(start, start + ROWS)
            h = before(x[block])
            at_once = max(1, ROWS // len(h)) if by_rows else 1

            def work(passes, block=block, h=h, seeds=seeds[:, k]):
                with no_grad():  # each thread records or not by itself
                    for some in passes:
                        samples[some, block] = _run(after, h, seeds[some]).reshape(-1, len(h), *like.shape[1:])
                        advance(len(seeds[some]) * len(h))

            passes = [slice(t, t + at_once) for t in range(0, T, at_once)]
            threads.run(work, [passes[::2], passes[1::2]] if xp(h) is np else [passes])
    return samples


def _run(model: Callable[..., Any], h: Any, seeds: np.ndarray) -> Any:
    """The outputs of passes with these seeds, one below the other."""
    each = [np.random.default_rng(seed) for seed in seeds]
    if len(each) == 1:
        return raw(model(h, rng=each[0]))
    return raw(model(xp(h).concatenate([h] * len(each)), rng=_Together(each)))


def _parted(model: Callable[..., Any], x: Any) -> tuple[Callable, Callable, bool, Any]:
    """The model before and after its first draw, whether it draws by rows, and what it makes of the rows x."""
    probe = _Probe(len(x))
    y = raw(model(x, rng=probe))
    if y.shape[:1] != x.shape[:1]:
        raise ValueError(f"mc_predict: the output must have a row for each of x, {len(x)}, got shape {y.shape}")
    first, h = 0, x
    if getattr(type(model), "forward", None) is Sequential.forward:
        for layer in model:
            h = layer(h, rng=(own := _Probe(len(x))))
            if own.drew:
                break
            first += 1
    before = model[:first] if first else raw
    return lambda x: raw(before(x)), model[first:] if first else model, probe.by_rows, y


class _Probe(np.random.Generator):
    """Notes whether anything is drawn, and whether all of it is rows of random numbers, as `_Together` draws them."""

    def __init__(self, rows: int):
        super().__init__(np.random.PCG64(0))
        self.rows, self.drew, self.by_rows = rows, False, True

    def random(self, size=None, dtype=np.float64, out=None):
        self._note(size)
        return super().random(size, dtype, out)

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        self._note(size)
        return super().standard_normal(size, dtype, out)

    def _note(self, size: Any) -> None:
        self.drew = True
        self.by_rows = self.by_rows and isinstance(size, tuple) and size[:1] == (self.rows,)

    def __getattribute__(self, name: str) -> Any:
        if name in _OTHER_DRAWS:
            self.drew, self.by_rows = True, False
        return super().__getattribute__(name)


_OTHER_DRAWS = {name for name in dir(np.random.Generator) if name[0] != "_"} - {"random", "standard_normal"}


class _Together(np.random.Generator):
    """The generators of passes that stand one below the other in a batch: each draws the rows of its own pass."""

    def __init__(self, each: list[np.random.Generator]):
        super().__init__(each[0].bit_generator)
        self.each = each

    def random(self, size, dtype=np.float64):
        return np.concatenate([g.random(self._own(size), dtype) for g in self.each])

    def standard_normal(self, size, dtype=np.float64):
        return np.concatenate([g.standard_normal(self._own(size), dtype) for g in self.each])

    def _own(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return (size[0] // len(self.each), *size[1:])


@contextlib.contextmanager
def _bar(shown: bool, total: int) -> Iterator[Callable[[int], Any]]:
    """A function to tell how many more rows are done; it moves a bar if one is to be shown."""
    if not shown:
        yield lambda rows: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc="mc_predict", unit="row") as bar:
        yield bar.update
