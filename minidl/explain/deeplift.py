"""DeepLIFT: multipliers times differences from one reference or several, which sum to the output's difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend import xp
from ..tape import Tensor
from .explanation import Explanation, finish
from .ledger import Ledger, row_sums
from .multipliers import Multipliers
from .rules.nonlinear import NonlinearityRule, rescale
from .table import Table
from .target import Target, Traced, numbers, refuse_nonfinite, trace


def deeplift(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    reference: Any,
    axis: int | None = None,
    rules: Any = None,
    one_hot: int | None = None,
    maxima: str = "secant",
    expand: bool = False,
) -> Explanation:
    """Contributions of every element of x to the target's difference from the reference: scores = y - y0.

    model, x, target, expand: as for `lrp`. reference: a number, or an array that broadcasts to x's shape (one row
    for all, or a row each). axis: where `reference` holds several references, the axis that counts them; without that
    axis it is such an array. They are taken one after the other, so memory does not grow with them, and everything in
    the result is the mean over them. rules: rescale() or reveal_cancel(), or a table of them, for the non-linearities;
    rescale() if not given. Biases get nothing. one_hot: the axis of x along which one-hot letters lie; the result then
    also has `hypothetical`, what each letter would contribute in the place of the one that is there.
    maxima: "secant" shares a maximum's difference among the winners of x and those of the reference, exactly;
    "gradient" sends all to the winners of x, which the text falls back on, and breaks the sum.
    Raises NoRule where an operation has no multiplier rule, TypeError and ValueError for a bad argument.
    Erratum: deeplift, section 3.5.2: printed m = -1 "even though dy/dh = 0"; right: there y = 1 - h, so dy/dh = -1, and
    it is the derivative of h that is 0.
    Source: deeplift:eq1, deeplift:eq3, deeplift:bias, deeplift:target-layer, deeplift:references
    """
    table = Table(rescale() if rules is None else rules, NonlinearityRule, "deeplift")
    if maxima not in ("secant", "gradient"):
        raise ValueError(f'deeplift: maxima must be "secant" or "gradient", got {maxima!r}')
    traced = trace(model, x, target, "deeplift")
    references = references_for(traced.x.data, reference, axis, "deeplift")
    if one_hot is not None:
        one_hot = letters_axis(traced.x.data, one_hot, "one_hot", "deeplift")
    ledger = Ledger(traced.output)
    against = None
    for rest in references:
        one = _against(traced, rest, table, expand, maxima, one_hot, ledger)
        against = one if against is None else against.plus(one)
    mean = against.over(len(references))
    method = "deeplift" if maxima == "secant" else "deeplift (maxima by gradient, which breaks the sum)"
    return finish(
        method, mean.scores, traced.output, ledger,
        expected=traced.output - mean.output, reference_output=mean.output,
        multipliers=mean.multipliers, hypothetical=mean.hypothetical,
    )  # fmt: skip


class _Against(NamedTuple):
    """What is found against one reference, or summed over several."""

    scores: Any
    multipliers: Any
    output: Any
    hypothetical: Any

    def plus(self, other: _Against) -> _Against:
        return _Against(*(None if a is None else a + b for a, b in zip(self, other, strict=True)))

    def over(self, n: int) -> _Against:
        return self if n == 1 else _Against(*(None if a is None else a / n for a in self))


def _against(traced: Traced, rest: Any, table: Table, expand: bool, maxima: str, one_hot: int | None, ledger: Ledger):
    pass_ = Multipliers(traced.y, traced.x, rest, table, expand, maxima)
    refuse_nonfinite(pass_.reference[traced.y], "deeplift", " for the reference")
    m = pass_.walk(traced.weights, ledger)
    multipliers = pass_.of_input(m)
    # one replayed row stands for all: broadcast before the weights of each row pick from it
    output = row_sums(pass_.reference[traced.y] * traced.weights)
    hypothetical = None
    if one_hot is not None:
        hypothetical = multipliers - (multipliers * rest).sum(one_hot, keepdims=True)
    return _Against(pass_.contributions(m, traced.x), multipliers, output, hypothetical)


def letters_axis(x: Any, axis: int, name: str, method: str) -> int:
    """The axis of one-hot letters, from 0; ValueError where x is not one-hot along it. name: the argument's."""
    if not isinstance(axis, (int, np.integer)) or not -x.ndim < axis < x.ndim or axis % x.ndim == 0:
        raise ValueError(f"{method}: {name} must be an axis of x behind the rows', got {axis!r} for shape {x.shape}")
    if not (((x == 0) | (x == 1)).all() and (x.sum(axis) == 1).all()):
        raise ValueError(f"{method}: x is not one-hot along axis {axis}: each place needs a single 1 and else zeros")
    return int(axis) % x.ndim


def references_for(x: Any, reference: Any, axis: int | None, method: str) -> list[Any]:
    """The references, each as `reference_for` gives it: one, or those that lie along the axis."""
    if axis is None:
        return [reference_for(x, reference, method)]
    reference = numbers(x, reference, "reference", method)
    if not isinstance(axis, (int, np.integer)) or not -reference.ndim <= axis < reference.ndim:
        raise ValueError(f"{method}: axis must be an axis of reference, of shape {reference.shape}; got {axis!r}")
    count = reference.shape[axis]
    if not count:
        raise ValueError(f"{method}: there is no reference along axis {axis} of shape {reference.shape}")
    at = (slice(None),) * (int(axis) % reference.ndim)
    return [reference_for(x, reference[(*at, k)], method) for k in range(count)]


def reference_for(x: Any, reference: Any, method: str) -> Any:
    """The reference in x's type: one row (1, ...) where it is the same for all, else x's shape."""
    m, reference = xp(x), numbers(x, reference, "reference", method)
    one = (1, *x.shape[1:])
    same = reference.ndim < x.ndim or reference.shape[0] == 1
    try:
        reference = m.broadcast_to(reference.astype(x.dtype), one if same else x.shape)
    except ValueError:
        raise ValueError(
            f"{method}: reference must be a number or broadcast to the shape of x, {x.shape}; got {reference.shape}"
        ) from None
    if not m.isfinite(reference).all():
        raise ValueError(f"{method}: reference holds NaN or infinite values")
    return reference
