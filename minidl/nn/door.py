"""What layers refuse at the door: one sentence with the layer's path, what came, what was expected, and the remedy."""

from __future__ import annotations

from math import prod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module


def positive(layer: Module, **sizes: Any) -> None:
    """ValueError unless every size is an int above 0."""
    for name, value in sizes.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{type(layer).__name__}: {name} must be a positive int, got {value!r}")


def probability(layer: Module, p: Any) -> float:
    """p as a float; ValueError unless it lies in [0, 1)."""
    if not isinstance(p, Real) or not 0 <= p < 1:
        raise ValueError(f"{type(layer).__name__}: p, the probability of dropping, must lie in [0, 1), got {p!r}")
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
