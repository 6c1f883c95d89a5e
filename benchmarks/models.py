"""The models that are timed, ours and their copies in the peer with the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import nn


def two_nn(width: int = 200) -> nn.Sequential:
    """The 2NN of federated averaging: 784-200-200-10."""
    return nn.Sequential(
        nn.Dense(784, width, rng=0), nn.ReLU(), nn.Dense(width, width, rng=1), nn.ReLU(), nn.Dense(width, 10, rng=2)
    )


def cnn(channels: tuple[int, int] = (32, 64), hidden: int = 512, pool_first: bool = False) -> nn.Sequential:
    """The MNIST network of federated averaging: two 5 x 5 convolutions with pooling, 1,663,370 parameters.

    pool_first: pool before the ReLU; the function is the same, and the peer's DeepLIFT keeps its own sums there.
    """

    def block(c_in: int, c_out: int, rng: int) -> list:
        tail = [nn.MaxPool2d(2), nn.ReLU()] if pool_first else [nn.ReLU(), nn.MaxPool2d(2)]
        return [nn.Conv2d(c_in, c_out, 5, padding="same", rng=rng), *tail]

    a, b = channels
    return nn.Sequential(
        *block(1, a, 0), *block(a, b, 1),
        nn.Flatten(), nn.Dense(49 * b, hidden, rng=2), nn.ReLU(), nn.Dense(hidden, 10, rng=3),
    )  # fmt: skip


def in_torch(torch: Any, model: nn.Sequential) -> Any:
    """The same network in torch, with the same parameters."""
    layers = []
    for layer in (child for _, child in model.children()):
        kind = type(layer).__name__
        if kind == "Dense":
            twin = torch.nn.Linear(*layer.W.shape)
        elif kind == "Conv2d":
            o, c, kh, kw = layer.W.shape
            twin = torch.nn.Conv2d(c, o, (kh, kw), padding=(kh // 2, kw // 2))
        else:
            twin = {"ReLU": torch.nn.ReLU, "Flatten": torch.nn.Flatten, "MaxPool2d": lambda: torch.nn.MaxPool2d(2)}[kind]()
        if kind in ("Dense", "Conv2d"):
            W = np.asarray(layer.W.data)
            with torch.no_grad():
                twin.weight.copy_(torch.tensor(W.T.copy() if kind == "Dense" else W))
                twin.bias.copy_(torch.tensor(layer.b.data.copy()))
        layers.append(twin)
    return torch.nn.Sequential(*layers)
