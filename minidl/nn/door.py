"""What layers refuse at the door: one sentence with the layer's path, what came, what was expected, and the remedy."""

from __future__ import annotations

from math import prod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..tape import Tensor

if TYPE_CHECKING:
    from .module import Module


def positive(layer: Module, **sizes: Any) -> None:
    """ValueError unless every size is an int above 0."""
    for name, value in sizes.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{type(layer).__name__}: {name} must be a positive int, got {value!r}")


def probability(layer: Module, p: Any, name: str = "p") -> float:
    """p as a float; ValueError unless it lies in [0, 1)."""
    if not isinstance(p, Real) or not 0 <= p < 1:
        raise ValueError(f"{type(layer).__name__}: {name}, the probability of dropping, must lie in [0, 1), got {p!r}")
    return float(p)


def floating(layer: Module, x: Any, noun: str = "data") -> None:
    """TypeError unless x holds floating-point numbers."""
    if x.dtype.kind != "f":
        example = "x.astype('float32') / 255" if x.dtype.kind == "u" or noun == "images" else "x.astype('float32')"
        verb = "scale" if "255" in example else "convert"
        raise TypeError(f"{layer.where()} expects floating-point {noun}, got {x.dtype}; {verb} them: {example}")


def images(layer: Module, x: Any, channels: int | None = None) -> None:
    """TypeError or ValueError unless x is (N, C, H, W), with C = channels if that is given."""
    floating(layer, x, "images")
    if x.ndim != 4:
        remedy = ""
        if x.ndim == 2:
            remedy = "; a single image needs x[None, None]"
        elif x.ndim == 3:
            single = channels is not None and channels > 1 and x.shape[0] == channels
            remedy = "; a single image needs x[None]" if single else "; images of one channel need x[:, None]"
        raise ValueError(f"{layer.where()} expects (N, C, H, W), got {x.shape}{remedy}")
    if channels is not None and x.shape[1] != channels:
        last = "; channels stand second: x.transpose(0, 3, 1, 2)" if x.shape[3] == channels else ""
        raise ValueError(f"{layer.where()} expects (N, {channels}, H, W), got {x.shape}{last}")


def sequences(layer: Module, x: Any, channels: int) -> None:
    """TypeError or ValueError unless x is (N, channels, T)."""
    floating(layer, x)
    if x.ndim != 3:
        remedy = "; a single sequence needs x[None]" if x.ndim == 2 else ""
        raise ValueError(f"{layer.where()} expects (N, C, T), got {x.shape}{remedy}")
    if x.shape[1] != channels:
        last = "; channels stand second: x.transpose(0, 2, 1)" if x.shape[2] == channels else ""
        raise ValueError(f"{layer.where()} expects (N, {channels}, T), got {x.shape}{last}")


def steps(layer: Module, x: Any, width: int) -> None:
    """TypeError or ValueError unless x is (N, T, width) with at least one step."""
    floating(layer, x)
    if x.ndim != 3:
        remedy = "; a single sequence needs x[None]" if x.ndim == 2 else ""
        raise ValueError(f"{layer.where()} expects (N, T, {width}), got {x.shape}{remedy}")
    if x.shape[2] != width:
        last = "; features stand last: x.transpose(0, 2, 1)" if x.shape[1] == width else ""
        raise ValueError(f"{layer.where()} expects (N, T, {width}), got {x.shape}{last}")
    if x.shape[1] == 0:
        raise ValueError(f"{layer.where()} expects sequences of at least one step, got {x.shape}")


def lengths(layer: Module, values: Any, n: int, steps: int) -> np.ndarray:
    """The lengths of n sequences as integers; TypeError or ValueError unless they lie in 1..steps."""
    values = backend.to_numpy(values) if backend.is_array(values) else np.asarray(values)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{layer.where()} expects integer lengths, got {values.dtype}")
    if values.shape != (n,):
        raise ValueError(f"{layer.where()} expects lengths of shape ({n},), one for each sequence, got {values.shape}")
    if n and not 1 <= values.min() <= values.max() <= steps:
        raise ValueError(
            f"{layer.where()} expects lengths in 1..{steps}, the steps of the batch, got {values.min()}..{values.max()}"
        )
    return values


def state(layer: Module, value: Any, shape: tuple[int, int], parts: int) -> None:
    """TypeError or ValueError unless the state is an array or a tensor of that shape, or a pair where there are two."""
    each = value if parts > 1 and isinstance(value, (tuple, list)) else (value,)
    expected = f"{shape}" if parts == 1 else f"(h, c), each {shape}"
    if not all(isinstance(s, Tensor) or backend.is_array(s) for s in each):
        named = "; a generator goes by its name: layer(x, rng=rng)" if isinstance(value, np.random.Generator) else ""
        raise TypeError(f"{layer.where()} expects a state {expected}, got {type(value).__name__}{named}")
    if len(each) != parts or any(s.shape != shape for s in each):
        came = ", ".join(str(s.shape) for s in each)
        raise ValueError(f"{layer.where()} expects a state {expected}, got {came}")


def fits(layer: Module, size: tuple[int, ...], kernel: tuple[int, ...]) -> None:
    """ValueError unless the kernel fits the (padded) size."""
    if any(n < k for n, k in zip(size, kernel, strict=True)):
        raise ValueError(
            f"{layer.where()} has a window of {kernel}, which does not fit an input of {size}; "
            "use a smaller window, more padding, or fewer layers that shrink"
        )


def rows(layer: Module, x: Any, width: int) -> None:
    """TypeError or ValueError unless x is (..., width) with at least two axes."""
    floating(layer, x)
    if x.ndim < 2:
        raise ValueError(f"{layer.where()} expects (N, {width}), got {x.shape}; a single row needs x[None]")
    if x.shape[-1] != width:
        flat = "; put Flatten() before it" if x.ndim > 2 and prod(x.shape[1:]) == width else ""
        raise ValueError(f"{layer.where()} expects (..., {width}), got {x.shape}{flat}")


def variance(layer: Module, alpha: Any) -> float:
    """alpha as a float; ValueError unless it is a finite number above 0."""
    if not isinstance(alpha, Real) or not 0 < alpha < float("inf"):
        name = type(layer).__name__
        raise ValueError(f"{name}: alpha, the variance of the noise, must be a finite number above 0, got {alpha!r}")
    return float(alpha)
