"""Which number is explained: the model is run on the input, and a target picks one number for each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import tape
from ..backend import is_array, xp
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
    Raises TypeError or ValueError with what came and what was expected.
    Source: deeplift:eq5
    """
    x = checked(x, method)
    recording, tape.STATE.recording = tape.STATE.recording, True
    try:
        source = Tensor(x)
        y = model(source)
        if not isinstance(y, Tensor):
            raise TypeError(f"{method}: the model must return a Tensor computed from x, got {type(y).__name__}")
        if callable(target):
            y = target(y)
            if not isinstance(y, Tensor) or y.shape != (len(x),):
                raise ValueError(
                    f"{method}: target must return a tensor of one number for each of the {len(x)} rows, "
                    f"got {type(y).__name__} of shape {getattr(y, 'shape', None)}"
                )
            target = None
    finally:
        tape.STATE.recording = recording
    if not xp(y.data).isfinite(y.data).all():
        raise ValueError(f"{method}: the model's output holds NaN or infinite values")
    return Traced(source, y, weights_of(target, y, len(x), method))


def answers(model: Callable[[Tensor], Tensor], x: Any, target: Target, method: str) -> tuple[Any, Callable, Any]:
    """For methods that ask the model about other inputs: x checked, a function to ask with, and its answer for x, (N,).

    The function takes (M, ...), M any multiple of the N rows of x: variants of all rows, one set after the other. It
    returns the target's number for each, (M,), and records nothing. Raises as `trace`.
    """
    x = checked(x, method)
    with tape.no_grad():
        y = model(Tensor(x))
    if not isinstance(y, Tensor):
        raise TypeError(f"{method}: the model must return a Tensor computed from x, got {type(y).__name__}")
    if not callable(target):
        weights = weights_of(target, y, len(x), method)

    def ask(variants: Any) -> Any:
        with tape.no_grad():
            y = model(Tensor(variants))
            if callable(target):
                return tape.raw(target(y))
        times = len(variants) // len(x)
        w = weights if times == 1 else xp(weights).concatenate([weights] * times)
        return row_sums(y.data * w)

    return x, ask, own_answer(ask(x), x, method)


def own_answer(y: Any, x: Any, method: str) -> Any:
    """The answers for x themselves, refused where they are not one finite number a row."""
    if y.shape != (len(x),):
        raise ValueError(f"{method}: target must return one number for each of the {len(x)} rows, got shape {y.shape}")
    if not xp(y).isfinite(y).all():
        raise ValueError(f"{method}: the model's output holds NaN or infinite values")
    return y


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
    if target is None:
        if y.size != n:
            raise ValueError(f"{method}: target is missing; the output has shape {shape}, more than one number a row")
        return m.ones_like(y.data)
    if isinstance(target, (int, np.integer)) and not isinstance(target, bool):
        target = m.full(n, int(target))
    elif not is_array(target):
        target = m.asarray(np.asarray(target))
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
