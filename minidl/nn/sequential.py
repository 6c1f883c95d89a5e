"""Layers one after the other; three of them in one go where nobody keeps a tape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..ops.convolution import Convolution, padding_of
from ..ops.fast import convolve
from ..tape import STATE, Tensor
from .activations import ReLU
from .layers import Conv2d
from .module import WATCH, Module, join
from .pooling import MaxPool2d

__all__ = ["Sequential"]

TOGETHER = [Conv2d, ReLU, MaxPool2d]


class Sequential(Module):
    """Layers one after the other: Sequential(Dense(4, 3), ReLU()) or Sequential(first=Dense(4, 3), act=ReLU()).

    Children are named "0", "1", ... or by their keywords. The same layer may stand in several places. One Generator is
    passed on to all, in order. `model[0]` and `model.first` are layers, `model[:2]` is a Sequential of the same layers.
    Raises TypeError for what is not a Module, ValueError for a name that would hide a method or holds a dot.
    """

    def __init__(self, *layers: Module, **named: Module):
        if layers and named:
            raise TypeError("Sequential takes layers either by position or by name, got both")
        for name, layer in {**{str(k): layer for k, layer in enumerate(layers)}, **named}.items():
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential: layer {name} must be a Module, got {type(layer).__name__}")
            if hasattr(type(self), name) or "." in name:
                raise ValueError(f"Sequential: a layer cannot be named {name!r}, the name is taken or holds a dot")
            setattr(self, name, layer)

    def forward(self, x, rng=None):
        path = STATE.layer.path if STATE.layer is not None else ""
        names = [name for name, layer in vars(self).items() if isinstance(layer, Module)]
        layers, passed = [vars(self)[name] for name in names], 0
        for k, (name, layer) in enumerate(zip(names, layers)):
            if k < passed:
                continue
            if not STATE.recording and (y := together(layers[k : k + len(TOGETHER)], x)) is not None:
                x, passed = y, k + len(TOGETHER)
            else:
                x = layer.call_as(join(path, name), x, rng, {})
        return x

    def __len__(self) -> int:
        return len(self.children())

    def __iter__(self) -> Iterator[Module]:
        return iter(self.children().values())

    def __getitem__(self, key: int | str | slice) -> Module:
        children = self.children()
        if isinstance(key, str):
            return children[key]
        if not isinstance(key, slice):
            return list(children.values())[key]
        part = dict(list(children.items())[key])
        return Sequential(*part.values()) if all(name.isdigit() for name in part) else Sequential(**part)


def together(layers: Sequence[Module], x: Any) -> Tensor | None:
    """What Conv2d, ReLU and MaxPool2d make of x, bit for bit but block by block in the cache; None for other layers.

    None too where something is out of the ordinary, such as an x that a layer would refuse: it says that best itself.
    """
    if [type(layer) for layer in layers] != TOGETHER or WATCH.calls is not None:
        return None
    conv, _, pool = layers
    data, W, b = (t.data if isinstance(t, Tensor) else t for t in (x, conv.W, conv.b))
    if type(data) is not np.ndarray or data.ndim != 4 or data.dtype != W.dtype or data.shape[1] != conv.c_in:
        return None
    widths = Convolution(conv.stride, padding_of(conv.padding)).widths(data, W)
    size = [(n + sum(w) - k) // s + 1 for n, w, k, s in zip(data.shape[2:], widths, conv.kernel, conv.stride)]
    if pool.size != pool.stride or any(n < k for n, k in zip(size, pool.size)):
        return None
    return Tensor(convolve(data, W, b, conv.stride, widths, pool.size))
