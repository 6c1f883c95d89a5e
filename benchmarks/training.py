"""One training step: forward, loss, backward, plain SGD."""

from __future__ import annotations

import numpy as np

from minidl import losses, optim
from minidl.federated.models import mnist_2nn

from . import models, peers
from .timing import Case


def cases(smoke: bool) -> list[Case]:
    """2NN at three batch sizes and the MNIST network at two."""
    torch = peers.find("torch")
    sizes = [("2NN", 10, 0.75), ("2NN", 50, 1.0), ("2NN", 600, 1.0), ("CNN", 10, 1.5), ("CNN", 50, 1.5)]
    return [_case(torch, name, 2 if smoke else batch, bar, smoke) for name, batch, bar in sizes]


def _case(torch, name, batch, bar, smoke):
    rng = np.random.default_rng(0)
    if name == "2NN":
        model, x = mnist_2nn(), rng.random((batch, 784), dtype=np.float32)
    else:
        model = models.cnn(*((2, 2), 4) if smoke else ((32, 64), 512))
        x = rng.random((batch, 1, 28, 28), dtype=np.float32)
    labels = rng.integers(0, 10, batch)
    optimiser = optim.SGD(model.parameters(), lr=0.01)

    def ours():
        optimiser.zero_grad()
        loss = losses.cross_entropy(model(x), labels)
        loss.backward()
        optimiser.step()
        return loss.item()

    return Case(f"{name} step, B = {batch}", bar, ours, _peer(torch, model, x, labels))


def _peer(torch, model, x, labels):
    if torch is None:
        return {}
    twin = models.in_torch(torch, model)
    optimiser = torch.optim.SGD(twin.parameters(), lr=0.01)
    x, labels = torch.tensor(x), torch.tensor(labels)

    def step():
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(x), labels)
        loss.backward()
        optimiser.step()
        return loss.item()

    return peers.with_threads(torch, step)
