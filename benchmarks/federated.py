"""One round of federated averaging: clients of 600 examples, 2NN, E = 1, B = 10; and what a round costs a client."""

from __future__ import annotations

import functools
import multiprocessing
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from math import log

import numpy as np

from minidl import data
from minidl.federated import Client, clients_of, fedavg
from minidl.federated.client import BATCHES, batches_of
from minidl.federated.models import mnist_2nn
from minidl.randomness import stream

from . import models, peers
from .timing import Case, seconds, shown, verdict

BAR = 0.7
STEEPEST = 1.1  # of time by clients, in powers
HEAVIEST = 0.01  # of memory, in models a client
RATE = 0.05


def cases(smoke: bool) -> list[Case]:
    """Ten and a hundred clients, one after another and in two processes, against a loop over them and all at once.

    Several rounds a call, as a run has: processes write their examples to a folder once a run.
    """
    torch = peers.find("torch")
    counts = (2,) if smoke else (10, 100)
    return [_case(torch, count, processes, smoke) for count in counts for processes in (False, True)]


def _case(torch, count, processes, smoke):
    n, rounds = (20, 1) if smoke else (600, 300 // count)
    model, rng = mnist_2nn(), np.random.default_rng(0)
    clients = [
        Client(k, rng.random((n, 784), dtype=np.float32), rng.integers(0, 10, n)) for k in range(count)
    ]  # fmt: skip
    executor = _pool() if processes else None

    def ours(some=clients, rounds=rounds):
        settings = dict(C=1.0, E=1, B=10, lr=RATE, seed=0, progress=False)
        return fedavg(model, some, rounds=rounds, executor=executor, **settings).weights

    def again(call):
        return lambda: [call() for _ in range(rounds)]

    theirs, note = {}, ""
    if torch is not None:
        # compared for one client: among many some unit stands at its kink, where rounding decides
        for peer in (_loop, _vmap):
            one = ours(clients[:1], 1)
            note = peers.same(peer(torch, model, clients[:1])(), one["dense1.W"], f"round of {peer.__name__}", 1e-4)
        loop, together = again(_loop(torch, model, clients)), again(_vmap(torch, model, clients))
        theirs = peers.with_threads(torch, loop, "torch, a loop") | peers.with_threads(torch, together, "torch, vmap")
    where = "two processes" if processes else "one after another"
    return Case(f"FedAvg, {rounds} x {count} clients, {where}", BAR, ours, theirs, note)


@functools.cache
def _pool():
    """Two processes that are there all the time; spawned, for torch's threads do not survive a fork."""
    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    list(pool.map(abs, range(2)))
    return pool


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
        peaks[K] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    few, many, size = min(times), max(times), sum(a.nbytes for a in model.state_dict().values())
    slope = log(times[many] / times[few]) / log(many / few)
    share = (peaks[many] - peaks[few]) / (many - few) / size
    each = ", ".join(f"{K:,}: {shown(times[K] / K)} and {peaks[K] / 2**20:.1f} MB" for K in times)
    return (
        f"{GROWTH:<34} a client, and the round's peak of new memory: {each}   time grows as clients to the power "
        f"{slope:.2f} (bar {STEEPEST}: {verdict(slope, slope, STEEPEST)}), memory by {share:.4f} models a client "
        f"(bar {HEAVIEST}: {verdict(share, share, HEAVIEST)})"
    )
