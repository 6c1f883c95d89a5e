"""Which number is explained: the model is run on the input, and a target picks one number for each row."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import tape
from ..backend import is_array, to_numpy, xp
from ..nn import BatchNorm1d, BatchNorm2d, Module
from ..ops.elementwise import Sigmoid
from ..ops.families import Move
from ..ops.reduce import Softmax
from ..tape import Tensor
from .ledger import row_sums

Target = Any  # None | int | ints (N,) | output weights (K,) or (N, K) | function of the output


class Traced(NamedTuple):
    """x on the tape, the node to start from, and the weight of each of its numbers in what is explained."""

    x: Tensor
    y: Tensor
    weights: Any

    @property
    def output(self) -> Any:
        """The explained number of each row: (N,)."""
        return row_sums(self.y.data * self.weights)


def trace(model: Callable[[Tensor], Tensor], x: Any, target: Target, method: str) -> Traced:
    """Run the model on x and resolve the target.

    x: a floating-point array with the rows on its first axis. target: a class (int); a class for each row (ints,
    (N,)); output weights (floats, (K,) or (N, K)), for instance for the difference of two classes; a function from
    the output to a tensor (N,); or None where the output has one number a row.
    Weights that are 1 - 1/K at a class and -1/K elsewhere subtract the mean contribution over the classes.
    Raises TypeError or ValueError with what came and what was expected; warns of a softmax or sigmoid output.
    Source: deeplift:eq5
    """
    x = checked(x, method)
    recording, tape.STATE.recording = tape.STATE.recording, True
    try:
        source = Tensor(x)
        y = output_of(model, source, target, method)
    finally:
        tape.STATE.recording = recording
    refuse_nonfinite(y.data, method)
    return Traced(source, y, weights_of(target, y, len(x), method))


def weighted(y: Any, weights: Any) -> Any:
    """The target's number for each row: the sum of the outputs by their weights, (N,)."""
    return row_sums(y * weights)


def answers(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target,
    method: str,
    measure: Callable[[Any, Any], Any] = weighted,
) -> tuple[Any, Callable[[Any], Any], Any]:
    """For methods that ask the model about other inputs: x checked, a function to ask with, and its answer for x, (N,).

    measure(output, weights) makes one number of each row of the output, by the target's weights in the output's shape.
    The function takes (M, ...), M any multiple of the N rows of x: variants of all rows, one set after the other. It
    returns the number for each, (M,), and records nothing. Each row must be answered by itself, so a model that takes
    statistics from the batch is refused. Raises as `trace`.
    """
    x = checked(x, method)
    refuse_batch_statistics(model, method)

    def output(variants: Any) -> Tensor:
        with tape.no_grad():
            return output_of(model, Tensor(variants), target, method)

    y = output(x)
    refuse_nonfinite(y.data, method)
    weights, shape = weights_of(target, y, len(x), method), y.shape[1:]

    def of_each(variants: Any) -> Any:
        y = output(variants).data
        if y.shape != (len(variants), *shape):
            raise ValueError(f"{method}: asked about {len(variants)} rows, the model answers with shape {y.shape}")
        return y

    def ask(variants: Any) -> Any:
        y = in_sets(of_each, variants, len(x), method)
        return measure(y, xp(y).concatenate([weights] * (len(variants) // len(x))))

    return x, ask, measure(y.data, weights)


def in_sets(ask: Callable[[Any], Any], variants: Any, n: int, method: str) -> Any:
    """ask(variants); where it answers about n rows but not about several sets of them at once, the error says so."""
    try:
        return ask(variants)
    except Exception as error:
        if len(variants) == n:
            raise
        for start in range(0, len(variants), n):
            ask(variants[start : start + n])  # raises what has another cause
        raise ValueError(
            f"{method}: asked about {len(variants)} rows, variants of the {n} rows of x, the model or the "
            f"target fails; ask about {n} rows at a time (chunk=1)"
        ) from error


def output_of(model: Callable[[Tensor], Tensor], x: Tensor, target: Target, method: str) -> Tensor:
    """What the model, and after it a target that is a function, make of x."""
    y = model(x)
    if not isinstance(y, Tensor):
        raise TypeError(f"{method}: the model must return a Tensor computed from x, got {type(y).__name__}")
    if not callable(target):  # a function has looked at the output and chooses for itself
        warn_of_saturation(y, method)
    else:
        y = target(y)
        if not isinstance(y, Tensor) or y.shape != (len(x),):
            raise ValueError(
                f"{method}: target must return a tensor of one number for each of the {len(x)} rows, "
                f"got {type(y).__name__} of shape {getattr(y, 'shape', None)}"
            )
    return y


def warn_of_saturation(y: Tensor, method: str) -> None:
    """Warn where what is explained comes out of a softmax or a sigmoid; nothing is known of it without a tape.

    Source: deeplift:target-layer
    """
    while isinstance(y.op, Move):
        y = y.inputs[0]
    if isinstance(y.op, (Sigmoid, Softmax)):
        kind = type(y.op).__name__.lower()
        warnings.warn(
            f"{method}: the model's output is that of a {kind}. It saturates: stronger evidence hardly moves it, so "
            "scores are attenuated and cannot be compared between inputs; explain the logits, the layer before it"
            + (", less their mean over the classes" if kind == "softmax" else ""),
            stacklevel=5,
        )


def refuse_nonfinite(y: Any, method: str, where: str = "") -> None:
    """ValueError if what the model answers holds NaN or infinite values."""
    if not xp(y).isfinite(y).all():
        raise ValueError(f"{method}: the model's output{where} holds NaN or infinite values")


def refuse_batch_statistics(model: Any, method: str) -> None:
    """ValueError if a layer would make each row's answer depend on the rows beside it."""
    for path, layer in (model.modules() if isinstance(model, Module) else {}).items():
        if isinstance(layer, (BatchNorm1d, BatchNorm2d)) and layer.training:
            raise ValueError(
                f"{method}: layer {path} {type(layer).__name__} takes its statistics from the batch, so variants of x "
                "would change each other's answers; call model.eval() first"
            )


def typed_as(x: Any, value: Any) -> Any:
    """A number or numbers, wherever they are, as an array of x's module and type."""
    m, value = xp(x), tape.raw(value)
    return (value if is_array(value) and xp(value) is m else m.asarray(to_numpy(value))).astype(x.dtype)


def numbers(x: Any, value: Any, name: str, method: str) -> Any:
    """A number or numbers as an array; TypeError where there are none. name: the argument's."""
    value = tape.raw(value)
    array = value if is_array(value) else np.asarray(value)
    if array.dtype.kind not in "iufb":
        raise TypeError(f"{method}: {name} must be a number or an array of numbers, got {value!r}")
    return array if is_array(value) else xp(x).asarray(array.astype(np.float64))


def matched(x: Any, value: Any, name: str, method: str) -> Any:
    """A number or array that is to stand in the place of x, in x's type and shape. name: the argument's."""
    m, value = xp(x), typed_as(x, numbers(x, value, name, method))
    try:
        value = m.broadcast_to(value, x.shape)
    except ValueError:
        raise ValueError(
            f"{method}: {name} must be a number or broadcast to the shape of x, {x.shape}; got {value.shape}"
        ) from None
    if not m.isfinite(value).all():
        raise ValueError(f"{method}: {name} holds NaN or infinite values")
    return value


def checked(x: Any, method: str) -> Any:
    """x as an array of finite floating-point numbers with at least one axis."""
    x = tape.raw(x)
    if not is_array(x):
        x = np.asarray(x, np.float64)
    if x.dtype.kind != "f":
        raise TypeError(f"{method}: x must be floating point, got {x.dtype}; convert and scale it, e.g. x / 255.0")
    if x.ndim == 0:
        raise ValueError(f"{method}: x must have its rows on the first axis, got a single number; use x[None]")
    if not len(x):
        raise ValueError(f"{method}: x has no rows, got shape {x.shape}")
    if not xp(x).isfinite(x).all():
        raise ValueError(f"{method}: x holds NaN or infinite values")
    return x


def weights_of(target: Target, y: Tensor, n: int, method: str) -> Any:
    """The weight of each output in what is explained, in y's shape."""
    m, shape = xp(y.data), y.shape
    if not shape or shape[0] != n:
        raise ValueError(f"{method}: the output must have a row for each of the {n} rows of x, got shape {shape}")
    if target is None or callable(target):  # a function has been applied
        if y.size != n:
            raise ValueError(f"{method}: target is missing; the output has shape {shape}, more than one number a row")
        return m.ones_like(y.data)
    if isinstance(target, (int, np.integer)) and not isinstance(target, bool):
        target = m.full(n, int(target))
    elif xp(target) is not m or not is_array(target):  # labels may stay with the data, as in the losses
        target = m.asarray(to_numpy(target))
    if target.dtype.kind not in "iuf":
        raise TypeError(f"{method}: target must be an int, ints (N,), weights or a function, got {target.dtype}")
    if len(shape) != 2:
        raise ValueError(
            f"{method}: an int or weights pick from an output (N, K), but this one has shape {shape}; "
            "pass a function from the output to one number a row, e.g. lambda y: y[:, -1, 3]"
        )
    if target.dtype.kind == "f":
        if target.shape not in (shape, shape[1:]):
            raise ValueError(f"{method}: target weights must have shape {shape[1:]} or {shape}, got {target.shape}")
        if not m.isfinite(target).all():
            raise ValueError(f"{method}: target weights hold NaN or infinite values")
        return m.broadcast_to(target.astype(y.dtype), shape)
    if target.shape != (n,):
        raise ValueError(f"{method}: a target of ints must have shape ({n},), got {target.shape}; weights are floats")
    low, high = int(target.min()), int(target.max())
    if low < 0 or high >= shape[1]:
        raise ValueError(f"{method}: target must lie in 0..{shape[1] - 1}, got {low if low < 0 else high}")
    return (m.arange(shape[1]) == target[:, None]).astype(y.dtype)
