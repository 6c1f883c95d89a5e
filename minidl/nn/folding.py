"""Batch normalisation folded into the linear layer before it: the same function, one layer less to explain."""

from __future__ import annotations

from copy import deepcopy

from .. import backend
from ..tape import Tensor
from .layers import Conv1d, Conv2d, Dense
from .module import Module
from .normalise import BatchNorm1d, BatchNorm2d
from .sequential import Sequential

__all__ = ["fold", "folded"]

PAIRS = ((Dense, BatchNorm1d), (Conv1d, BatchNorm1d), (Conv2d, BatchNorm2d))


def fold(layer: Dense | Conv1d | Conv2d, norm: BatchNorm1d | BatchNorm2d) -> Dense | Conv1d | Conv2d:
    """A new layer that equals norm(layer(x)) with the running statistics: W scaled, b scaled and shifted.

    layer: Dense or Conv1d before BatchNorm1d, Conv2d before BatchNorm2d; neither is changed.
    Raises TypeError for other pairs, ValueError if their widths differ.
    """
    if not foldable(layer, norm):
        raise TypeError(
            "fold takes Dense or Conv1d with BatchNorm1d, or Conv2d with BatchNorm2d, "
            f"got {type(layer).__name__} with {type(norm).__name__}"
        )
    width = layer.n_out if isinstance(layer, Dense) else layer.c_out
    if width != norm.n:
        raise ValueError(f"fold: the layer has {width} outputs, the normalisation {norm.n}")
    scale, shift = (t.data for t in norm.scale_and_shift())
    result, W = deepcopy(layer), layer.W.data
    result.W = W * (scale if isinstance(layer, Dense) else scale.reshape((-1,) + (1,) * (W.ndim - 1)))
    b = shift if layer.b is None else layer.b.data * scale + shift
    result.b, result.bias = Tensor(backend.xp(b).array(b)), True
    return result


def folded(model: Module) -> Module:
    """A copy of the model, in eval mode, without the normalisations that could be folded.

    These are the ones that directly follow a linear layer in a Sequential. The other layers keep their names; the model
    itself is not changed.
    """
    copy = deepcopy(model)
    for module in copy.modules().values():
        if isinstance(module, Sequential):
            before, first = None, ""
            for name, layer in module.children().items():
                if before is not None and foldable(before, layer):
                    before = fold(before, layer)
                    setattr(module, first, before)
                    delattr(module, name)
                else:
                    before, first = layer, name
    return copy.eval()


def foldable(layer: Module, norm: Module) -> bool:
    """Whether the two are a pair that `fold` knows."""
    return any(isinstance(layer, a) and isinstance(norm, b) for a, b in PAIRS)
