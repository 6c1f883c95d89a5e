"""Methods that change a part of the input and see what becomes of the output: no tape, one answer for each change.

The text names three. Each change costs a forward pass. A change that leaves the output as it was scores 0, so they miss
what is saturated: where either of two inputs is enough, taking one away does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np

from .. import ops
from ..backend import is_array, xp
from ..randomness import generator
from ..tape import Tensor
from .deeplift import letters_axis
from .explanation import Explanation
from .target import Target, answers, matched, refuse_nonfinite, typed_as, weighted

NUMBERS = 1 << 18  # of x's variants in one call of the model: with more, what it computes leaves the cache
Window = tuple[Any, ...]  # an index into x: all rows, a slice of every other axis


def occlusion(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    window: int | Sequence[int] = 1,
    stride: int | Sequence[int] | None = None,
    fill: Any = 0.0,
    *,
    chunk: int | None = None,
) -> Explanation:
    """How far the target falls when a window of x is covered: for each element the mean over the windows it lies in.

    model, x, target: as for `lrp`, but a row's output may depend on that row alone. window: an int, so many elements
    along every axis behind the channels ((N, C, H, W), (N, C, T)), all channels at once, or along the features of
    (N, features); a tuple for each of these axes; or a tuple for every axis behind the rows', so that channels are
    covered apart. stride: likewise, the window if not given. The first window lies at the start of each axis, the last
    is cut at its end, so every element is covered. fill: what stands in a covered place, a number or an array that
    broadcasts to x's shape. chunk: how many windows the model is asked about at once, on chunk * N rows; if not given,
    so many that these hold about a million numbers, but one at least.
    It promises no sum: `expected` and `residual` are None.
    Raises TypeError and ValueError for a bad argument.
    Source: deeplift:occlusion
    """
    x, ask, output = answers(model, x, target, "occlusion")
    fill = matched(x, fill, "fill", "occlusion")
    windows = windows_over(x.shape, window, stride, "occlusion")

    def cover(variant: Any, k: int) -> None:
        variant[windows[k]] = fill[windows[k]]

    found = asked(ask, x, len(windows), cover, chunk, "occlusion")
    return _explain("occlusion", spread(output - found, windows, x), output, found)


def prediction_difference(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    background: Any,
    samples: int = 10,
    rng: Any,
    chunk: int | None = None,
) -> Explanation:
    """How much evidence a window of x brings: what the target loses when other rows' elements are drawn for it.

    model, x, window, stride, chunk: as for `occlusion`. background: rows (M, ...) like those of x. For each window
    `samples` different ones of them are drawn, the same for all rows of x, so a row's scores do not depend on its
    company; samples of M or more take each of them once, which is exact. rng: a Generator or an int.
    target: a class (an int, or ints (N,)) of a model that ends in logits (N, K) is scored by the weight of evidence,
    ln odds(p) - ln odds(mean of p over the draws), in nats, with p its softmax probability against all other classes;
    `output` is then ln odds(p). All is computed with logarithms, so p may round to 0 or 1. Any other target is a plain
    number, and the score its difference from the mean over the draws. Both are means over the windows that an element
    lies in; they promise no sum.
    The text only names the method. Zintgraf et al. count in bits, correct p by Laplace against a division by 0, and
    also draw what stands there given its surroundings; here it is independent of them.
    Raises TypeError and ValueError for a bad argument.
    Source: deeplift:prediction-difference
    """
    method = "prediction_difference"
    by_class = names_a_class(target)
    x, ask, output = answers(model, x, target, method, log_odds if by_class else weighted)
    windows = windows_over(x.shape, window, stride, method)
    background = _background(x, background, method)
    if isinstance(samples, bool) or not isinstance(samples, (int, np.integer)) or samples < 1:
        raise ValueError(f"{method}: samples must be an int of at least 1, got {samples!r}")
    rng, rows, samples = generator(rng, method), len(background), min(int(samples), len(background))
    drawn = [rng.choice(rows, samples, replace=False).tolist() for _ in windows]

    def answers_to(draw: int) -> Any:
        def replace(variant: Any, k: int) -> None:
            variant[windows[k]] = background[drawn[k][draw]][windows[k][1:]]

        return asked(ask, x, len(windows), replace, chunk, method)

    found = map(answers_to, range(samples))
    without = log_odds_of_mean(found) if by_class else sum(found) / samples
    return _explain(method, spread(output - without, windows, x), output, without)


def in_silico_mutagenesis(
    model: Callable[[Tensor], Tensor], x: Any, target: Target = None, *, axis: int = 1, chunk: int | None = None
) -> Explanation:
    """What every other letter in every place of a one-hot x would do to the target.

    model, x, target: as for `occlusion`. axis: the axis of x along which one-hot letters lie. chunk: how many mutations
    the model is asked about at once, as in `occlusion`. `hypothetical` is the output with that letter in that place
    less the output, 0 for the letter that is there. scores: for the letter that is there how far the output falls, in
    the mean over the others; 0 elsewhere. They promise no sum.
    Raises TypeError and ValueError for a bad argument, and where x is not one-hot.
    Source: deeplift:occlusion
    """
    method = "in_silico_mutagenesis"
    x, ask, output = answers(model, x, target, method)
    axis = letters_axis(x, axis, "axis", method)
    m, letters = xp(x), x.shape[axis]
    if letters < 2 or not x.size:
        raise ValueError(f"{method}: x must have places, and 2 or more letters along axis {axis}, got shape {x.shape}")
    every = (slice(None),)
    places = product(*(every if k in (0, axis) else range(n) for k, n in enumerate(x.shape)))
    # to move each row's 1 by 1, 2, ... letters makes every other letter once
    mutations = [(place, by) for place in places for by in range(1, letters)]

    def mutant(k: int) -> Any:
        place, by = mutations[k]
        return m.roll(x[place], by, 1)  # the rows and the letters are all that is left

    def mutate(variant: Any, k: int) -> None:
        variant[mutations[k][0]] = mutant(k)

    found = asked(ask, x, len(mutations), mutate, chunk, method)
    hypothetical = m.zeros_like(x)
    for k, effect in enumerate(found - output):
        hypothetical[mutations[k][0]] += effect[:, None] * mutant(k)
    fall = -hypothetical.sum(axis, keepdims=True) / (letters - 1)
    return _explain(method, m.where(x == 1, fall, 0), output, found, hypothetical=hypothetical)


def _explain(method: str, scores: Any, output: Any, found: Any, **more: Any) -> Explanation:
    """The explanation of a method that promises no sum; its roundings are relative to the answers that it compares."""
    flow = abs(output) + abs(found).max(0)
    return Explanation(scores, output, method, absorbed=output * 0, flow=flow, **more)


def asked(
    ask: Callable[[Any], Any], x: Any, count: int, change: Callable[[Any, int], None], chunk: int | None, method: str
) -> Any:
    """The answers for `count` variants of x, (count, N), of which `ask` gets a chunk at a time.

    change(variant, k) turns a copy of x into variant k.
    """
    m, size, found = xp(x), chunk_for(x, chunk, method), []
    for start in range(0, count, size):
        variants = m.repeat(x[None], min(size, count - start), 0)
        for k, variant in enumerate(variants, start):
            change(variant, k)
        found.append(ask(variants.reshape(-1, *x.shape[1:])).reshape(-1, len(x)))
    found = m.concatenate(found)
    refuse_nonfinite(found, method, " for a variant of x")
    return found


def chunk_for(x: Any, chunk: int | None, method: str) -> int:
    """How many variants of all rows of x go into one call of the model: as NUMBERS allows, if not given."""
    if chunk is None:
        return max(1, NUMBERS // max(1, x.size))
    if isinstance(chunk, bool) or not isinstance(chunk, (int, np.integer)) or chunk < 1:
        raise ValueError(f"{method}: chunk must be an int of at least 1, got {chunk!r}")
    return int(chunk)


def windows_over(shape: Sequence[int], window: Any, stride: Any, method: str) -> list[Window]:
    """The windows over all axes of x behind the rows', each as an index into x."""
    lengths = shape[1:]
    sizes = _per_axis(window, lengths, lengths[:1], "window", method)
    steps = sizes if stride is None else _per_axis(stride, lengths, sizes[:1], "stride", method)
    if any(size > length for size, length in zip(sizes, lengths, strict=True)):
        raise ValueError(f"{method}: window must fit the axes of x behind the rows', {lengths}, got {sizes}")
    if any(size < min(step, length) for size, step, length in zip(sizes, steps, lengths, strict=True)):
        raise ValueError(f"{method}: stride must be at most the window, {sizes}, to leave nothing out, got {steps}")
    return list(product((slice(None),), *map(_slices, lengths, sizes, steps)))


def _per_axis(given: Any, lengths: Sequence[int], channels: Sequence[int], name: str, method: str) -> tuple[int, ...]:
    """One number for each axis behind the rows'; that of the channels where it is not given."""
    behind = len(lengths[1:] or lengths)
    numbers = tuple(given) if isinstance(given, Iterable) else (given,) * behind
    if not all(isinstance(n, (int, np.integer)) and n >= 1 for n in numbers):
        raise ValueError(f"{method}: {name} must be an int of at least 1 or a tuple of these, got {given!r}")
    if len(numbers) == len(lengths) - 1:
        numbers = (*channels, *numbers)
    if len(numbers) != len(lengths):
        raise ValueError(
            f"{method}: {name} must have a number for each of the {len(lengths)} axes of x behind the rows', "
            f"or for all of them but the channels', got {given!r}"
        )
    return numbers


def _slices(length: int, size: int, step: int) -> list[slice]:
    """From the start of an axis, step by step, until its end is covered."""
    return [slice(start, start + size) for start in range(0, length - size + step, step)]


def spread(differences: Any, windows: Sequence[Window], x: Any) -> Any:
    """For each element of x the mean difference of the windows that cover it. differences: (windows, N)."""
    m = xp(x)
    total, count = m.zeros_like(x), m.zeros(x.shape[1:], x.dtype)
    for window, difference in zip(windows, differences, strict=True):
        total[window] += difference.reshape(-1, *[1] * (x.ndim - 1))
        count[window[1:]] += 1
    return total / count


def names_a_class(target: Target) -> bool:
    """Whether the target is a class, or one for each row."""
    if target is None or callable(target):
        return False
    return (target if is_array(target) else np.asarray(target)).dtype.kind in "iu"


def log_odds(logits: Any, of_class: Any) -> Any:
    """ln p / (1 - p) of a class against all others, p its softmax probability: (N,), nats.

    logits: (N, K); of_class: (N, K), 1 at the class and else 0.
    """
    if logits.shape[1] < 2:
        raise ValueError(
            f"prediction_difference: a class has odds among two or more, got an output of shape {logits.shape}; "
            "leave target out to take the output itself"
        )
    m = xp(logits)
    return weighted(logits, of_class) - ops.logsumexp(m.where(of_class == 1, -np.inf, logits), 1)


def log_odds_of_mean(draws: Iterable[Any]) -> Any:
    """ln of mean p / mean (1 - p) over draws of ln p / (1 - p), in nats."""
    of, against = -np.inf, -np.inf  # ln of the sums of p and of 1 - p
    for odds in draws:
        m = xp(odds)
        of, against = m.logaddexp(of, -ops.softplus(-odds)), m.logaddexp(against, -ops.softplus(odds))
    return of - against


def _background(x: Any, background: Any, method: str) -> Any:
    """The rows to draw from, in x's type."""
    background = typed_as(x, background)
    if background.shape[1:] != x.shape[1:] or not background.shape or not len(background):
        raise ValueError(
            f"{method}: background must hold rows (M, ...) like those of x, {x.shape[1:]}, got {background.shape}"
        )
    if not xp(x).isfinite(background).all():
        raise ValueError(f"{method}: background holds NaN or infinite values")
    return background
