"""Explaining 100 images of the MNIST network, against captum with the same rule; the values are compared first."""

from __future__ import annotations

import numpy as np

from minidl.explain import deeplift, lrp
from minidl.explain.rules import epsilon, rescale

from . import models, peers
from .timing import Case

EPSILON = 1e-4  # of the size of a unit's total, so that the peer's own way with it is the same number


def cases(smoke: bool) -> list[Case]:
    """Epsilon-LRP and DeepLIFT with Rescale."""
    torch, captum = peers.find("torch"), peers.find("captum.attr")
    size = ((2, 2), 4) if smoke else ((32, 64), 512)
    rng = np.random.default_rng(0)
    x = rng.random((2 if smoke else 100, 1, 28, 28), dtype=np.float32)
    reference = rng.random((1, 1, 28, 28), dtype=np.float32)  # no ties: the peer gives them to the first
    target = rng.integers(0, 10, len(x))
    found = torch is not None and captum is not None
    return [
        _lrp(torch if found else None, captum, models.cnn(*size), x, target),
        _deeplift(torch if found else None, captum, models.cnn(*size, pool_first=True), x, reference, target),
    ]


def _lrp(torch, captum, model, x, target):
    def ours():
        return lrp(model, x, target, rules=epsilon(EPSILON)).scores

    name = f"epsilon-LRP, {len(x)} images"
    if torch is None:
        return Case(name, 0.8, ours, {})
    twin = models.in_torch(torch, model)
    rule = peers.find("captum.attr._utils.lrp_rules").EpsilonRule
    for layer in twin:
        layer.rule = rule(epsilon=EPSILON if hasattr(layer, "weight") else 1e-9)
    method, tx, tt = captum.LRP(twin), torch.tensor(x), torch.tensor(target)

    def theirs():
        return method.attribute(tx.clone().requires_grad_(), target=tt).detach().numpy()

    note = peers.same(ours(), theirs(), name, 1e-3)
    return Case(name, 0.8, ours, peers.with_threads(torch, theirs, "captum"), note)


def _deeplift(torch, captum, model, x, reference, target):
    def ours():
        return deeplift(model, x, target, reference=reference, rules=rescale()).scores

    name = f"DeepLIFT Rescale, {len(x)} images"
    if torch is None:
        return Case(name, 0.8, ours, {})
    twin = models.in_torch(torch, model)
    method, tx, tt = captum.DeepLift(twin), torch.tensor(x), torch.tensor(target)
    rest = torch.tensor(reference)

    def theirs():
        return method.attribute(tx, rest, target=tt).detach().numpy()

    note = peers.same(ours(), theirs(), name, 1e-3)
    return Case(name, 0.8, ours, peers.with_threads(torch, theirs, "captum"), note)
