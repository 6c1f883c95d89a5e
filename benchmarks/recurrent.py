"""One training step of a character model: embedding of 8, two LSTMs of 256 units, 80 steps, plain SGD."""

from __future__ import annotations

import numpy as np

from minidl import losses, nn, optim

from . import peers
from .timing import Case

BAR = 1.5
CHARACTERS, DIM = 86, 8


def cases(smoke: bool) -> list[Case]:
    """Batches of 10 and of 50 sequences."""
    torch = peers.find("torch")
    units, steps = (4, 3) if smoke else (256, 80)
    return [_case(torch, batch, units, steps) for batch in ((2, 3) if smoke else (10, 50))]


def _case(torch, batch, units, steps):
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Embedding(CHARACTERS, DIM, rng=0),
        nn.LSTM(DIM, units, rng=1),
        nn.LSTM(units, units, rng=2),
        nn.Dense(units, CHARACTERS, rng=3),
    )
    x, labels = (rng.integers(0, CHARACTERS, (batch, steps)) for _ in range(2))
    optimiser = optim.SGD(model.parameters(), lr=0.1)
    name = f"char-LSTM step, B = {batch}"
    theirs, note = {}, ""
    if torch is not None:  # the twin is made and compared before either has taken a step
        step, outputs = _peer(torch, model, x, labels)
        note = peers.same(model(x).data, outputs, name, 1e-4)
        theirs = peers.with_threads(torch, step)

    def ours():
        optimiser.zero_grad()
        loss = losses.cross_entropy(model(x), labels)
        loss.backward()
        optimiser.step()
        return loss.item()

    return Case(name, BAR, ours, theirs, note)


def _peer(torch, model, x, labels):
    """A step of the same network in torch, and its outputs."""
    embedding, first, second, dense = model
    layers = [
        torch.nn.Embedding(*embedding.W.shape),
        torch.nn.LSTM(first.n_in, first.n_hidden, num_layers=2, batch_first=True),
        torch.nn.Linear(*dense.W.shape),
    ]
    with torch.no_grad():
        layers[0].weight.copy_(torch.tensor(embedding.W.data))
        for k, layer in enumerate((first, second)):
            for ours, theirs in ((layer.W, "weight_ih"), (layer.U, "weight_hh"), (layer.b, "bias_ih")):
                getattr(layers[1], f"{theirs}_l{k}").copy_(torch.tensor(reordered(ours.data)))
            getattr(layers[1], f"bias_hh_l{k}").zero_()
        layers[2].weight.copy_(torch.tensor(dense.W.data.T.copy()))
        layers[2].bias.copy_(torch.tensor(dense.b.data))
    optimiser = torch.optim.SGD([p for layer in layers for p in layer.parameters()], lr=0.1)
    x, labels = torch.tensor(x), torch.tensor(labels)

    def outputs():
        return layers[2](layers[1](layers[0](x))[0])

    def step():
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(outputs().flatten(0, 1), labels.flatten())
        loss.backward()
        optimiser.step()
        return loss.item()

    return step, outputs().detach().numpy()


def reordered(a: np.ndarray) -> np.ndarray:
    """Our weights (n, 4H) or biases (4H,), gates i, f, o, g, as torch's (4H, n) or (4H,), gates i, f, g, o."""
    i, f, o, g = np.split(a, 4, -1)
    return np.concatenate([i, f, g, o], -1).T.copy()
