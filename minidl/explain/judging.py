"""Judging scores by flipping: the elements of x are changed in the order of their scores, and the answer is watched.

Scores that found what the answer rests on make it fall early when the highest are flipped first, and late when the
lowest are. Where `erasing` takes away what speaks for one class and against another, this goes through all of x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import to_numpy, xp
from ..randomness import generator
from ..tape import Tensor, no_grad, raw
from .explanation import scores_of
from .target import Target, answers, checked, matched, refuse_batch_statistics, refuse_nonfinite

ORDERS = ("highest", "lowest", "random")


@dataclass(frozen=True)
class Curve:
    """What the model answers while more and more of x is flipped.

    fractions: (S+1,), the share of the elements that is flipped, from 0 upwards. values: (N, S+1), the answer for each
    row there, in the unit of what was asked for: nats for a logit or for log-odds.
    """

    fractions: np.ndarray
    values: np.ndarray

    @property
    def drop(self) -> np.ndarray:
        """How far the answer has fallen below that for x itself: (N, S+1), 0 in the first column."""
        return self.values[:, :1] - self.values

    @property
    def area(self) -> np.ndarray:
        """The mean drop over the fractions, by the trapezoid rule: (N,).

        Where all of x is flipped it is the area over the curve. More is better with the highest scores first, less with
        the lowest first.
        """
        return np.trapezoid(self.drop, self.fractions) / self.fractions[-1]

    def mean(self) -> np.ndarray:
        """The answer averaged over the rows: (S+1,)."""
        return self.values.mean(0)


def flipping_curve(
    model: Callable[[Tensor], Tensor],
    x: Any,
    scores: Any,
    target: Target = None,
    *,
    order: str = "highest",
    steps: int = 20,
    fill: Any = 0.0,
    bounds: tuple[float, float] = (0.0, 1.0),
    fraction: float = 1.0,
    together: int | tuple[int, ...] | None = None,
    rng: Any = None,
    measure: Callable[[Callable[[Tensor], Tensor], Any], Any] | None = None,
) -> Curve:
    """Flip the elements of x in the order of their scores and note the answer after each portion.

    model, x, target: as for `lrp`. scores: an Explanation, or numbers in the shape of x. order: "highest" or "lowest"
    scores first (ties in memory order), or "random", which looks at no score and draws an order for each row from rng,
    a Generator or an int. fill: what a flipped element becomes, a number or an array that broadcasts to x's shape; or
    "invert", which makes v low + high - v for bounds = (low, high). fraction: the share of the elements to flip,
    in (0, 1]. steps: the equal portions in which that is done, up to whole elements; no more than there are elements.
    together: the axes whose elements are flipped as one, ranked by the sum of their scores; if not given, axis 1 of
    images (N, C, H, W), so that whole pixels are flipped, and else none: (). measure: what to note instead of the
    target's number, a function (model, x) to (N,), e.g. lambda model, x: log_odds(model, x, 8, 3) in nats.

    The model runs on all N rows once a portion, so memory does not grow with the steps. The text announces the
    flipping of pixels, but that section of it is lost: this protocol is ours.
    Raises TypeError and ValueError for a bad argument.
    Source: lrp:mnist
    """
    x, ask, first = _question(model, x, target, measure)
    ranks = _ranks(x, scores, order, together, rng)
    flipped = _flipped(x, fill, bounds)
    elements = ranks.size // len(x)
    counts = _counts(elements, steps, fraction)
    m = xp(x)
    ranks = m.asarray(ranks)
    values = [first, *(ask(m.where(ranks < count, flipped, x)) for count in counts[1:])]
    values = np.stack([to_numpy(v) for v in values], axis=1)
    refuse_nonfinite(values, "flipping_curve", " for a flipped x")
    return Curve(counts / elements, values)


def _question(model: Any, x: Any, target: Target, measure: Any) -> tuple[Any, Callable[[Any], Any], Any]:
    """x checked, a function that asks about a variant of x, and its answer for x itself, (N,)."""
    if measure is None:
        return answers(model, x, target, "flipping_curve")
    if target is not None:
        raise ValueError("flipping_curve: give a target or a measure, got both")
    x = checked(x, "flipping_curve")
    refuse_batch_statistics(model, "flipping_curve")

    def ask(variant: Any) -> Any:
        with no_grad():
            return raw(measure(model, variant))

    first = ask(x)
    if getattr(first, "shape", None) != (len(x),):
        raise ValueError(
            f"flipping_curve: measure must return one number for each of the {len(x)} rows, "
            f"got {type(first).__name__} of shape {getattr(first, 'shape', None)}"
        )
    refuse_nonfinite(first, "flipping_curve")
    return x, ask, first


def _ranks(x: Any, scores: Any, order: str, together: Any, rng: Any) -> np.ndarray:
    """The turn of each element, counted from 0 in each row; axes that are flipped together have length 1."""
    if order not in ORDERS:
        raise ValueError(f"flipping_curve: order must be one of {', '.join(ORDERS)}, got {order!r}")
    scores = scores_of(scores, "flipping_curve").astype(np.float64)
    if scores.shape != x.shape:
        raise ValueError(f"flipping_curve: scores must have the shape of x, {x.shape}, got {scores.shape}")
    scores = scores.sum(_axes(x, together), keepdims=True)
    if order == "random":
        scores = generator(rng, "flipping_curve").random(scores.shape)
    flat = scores.reshape(len(x), -1)
    turns = np.argsort(flat if order == "lowest" else -flat, axis=1, kind="stable")
    return np.argsort(turns, axis=1).reshape(scores.shape)  # the inverse permutation


def _axes(x: Any, together: Any) -> tuple[int, ...]:
    """The axes of x whose elements are flipped together."""
    if together is None:
        return (1,) if x.ndim == 4 else ()
    axes = together if isinstance(together, tuple) else (together,)
    if not all(isinstance(a, (int, np.integer)) and -x.ndim < a < x.ndim and a for a in axes):
        raise ValueError(f"flipping_curve: together must be axes of x behind the rows', got {together} for {x.shape}")
    return axes


def _flipped(x: Any, fill: Any, bounds: tuple[float, float]) -> Any:
    """x with everything flipped, in x's type."""
    if isinstance(fill, str):
        if fill != "invert":
            raise ValueError(f'flipping_curve: fill must be a number, an array or "invert", got {fill!r}')
        low, high = bounds
        if (x < low).any() or (x > high).any():
            came = f"{float(x.min()):.4g} to {float(x.max()):.4g}"
            raise ValueError(f"flipping_curve: x must lie within bounds, {low} to {high}, to be inverted, got {came}")
        return float(low) + float(high) - x  # NumPy's own scalars would make float32 float64
    return matched(x, fill, "fill", "flipping_curve")


def _counts(elements: int, steps: int, fraction: float) -> np.ndarray:
    """How many of the elements are flipped at each point of the curve, 0 first."""
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"flipping_curve: steps must be an int of at least 1, got {steps!r}")
    if not 0 < fraction <= 1:
        raise ValueError(f"flipping_curve: fraction must lie in (0, 1], got {fraction!r}")
    last = round(fraction * elements)
    if not last:
        raise ValueError(f"flipping_curve: a fraction of {fraction} flips none of the {elements} elements of a row")
    portions = min(steps, last)
    return np.arange(portions + 1) * last // portions
