"""Taylor decomposition: the first-order terms of f around a root near x, and two ways to find roots."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from ..backend import is_array, xp
from ..ops import reshape
from ..ops.signals import ratio
from ..tape import Tensor, grad, raw
from .explanation import Explanation, finish
from .ledger import Ledger, row_sums
from .target import Target, answers, trace

METHOD = "taylor_decomposition"
NUMBERS = 1 << 20  # of the points in one call of the model
ROUNDINGS = 16  # of a point, within which nothing is told apart
HALVINGS = 60  # of a segment: less is left of it than the rounding of its ends


def taylor_decomposition(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    roots: Any,
    keep: int | None = None,
) -> Explanation:
    """First-order terms (x - x0) df/dx(x0) of the target f around a root x0, f(x0) = 0, close to x.

    model, x, target: as for `lrp`; f is the target's number for each row, and must depend on that row alone. roots: one
    point for each row (N, ...), several sets of them (R, N, ...), or what finds them: `bisection` or `nearest_root`.
    Everything in the result is the mean over a row's roots, or over the `keep` of them with the smallest |residuum|.
    The scores sum to f(x) - f(x0), output - reference_output, up to the residual, the Taylor residuum of eq 17. Points
    that are no roots are allowed; reference_output shows how far off they are. Sets are taken one after the other, so
    memory does not grow with them.
    Raises TypeError and ValueError for a bad argument, and what the finder raises.
    Erratum: lrp, eq 53: printed for a vector-valued f; right: R_d is for one output, a number.
    Source: lrp:eq17, lrp:eq18, lrp:eq53
    """
    f = Decision(model, x, target)
    keep = None if keep is None else positive(keep, f"{METHOD}: keep")
    ledger, kept = Ledger(f.output), []
    for points, found in roots(f) if callable(roots) else given(f, roots):
        kept = added(kept, expanded(f, points, found, ledger), keep)
    mean = reduce(Expansion.plus, kept).mean()
    return finish(METHOD, mean.scores, f.output, ledger, f.output - mean.output, mean.output)


def above_half(k: int | None = None) -> Callable[[Tensor], Tensor]:
    """A target: the k-th probability of each row less 0.5, so that a root is a point of maximal uncertainty.

    For models that end in probabilities (N, K), by sigmoid or softmax. k: None where there is one number a row.
    Source: lrp:probability-offset
    """
    return lambda y: (reshape(y, (-1,)) if k is None else y[:, k]) - 0.5


class Decision:
    """f, the explained number of each row, as a function of the input. Root finders are called with it.

    A finder yields sets of roots: points, one for each row, in x's shape, and which rows have one, booleans (N,).
    """

    def __init__(self, model: Callable[[Tensor], Tensor], x: Any, target: Target):
        """x: (N, ...), as an array; output: f(x), (N,)."""
        self.model, self.target = model, target
        self.x, self.ask, self.output = answers(model, x, target, METHOD)

    def __call__(self, points: Any) -> Any:
        """f at one point for each row, or at sets of them: (..., N, ...) to (..., N)."""
        sets = points.shape[: points.ndim - self.x.ndim]
        return self.ask(points.reshape(-1, *self.x.shape[1:])).reshape(*sets, len(self.x))

    def slope(self, points: Any) -> tuple[Any, Any]:
        """f and df/dx at one point for each row: (N,), (N, ...)."""
        traced = trace(self.model, points, self.target, METHOD)
        return traced.output, grad(traced.y, traced.x, upstream=traced.weights)


class Expansion(NamedTuple):
    """First-order terms around a root of each row, f(x0), |residuum| and the number of roots: 1, 0, or a sum's."""

    scores: Any
    output: Any
    residuum: Any
    count: Any

    def plus(self, other: Expansion) -> Expansion:
        return Expansion(*(a + b for a, b in zip(self, other)))

    def mean(self) -> Expansion:
        return Expansion(*(a / by_row(self.count, a) for a in self))

    def where(self, rows: Any, other: Expansion) -> Expansion:
        """This one's numbers in some rows, (N,) booleans, the other's elsewhere."""
        return Expansion(*(xp(a).where(by_row(rows, a), a, b) for a, b in zip(self, other)))


def expanded(f: Decision, points: Any, found: Any, ledger: Ledger) -> Expansion:
    """Each row's expansion around its point; rows that have none count 0 and rank last."""
    output, slope = f.slope(points)
    scores, one = (f.x - points) * slope, output * 0 + 1
    ledger.meet(slope, f.x, points, size=lambda g, x, x0: abs(g) * (abs(x) + abs(x0)))
    expansion = Expansion(scores, output, abs(f.output - output - row_sums(scores)), one)
    return expansion.where(found, Expansion(scores * 0, one * 0, one * np.inf, one * 0))


def added(kept: list[Expansion], new: Expansion, keep: int | None) -> list[Expansion]:
    """The expansions kept so far and a new one: in one sum, or the best `keep` of each row, the best first."""
    if keep is None:
        return [reduce(Expansion.plus, kept, new)]
    for k, old in enumerate(kept):
        better = new.residuum < old.residuum
        kept[k], new = new.where(better, old), old.where(better, new)
    return [*kept, new][:keep]


def given(f: Decision, roots: Any) -> Iterable[tuple[Any, Any]]:
    """Points that are at hand, as a finder would yield them."""
    points, shape = points_like(f.x, roots, f"{METHOD}: roots"), f.x.shape
    sets = points[None] if points.shape == shape else points
    if sets.shape[1:] != shape or not len(sets):
        raise ValueError(
            f"{METHOD}: roots must be points of shape {shape}, or sets of them (R, {str(shape)[1:]}, or a finder such "
            f"as bisection(candidates); got shape {points.shape}"
        )
    return ((one, xp(one).ones(len(one), bool)) for one in sets)


# ---- roots on the way to other points -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Bisection:
    """The finder that `bisection` makes."""

    candidates: Any
    steps: int
    chunk: int | None

    def __call__(self, f: Decision) -> Iterable[tuple[Any, Any]]:
        m, candidates = xp(f.x), points_like(f.x, self.candidates, "bisection: candidates")
        shape = f.x.shape[1:]
        if candidates.shape[1:] != shape or not len(candidates):
            raise ValueError(
                f"bisection: candidates must be points like the rows of x, of shape {('M', *shape)}, "
                f"got {candidates.shape}"
            )
        size = max(1, NUMBERS // f.x.size) if self.chunk is None else self.chunk
        blocks = [candidates[i : i + size, None] for i in range(0, len(candidates), size)]  # (M, 1, ...)
        ends = [m.broadcast_to(block, (len(block), *f.x.shape)) for block in blocks]
        across = [opposite(f(end), f.output) for end in ends]
        refuse(
            ~m.concatenate(across).any(0),
            "bisection",
            "have no candidate with a prediction of the other sign; pass candidates that the model decides otherwise",
        )
        for end, found in zip(ends, across):
            yield from zip(bisected(f, f.x, end, self.steps), found)


def bisection(candidates: Any, steps: int = HALVINGS, *, chunk: int | None = None) -> Bisection:
    """Roots on the segments from each row to those candidates where f has the other sign, by halving the segments.

    candidates: (M, ...), for example other data. A row gets a root from every candidate of the other sign; one that is
    a root itself, f(x) = 0, is its own. The root is as good as the rounding of points on the segment lets it be. Costs
    `steps` answers of the model for each pair of a row and a candidate. chunk: with how many candidates all rows are
    taken at once; if not given, so many that these pairs hold about a million numbers, but one at least.
    Raises ValueError for steps or chunk below 1; when it is used, for candidates of another shape, and for rows without
    any candidate of the other sign.
    Erratum: lrp, text before figure 3: printed that roots are found by "interval intersection"; right: by bisection.
    Source: lrp:eq18
    """
    chunk = None if chunk is None else positive(chunk, "bisection: chunk")
    return Bisection(candidates, positive(steps, "bisection: steps"), chunk)


def bisected(f: Decision, start: Any, end: Any, steps: int) -> Any:
    """A root between start and end, where f has other signs, for each row, or for sets of them: end's shape.

    Of the last two points, one on either side, the one with the smaller |f|; start, if it is a root.
    """
    m = xp(end)
    at_low, at_high = f(start), f(end)
    sign = m.sign(at_low)
    low, high = m.zeros(at_high.shape, end.dtype), m.ones(at_high.shape, end.dtype)
    for _ in range(steps):
        middle = (low + high) / 2
        if ((middle == low) | (middle == high)).all():  # no number lies between
            break
        at = f(between(start, end, middle))
        same = m.sign(at) * sign > 0
        low, at_low = m.where(same, middle, low), m.where(same, at, at_low)
        high, at_high = m.where(same, high, middle), m.where(same, at_high, at)
    return between(start, end, m.where(abs(at_low) <= abs(at_high), low, high))


def between(start: Any, end: Any, a: Any) -> Any:
    """The points (1 - a) start + a end; exactly the ends at 0 and 1."""
    a = by_row(a, end)
    return (1 - a) * start + a * end


# ---- the root next to x -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NearestRoot:
    """The finder that `nearest_root` makes."""

    steps: int
    tolerance: float | None

    def __call__(self, f: Decision) -> Iterable[tuple[Any, Any]]:
        eps = float(xp(f.x).finfo(f.x.dtype).eps)
        tolerance = eps ** (1 / 3) if self.tolerance is None else self.tolerance
        end, crossed = beyond(f, self.steps)
        refuse(
            ~crossed,
            "nearest_root",
            f"have no point with a prediction of the other sign within {self.steps} steps down the gradient; "
            "allow more steps, or pass such points to bisection(candidates)",
        )
        for _ in range(self.steps):
            root = bisected(f, f.x, end, HALVINGS)
            end, moved = turned(f, root)
            moving = moved > tolerance * norm(root - f.x) + ROUNDINGS * eps * norm(f.x)
            if not moving.any():
                break
        refuse(
            moving,
            "nearest_root",
            f"still came closer to x after {self.steps} steps; allow more steps or a larger tolerance",
        )
        yield root, crossed


def nearest_root(steps: int = 50, tolerance: float | None = None) -> NearestRoot:
    """The root next to x, at which the way from x stands upright on the boundary: found step by step, so it is local.

    First the gradient leads across the boundary. Then, over and over, bisection finds the root on the way there, and
    the way turns towards the gradient at it, which is where the foot of the perpendicular from x on the boundary's
    tangent lies; it turns only so far that the root on the new way is closer. On a linear f the first root is the
    orthogonal projection. A nearer root may lie elsewhere; at a corner, as ReLU networks have them, the search ends
    where no turn towards the gradient leads closer.
    steps: at most so many to cross the boundary, and so many turns; each costs a gradient and about 60 answers of the
    model. tolerance: in radians, the turn with which a row is done; if not given the cube root of the type's rounding,
    6e-6 in float64. The distance from x errs by its square.
    Raises ValueError for steps below 1 or a tolerance not above 0; when it is used, for rows that are not done.
    Source: lrp:eq18
    """
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"nearest_root: tolerance must be an angle above 0 or None, got {tolerance!r}")
    return NearestRoot(positive(steps, "nearest_root: steps"), tolerance)


def beyond(f: Decision, steps: int) -> tuple[Any, Any]:
    """A point for each row where f has not x's sign, and where one was found, (N,): down |f|, along its gradient.

    A step goes twice as far as to where f would be 0 if it were linear, but some roundings at least; or half, a
    quarter, ... of that, so that |f| falls or its sign changes.
    """
    m, point, least = xp(f.x), f.x, ROUNDINGS * float(xp(f.x).finfo(f.x.dtype).eps) * norm(f.x)
    for _ in range(steps):
        value, slope = f.slope(point)
        crossed = opposite(value, f.output)
        if crossed.all():
            break
        off, _ = ratio(value * ~crossed, row_sums(slope * slope))
        step = by_row(off, slope) * slope
        part = m.maximum(ratio(least, norm(step))[0], 2)
        for _ in range(HALVINGS):
            there = f(point - by_row(part, step) * step)
            down = crossed | (abs(there) < abs(value)) | opposite(there, value)
            if down.all():
                break
            part = m.where(down, part, part / 2)
        point = point - by_row(part, step) * step
    return point, opposite(f(point), f.output)


def turned(f: Decision, root: Any) -> tuple[Any, Any]:
    """The end of a shorter way from x across the boundary, turned towards the gradient at the root, and the arc, (N,).

    All of the turn is tried, then half of it, a quarter, ..., until the way is shorter by half of what a flat boundary
    would make it: from d to d cos(angle). Where none is, the root stays the end, and the arc is 0.
    """
    m, x = xp(f.x), f.x
    d, way = norm(root - x), unit(root - x)
    upright = unit(f.slope(root)[1]) * by_row(-m.sign(f.output), x)
    gain = row_sums((upright - way) ** 2) / 2  # 1 - cos(angle), without cancellation
    part = d * 0 + 1
    for _ in range(HALVINGS):
        new = unit(way + by_row(part, x) * (upright - way))
        end = x + by_row(d * (1 - part * gain / 2), x) * new
        shorter = opposite(f(end), f.output)
        if shorter.all():
            break
        part = m.where(shorter, part, part / 2)
    return m.where(by_row(shorter, x), end, root), d * norm(new - way) * shorter


# ---- arrays -------------------------------------------------------------------------------------------------------


def opposite(a: Any, b: Any) -> Any:
    """Where two numbers have opposite signs, or one of them is 0."""
    m = xp(a)
    return m.sign(a) * m.sign(b) <= 0


def norm(a: Any) -> Any:
    """The Euclidean length of each row."""
    return row_sums(a * a) ** 0.5


def unit(a: Any) -> Any:
    """Each row divided by its length; 0 stays 0."""
    length = norm(a)
    return a * by_row(ratio(length * 0 + 1, length)[0], a)


def by_row(a: Any, like: Any) -> Any:
    """A number for each row, (N,), or for sets of rows, (..., N), in a shape that broadcasts against like's."""
    return a.reshape(a.shape + (1,) * (like.ndim - a.ndim))


def points_like(x: Any, points: Any, name: str) -> Any:
    """Points as an array of x's type; ValueError if some are not finite."""
    points = raw(points)
    points = (points if is_array(points) else xp(x).asarray(np.asarray(points, np.float64))).astype(x.dtype)
    if not xp(points).isfinite(points).all():
        raise ValueError(f"{name} hold NaN or infinite values")
    return points


def positive(value: Any, name: str) -> int:
    """The value as an int; ValueError unless it is one above 0."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive int, got {value!r}")
    return int(value)


def refuse(rows: Any, finder: str, sentence: str) -> None:
    """ValueError that counts the rows for which a sentence is true, if there are any."""
    count = int(rows.sum())
    if count:
        raise ValueError(f"{finder}: {count} of the {len(rows)} rows {sentence}")
