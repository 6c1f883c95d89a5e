"""One network twice, ours and torch's, for tests that compare the two."""

import numpy as np
import pytest

from minidl import nn


def networks(pool):
    """A small convolutional network, the same in torch, images, one reference and classes; float64.

    pool: with average pooling in between.
    """
    torch = pytest.importorskip("torch")
    ours = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, rng=0, dtype="float64"), nn.ReLU(), *([nn.AvgPool2d(2)] if pool else []),
        nn.Conv2d(4, 3, 3, stride=2, rng=1, dtype="float64"), nn.Tanh(), nn.Flatten(),
        nn.Dense(3 * (1 if pool else 9), 5, rng=2, dtype="float64"), nn.ReLU(), nn.Dense(5, 3, rng=3, dtype="float64"),
    )  # fmt: skip
    rng = np.random.default_rng(5)
    for p in ours.parameters().values():
        p.data += 0.1 * rng.normal(size=p.shape)
    layers = []
    for layer in ours:
        if isinstance(layer, nn.Conv2d):
            padding = layer.padding if isinstance(layer.padding, int) else 0
            twin = torch.nn.Conv2d(layer.c_in, layer.c_out, layer.kernel, layer.stride, padding)
        elif isinstance(layer, nn.Dense):
            twin = torch.nn.Linear(layer.n_in, layer.n_out)
        else:
            twin = getattr(torch.nn, type(layer).__name__)(*([2] if isinstance(layer, nn.AvgPool2d) else []))
        if hasattr(twin, "weight"):
            W = layer.W.data.T if isinstance(layer, nn.Dense) else layer.W.data
            twin.weight.data, twin.bias.data = torch.tensor(W.copy()), torch.tensor(layer.b.data.copy())
        layers.append(twin)
    theirs = torch.nn.Sequential(*layers).double()
    x = rng.normal(size=(4, 2, 7, 7))
    np.testing.assert_allclose(ours(x).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-12)
    return ours, theirs, x, rng.normal(size=(1, 2, 7, 7)), rng.integers(0, 3, 4)
