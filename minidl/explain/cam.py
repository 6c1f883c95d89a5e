"""Grad-CAM: which places of a convolutional layer's maps speak for the target; and that times guided backpropagation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor
from typing import Any

from ..backend import xp
from ..nn import Module
from ..ops.rowwise import by_rows
from ..tape import Tape, Tensor, grad
from .explanation import Explanation
from .gradients import guided, rectified, unsummed
from .target import Target, Traced, trace


def grad_cam(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    layer: str | Module,
    relu: bool = True,
) -> Explanation:
    """The layer's maps, weighted by the target's mean gradient on each, added up and brought to the size of x.

    model, x, target: as for `lrp`, x (N, C, H, W) or (N, C, T). layer: its path in the model, or the module itself;
    what it computes last must be maps (N, K, h, w) or (N, K, t). relu: keep only what is positive. The map is enlarged
    linearly and is the same for all channels of x; `class_map` gives it as it is. It promises no sum.
    Raises TypeError for a layer that is neither, ValueError where it was not met or its output holds no maps.
    Erratum: deeplift, section 2.3: printed without a formula, and not whether a ReLU follows; right: it does, in the
    paper cited there.
    Source: deeplift:grad-cam
    """
    traced = trace(model, x, target, "grad_cam")
    small = _class_map(traced, layer, relu, "grad_cam")
    return unsummed("grad_cam", traced, _as_input(small, traced.x.data))


def guided_grad_cam(
    model: Callable[[Tensor], Tensor], x: Any, target: Target = None, *, layer: str | Module
) -> Explanation:
    """Grad-CAM times guided backpropagation, element by element; arguments and errors as for `grad_cam`.

    Source: deeplift:guided-grad-cam
    """
    traced = trace(model, x, target, "guided_grad_cam")
    small = _class_map(traced, layer, True, "guided_grad_cam")
    return unsummed("guided_grad_cam", traced, _as_input(small, traced.x.data) * rectified(traced, guided))


def class_map(
    model: Callable[[Tensor], Tensor], x: Any, target: Target = None, *, layer: str | Module, relu: bool = True
) -> Any:
    """Grad-CAM's map at the layer's own size, (N, h, w) or (N, t); arguments and errors as for `grad_cam`.

    Where the layer's maps go through a global mean and one dense layer it is, without the ReLU, the class activation
    map sum_k W[k, c] A_k, divided by the number of places.
    Source: deeplift:grad-cam
    """
    return _class_map(trace(model, x, target, "class_map"), layer, relu, "class_map")


def _class_map(traced: Traced, layer: str | Module, relu: bool, method: str) -> Any:
    if not isinstance(layer, (str, Module)):
        raise TypeError(f"{method}: layer must be a layer's path in the model, a str, or the module; got {layer!r}")
    tape = Tape(traced.y, [traced.x], "gradient")
    met = [node for node in tape.order if node.op is not None and node in tape.live and node.layer is not None]
    if not any(_holds_maps(node, traced) for node in met):
        raise ValueError(
            f"{method}: needs a layer whose output is maps (N, K, ...), as convolutions make them, over an input of "
            f"shape {traced.x.shape}; this model has none"
        )
    maps = _output_of(layer, met, method)
    a = maps.data
    if not _holds_maps(maps, traced):
        raise ValueError(
            f"{method}: layer {_named(layer)} gives {a.shape}, which are no maps (N, K, ...) over an input of shape "
            f"{traced.x.shape}; choose a convolution or what follows it"
        )
    places = tuple(range(2, a.ndim))
    weight = grad(traced.y, maps, upstream=traced.weights).mean(places, keepdims=True)
    small = by_rows(lambda a, w: (a * w).sum(1), a, weight)
    return xp(small).maximum(small, 0) if relu else small


def _holds_maps(node: Tensor, traced: Traced) -> bool:
    return node.ndim == traced.x.ndim >= 3 and len(node) == len(traced.x)


def _output_of(layer: str | Module, met: Sequence[Tensor], method: str) -> Tensor:
    """The tensor that the layer computed last; met: what layers computed on the way from x, the last first."""
    inside = set(layer.modules().values()) if isinstance(layer, Module) else ()
    for node in met:
        scope = node.layer
        if scope.module in inside or (isinstance(layer, str) and f"{scope.path}.".startswith(f"{layer}.")):
            return node
    there = ", ".join(dict.fromkeys(node.layer.path for node in met if node.layer.path)) or "none"
    raise ValueError(f"{method}: no layer {_named(layer)} was met on the way from x; there are {there}")


def _named(layer: str | Module) -> str:
    return repr(layer) if isinstance(layer, str) else type(layer).__name__


def _as_input(small: Any, x: Any) -> Any:
    """Maps (N, h, w) or (N, t) enlarged to the places of x, the same for each of its channels."""
    for axis, size in enumerate(x.shape[2:], start=1):
        small = enlarge(small, axis, size)
    return xp(x).broadcast_to(small[:, None], x.shape).copy()


def enlarge(a: Any, axis: int, size: int) -> Any:
    """a with `size` elements along an axis, by linear interpolation between the middles of its elements.

    Elements beyond the middles of the first and the last take their values. A smaller size takes single values.
    """
    n = a.shape[axis]
    at = [min(max((k + 0.5) * n / size - 0.5, 0.0), n - 1.0) for k in range(size)]
    low = [min(floor(p), n - 1) for p in at]
    share = xp(a).asarray([p - k for p, k in zip(at, low, strict=True)], a.dtype)
    share = share.reshape((-1,) + (1,) * (a.ndim - axis - 1))
    before = (slice(None),) * axis
    high = [min(k + 1, n - 1) for k in low]
    return a[(*before, low)] * (1 - share) + a[(*before, high)] * share
