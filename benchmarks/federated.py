"""One round of federated averaging: clients of 600 examples, 2NN, E = 1, B = 10; and what a round costs a client."""

from __future__ import annotations

import tracemalloc
from math import log

import numpy as np

from minidl import data
from minidl.federated import Client, clients_of, fedavg
from minidl.federated.client import BATCHES, batches_of
from minidl.federated.models import mnist_2nn
from minidl.randomness import stream

from . import models, peers
from .timing import Case, seconds, shown

BAR = 0.7
RATE = 0.05


def cases(smoke: bool) -> list[Case]:
    """Ten and a hundred clients, against a loop over them and against all of them at once."""
    torch = peers.find("torch")
    return [_case(torch, 2 if smoke else clients, smoke) for clients in (10, 100)]


def _case(torch, count, smoke):
    n = 20 if smoke else 600
    model, rng = mnist_2nn(), np.random.default_rng(0)
    clients = [
        Client(k, rng.random((n, 784), dtype=np.float32), rng.integers(0, 10, n)) for k in range(count)
    ]  # fmt: skip

    def ours():
        return fedavg(model, clients, rounds=1, C=1.0, E=1, B=10, lr=RATE, seed=0, progress=False).weights

    theirs, note = {}, ""
    if torch is not None:
        # compared for one client: among many some unit stands at its kink, where rounding decides
        for peer in (_loop, _vmap):
            one = fedavg(model, clients[:1], rounds=1, C=1.0, E=1, B=10, lr=RATE, seed=0, progress=False).weights
            note = peers.same(peer(torch, model, clients[:1])(), one["dense1.W"], f"round of {peer.__name__}", 1e-4)
        loop, together = _loop(torch, model, clients), _vmap(torch, model, clients)
        theirs = peers.with_threads(torch, loop, "torch, a loop") | peers.with_threads(torch, together, "torch, vmap")
    return Case(f"FedAvg round, {count} clients", BAR, ours, theirs, note)


def _batches(k, n):
    return batches_of(n, 10, stream(0, BATCHES, 0, k))


def _loop(torch, model, clients):
    """Client after client, in the plainest way."""
    twin = models.in_torch(torch, model)
    start = [p.detach().clone() for p in twin.parameters()]
    data = [(torch.tensor(c.x), torch.tensor(c.y), [torch.tensor(b) for b in _batches(c.id, len(c))]) for c in clients]

    def round():
        means = [torch.zeros_like(p, dtype=torch.float64) for p in start]
        for x, y, batches in data:
            with torch.no_grad():
                for p, s in zip(twin.parameters(), start):
                    p.copy_(s)
            descent = torch.optim.SGD(twin.parameters(), lr=RATE)
            for b in batches:
                descent.zero_grad()
                torch.nn.functional.cross_entropy(twin(x[b]), y[b]).backward()
                descent.step()
            for mean, p in zip(means, twin.parameters()):
                mean += p.detach() / len(data)
        return means[0].T.float().numpy()

    return round


def _vmap(torch, model, clients):
    """All clients at once, by torch.func.vmap over their weights."""
    from torch.func import functional_call, grad, vmap

    twin = models.in_torch(torch, model)
    start = {name: p.detach() for name, p in twin.named_parameters()}
    x, y = (torch.tensor(np.stack([getattr(c, name) for c in clients])) for name in "xy")
    batches = [torch.tensor(np.stack(rows)) for rows in zip(*(_batches(c.id, len(c)) for c in clients))]
    who = torch.arange(len(clients))[:, None]

    def loss(weights, x, y):
        return torch.nn.functional.cross_entropy(functional_call(twin, weights, (x,)), y)

    step = vmap(grad(loss))

    def round():
        weights = {name: p.expand(len(clients), *p.shape).clone() for name, p in start.items()}
        for rows in batches:
            g = step(weights, x[who, rows], y[who, rows])
            weights = {name: p - RATE * g[name] for name, p in weights.items()}
        return weights["0.weight"].double().mean(0).T.float().numpy()

    return round


GROWTH = "FedAvg round by number of clients"


def growth(smoke: bool, repeats: int) -> str:
    """A round of all clients, 10 to 10,000 with ten of the small digits each: time by client, memory at its peak."""
    images, labels = data.digits()
    x, model, times, peaks = images.reshape(-1, 64), mnist_2nn(64), {}, {}
    for K in (10, 100) if smoke else (10, 100, 1_000, 10_000):
        rows = np.random.default_rng(0).integers(0, len(x), (K, 10))
        clients = clients_of(x, labels, list(rows))

        def a_round(clients=clients):
            fedavg(model, clients, rounds=1, C=1.0, E=1, B=10, lr=RATE, seed=0, progress=False)

        a_round()
        times[K] = min(seconds(a_round) for _ in range(max(1, min(repeats, 30_000 // K))))
        tracemalloc.start()
        a_round()
        peaks[K] = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    few, many = min(times), max(times)
    slope = log(times[many] / times[few]) / log(many / few)
    each = ", ".join(f"{K:,}: {shown(times[K] / K)} and {peaks[K]:.1f} MB" for K in times)
    return (
        f"{GROWTH:<34} a client, and the round's peak of new memory: {each}   "
        f"time grows as clients to the power {slope:.2f}"
    )
