"""Integrated gradients: the mean gradient on the way from a reference to x, times the difference between the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import xp
from ..tape import Tensor, grad
from .deeplift import references_for
from .explanation import Explanation, finish
from .ledger import Ledger
from .perturbation import chunk_for
from .target import Target, answers, in_sets, refuse_nonfinite, trace

METHOD = "integrated_gradients"
ROWS = 100  # rows in one call of the model, where x has fewer: what keeps two processors busy and memory small


def integrated_gradients(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    reference: Any,
    axis: int | None = None,
    steps: int = 50,
    chunk: int | None = None,
) -> Explanation:
    """(x - x0) times the gradient's mean on the straight way from x0 to x, by the midpoint rule on `steps` pieces.

    model, x, target: as for `lrp`; reference, axis: as for `deeplift`, a mean over several. steps: intervals of the
    rule; the scores sum to y - y0 up to the residual, which falls as 1 / steps on ReLU networks and as 1 / steps^2 on
    smooth ones. Each step costs a gradient; memory does not grow with them. chunk: how many steps the model is asked
    about at once, on chunk * N rows; if not given, so many that these are about 100, but one at least.
    Raises ValueError for steps below 1 and as `deeplift`.
    Source: deeplift:integrated-gradients
    """
    if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"{METHOD}: steps must be an int of at least 1, got {steps!r}")
    x, ask, output = answers(model, x, target, METHOD)
    at_once = max(1, ROWS // len(x)) if chunk is None else chunk_for(x, chunk, METHOD)
    references = references_for(x, reference, axis, METHOD)
    ledger = Ledger(output)
    scores, rest_output = x * 0, output * 0
    for rest in references:
        output_there = ask(xp(x).broadcast_to(rest, x.shape))
        refuse_nonfinite(output_there, METHOD, " for the reference")
        part = (x - rest) * _mean_gradient(model, x, target, rest, int(steps), at_once)
        ledger.meet(part)
        scores = scores + part
        rest_output = rest_output + output_there
    scores, rest_output = scores / len(references), rest_output / len(references)
    return finish(METHOD, scores, output, ledger, expected=output - rest_output, reference_output=rest_output)


def _mean_gradient(model: Callable, x: Any, target: Target, rest: Any, steps: int, at_once: int) -> Any:
    """The mean of the gradients at the middles of the pieces, so many of them in one call."""
    m, n, total = xp(x), len(x), 0
    for start in range(0, steps, at_once):
        shares = [(k + 0.5) / steps for k in range(start, min(start + at_once, steps))]
        points = m.concatenate([rest + share * (x - rest) for share in shares])
        traced = in_sets(lambda p: trace(model, p, repeated(target, len(p) // n, n), METHOD), points, n, METHOD)
        g = grad(traced.y, traced.x, upstream=traced.weights)
        total = total + g.reshape(len(shares), n, *x.shape[1:]).sum(0)
    return total / steps


def repeated(target: Target, times: int, n: int) -> Target:
    """The target for `times` sets of n rows: what holds a number for each row is repeated."""
    if times == 1 or callable(target) or target is None or isinstance(target, (int, np.integer)):
        return target
    array = target if hasattr(target, "dtype") else np.asarray(target)
    by_row = array.ndim == 2 or array.dtype.kind in "iu"
    return xp(array).concatenate([array] * times) if by_row and len(array) == n else target
