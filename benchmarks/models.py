"""The models that are timed, ours and their copies in the peer with the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import nn


def cnn(channels: tuple[int, int] = (32, 64), hidden: int = 512, average: bool = False) -> nn.Sequential:
    """The MNIST network of federated averaging: two 5 x 5 convolutions with pooling, 1,663,370 parameters.

    average: pool by the mean in place of the largest.
    """

    def block(c_in: int, c_out: int, rng: int) -> list:
        pool = nn.AvgPool2d(2) if average else nn.MaxPool2d(2)
        return [nn.Conv2d(c_in, c_out, 5, padding="same", rng=rng), nn.ReLU(), pool]

    a, b = channels
    return nn.Sequential(
        *block(1, a, 0), *block(a, b, 1),
        nn.Flatten(), nn.Dense(49 * b, hidden, rng=2), nn.ReLU(), nn.Dense(hidden, 10, rng=3),
    )  # fmt: skip


def in_torch(torch: Any, model: nn.Sequential) -> Any:
    """The same network in torch, with the same parameters."""
    layers = []
    for layer in model.children().values():
        kind = type(layer).__name__
        if kind == "Dense":
            twin = torch.nn.Linear(*layer.W.shape)
        elif kind == "Conv2d":
            o, c, kh, kw = layer.W.shape
            twin = torch.nn.Conv2d(c, o, (kh, kw), padding=(kh // 2, kw // 2))
        else:
            sizes = (2,) if "Pool" in kind else ()
            twin = getattr(torch.nn, kind)(*sizes)
        if kind in ("Dense", "Conv2d"):
            W = np.asarray(layer.W.data)
            with torch.no_grad():
                twin.weight.copy_(torch.tensor(W.T.copy() if kind == "Dense" else W))
                twin.bias.copy_(torch.tensor(layer.b.data.copy()))
        layers.append(twin)
    return torch.nn.Sequential(*layers)
