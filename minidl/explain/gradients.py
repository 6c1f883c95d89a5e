"""Methods that are the gradient, or the gradient times something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tape import Tensor, grad
from .deeplift import reference_for
from .explanation import Explanation
from .ledger import Ledger
from .target import Target, Traced, trace


def _explain(method: str, traced: Traced, scores: Any) -> Explanation:
    output = traced.output
    ledger = Ledger(output)
    ledger.meet(scores)
    return Explanation(scores, output, method, absorbed=ledger.zero, flow=ledger.flow)


def saliency(model: Callable[[Tensor], Tensor], x: Any, target: Target = None, *, signed: bool = False) -> Explanation:
    """The gradient of the target with respect to x: absolute by default, as in sensitivity maps.

    model, x, target: as for `lrp`. It promises no sum: `expected` and `residual` are None.
    Source: deeplift:saliency
    """
    traced = trace(model, x, target, "saliency")
    g = grad(traced.y, traced.x, upstream=traced.weights)
    return _explain("saliency", traced, g if signed else abs(g))


def gradient_times_input(
    model: Callable[[Tensor], Tensor], x: Any, target: Target = None, *, reference: Any = 0.0
) -> Explanation:
    """The gradient times the difference of x from a reference, zero by default.

    model, x, target: as for `lrp`; reference: as for `deeplift`. On a ReLU network with a zero reference it equals
    LRP's basic rule, with biases too, where the bias absorbs its share; by itself it promises no sum.
    Source: deeplift:gradient-times-input
    """
    traced = trace(model, x, target, "gradient_times_input")
    rest = reference_for(traced.x.data, reference, "gradient_times_input")
    g = grad(traced.y, traced.x, upstream=traced.weights)
    return _explain("gradient_times_input", traced, g * (traced.x.data - rest))
