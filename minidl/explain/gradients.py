"""Methods that are the gradient, the gradient that rectifiers treat otherwise, or either times the input.

None of them promises a sum. Their reference matters only where they are multiplied by the input's difference from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops.elementwise import Relu
from ..tape import Tape, Tensor, grad, gradient_on_arrays
from .deeplift import reference_for
from .explanation import Explanation
from .ledger import Ledger
from .target import Target, Traced, trace


def unsummed(method: str, traced: Traced, scores: Any) -> Explanation:
    """The explanation of a method that promises no sum."""
    ledger = Ledger(traced.output)
    ledger.meet(scores)
    return Explanation(scores, traced.output, method, absorbed=ledger.zero, flow=ledger.flow)


def saliency(model: Callable[[Tensor], Tensor], x: Any, target: Target = None, *, signed: bool = False) -> Explanation:
    """The gradient of the target with respect to x: absolute by default, as in sensitivity maps.

    model, x, target: as for `lrp`. It promises no sum: `expected` and `residual` are None.
    Source: deeplift:saliency
    """
    traced = trace(model, x, target, "saliency")
    g = grad(traced.y, traced.x, upstream=traced.weights)
    return unsummed("saliency", traced, g if signed else abs(g))


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
    return unsummed("gradient_times_input", traced, g * (traced.x.data - rest))


def deconvnet(model: Callable[[Tensor], Tensor], x: Any, target: Target = None) -> Explanation:
    """The gradient, but a ReLU passes what is positive in the signal from above, whatever its own input was.

    model, x, target: as for `lrp`. Other operations send the gradient. Signals that meet are added before they reach
    the ReLU. It promises no sum, and what speaks against the target may be missing.
    Source: deeplift:deconvnet
    """
    traced = trace(model, x, target, "deconvnet")
    return unsummed("deconvnet", traced, rectified(traced, lambda g, h: g * (g > 0)))


def guided_backprop(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    times_input: bool = False,
    reference: Any = 0.0,
) -> Explanation:
    """The gradient, but a ReLU passes only what is positive in the signal from above, and where its own input was too.

    model, x, target: as for `lrp`. Other operations send the gradient. times_input: multiply by the difference of x
    from the reference (as for `deeplift`), which the text found better on DNA. It promises no sum.
    Source: deeplift:guided-backprop
    """
    method = "guided_backprop times input" if times_input else "guided_backprop"
    traced = trace(model, x, target, method)
    g = rectified(traced, guided)
    if times_input:
        g = g * (traced.x.data - reference_for(traced.x.data, reference, method))
    return unsummed(method, traced, g)


def guided(g: Any, h: Any) -> Any:
    """What a ReLU passes of the signal g in guided backpropagation; h: its input."""
    return g * (g > 0) * (h > 0)


def rectified(traced: Traced, rule: Callable[[Any, Any], Any]) -> Any:
    """The signal that arrives at x when ReLUs follow the rule, a function of the signal g and of the ReLU's input h."""

    def backward(node, g):
        if isinstance(node.op, Relu):
            return (rule(g, node.inputs[0].data),)
        return gradient_on_arrays(node, g)

    x = traced.x
    arrived = Tape(traced.y, [x], "gradient").walk(traced.weights, backward)
    return arrived[x] if x in arrived else x.data * 0
