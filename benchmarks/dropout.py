"""MC dropout: T passes of the 2NN with dropout behind both hidden layers, against torch in three ways of writing it."""

from __future__ import annotations

from math import sqrt

import numpy as np

from minidl import nn
from minidl.bayes import mc_predict
from minidl.federated.models import mnist_2nn

from . import models, peers
from .timing import Case

BAR = 0.5


def cases(smoke: bool) -> list[Case]:
    """One case: 100 passes of 1000 inputs."""
    torch = peers.find("torch")
    n, T = (20, 3) if smoke else (1000, 100)
    x = np.random.default_rng(0).random((n, 784), dtype=np.float32)
    first, act1, second, act2, third = mnist_2nn()
    model = nn.Sequential(first, act1, nn.Dropout(0.5), second, act2, nn.Dropout(0.5), third)

    def ours():
        return mc_predict(model, x, T, 0)

    name = f"MC dropout, 2NN, {n} inputs, {T} passes"
    if torch is None:
        return [Case(name, BAR, ours, {})]
    twin, tx = models.in_torch(torch, model).train(), torch.tensor(x)

    def pass_by_pass():
        return torch.stack([twin(tx) for _ in range(T)])

    def one_batch():
        return twin(tx.repeat(T, 1)).reshape(T, n, -1)

    def first_layer_once():
        h = twin[:2](tx)
        return torch.stack([twin[2:](h) for _ in range(T)])

    ways, forms = {}, {"pass by pass": pass_by_pass, "one batch": one_batch, "first layer once": first_layer_once}
    for form, call in forms.items():
        ways |= peers.with_threads(torch, torch.no_grad()(call), f"torch, {form}")
    f, theirs = ours(), torch.no_grad()(pass_by_pass)().numpy()
    error = np.sqrt((f.var(0) + theirs.var(0)) / T)
    apart = float((((f.mean(0) - theirs.mean(0)) / error) ** 2).mean() ** 0.5)
    if not smoke and not 1 - 5 / sqrt(2 * n) < apart < 1 + 5 / sqrt(2 * n):
        raise RuntimeError(f"{name}: the means are {apart:.2f} standard errors apart, so the times say nothing")
    return [Case(name, BAR, ours, ways, f"means {apart:.2f} standard errors apart")]
