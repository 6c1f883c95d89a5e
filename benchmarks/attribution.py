"""Explaining 100 images of the MNIST network, against captum with the same rule; the values are compared first."""

from __future__ import annotations

import numpy as np

from minidl.explain import class_map, deeplift, integrated_gradients, lrp
from minidl.explain.perturbation import occlusion
from minidl.explain.rules import epsilon, rescale

from . import models, peers
from .timing import Case

EPSILON = 1e-4  # of the size of a unit's total, so that the peer's own way with it is the same number
BAR = 0.8


def cases(smoke: bool) -> list[Case]:
    """One case a method; DeepLIFT's also on the network with average pooling."""
    torch, captum = peers.find("torch"), peers.find("captum.attr")
    torch = torch if captum is not None else None
    size = ((2, 2), 4) if smoke else ((32, 64), 512)
    rng = np.random.default_rng(0)
    x = rng.random((2 if smoke else 100, 1, 28, 28), dtype=np.float32)
    reference = rng.random((1, 1, 28, 28), dtype=np.float32)  # without ties, which the peer gives to the first
    target = rng.integers(0, 10, len(x))
    steps, window = (2, 14) if smoke else (50, 4)
    return [
        _lrp(torch, captum, models.cnn(*size), x, target),
        _deeplift(torch, captum, models.cnn(*size), x, reference, target, "max pooling"),
        _deeplift(torch, captum, models.cnn(*size, average=True), x, reference, target, "average pooling"),
        _integrated(torch, captum, models.cnn(*size), x, reference, target, steps, at_once=True),
        _integrated(torch, captum, models.cnn(*size), x, reference, target, steps, at_once=False),
        _grad_cam(torch, captum, models.cnn(*size), x, target),
        _occlusion(torch, captum, models.cnn(*size), x, target, window),
    ]


def _lrp(torch, captum, model, x, target):
    def ours():
        return lrp(model, x, target, rules=epsilon(EPSILON)).scores

    name = f"epsilon-LRP, {len(x)} images"
    if torch is None:
        return Case(name, BAR, ours, {})
    twin, rule = models.in_torch(torch, model), peers.find("captum.attr._utils.lrp_rules").EpsilonRule
    method, tx, tt = captum.LRP(twin), torch.tensor(x), torch.tensor(target)

    def theirs():
        for layer in twin:  # it takes them away after each call
            layer.rule = rule(epsilon=EPSILON if hasattr(layer, "weight") else 1e-9)
        return method.attribute(tx.clone().requires_grad_(), target=tt).detach().numpy()

    note = peers.same(ours(), theirs(), name, 1e-3)
    return Case(name, BAR, ours, peers.with_threads(torch, theirs, "captum"), note)


def _deeplift(torch, captum, model, x, reference, target, pooling):
    def explain():
        return deeplift(model, x, target, reference=reference, rules=rescale())

    name = f"DeepLIFT Rescale, {len(x)} images, {pooling}"
    if torch is None:
        return Case(name, BAR, explain, {})
    method, tx, tt = captum.DeepLift(models.in_torch(torch, model)), torch.tensor(x), torch.tensor(target)
    rest = torch.tensor(reference)

    def theirs():
        return method.attribute(tx, rest, target=tt).detach().numpy()

    ours, other = explain(), theirs()
    if pooling == "average pooling":
        note = peers.same(ours.scores, other, name, 1e-3)
    else:  # where a max pooling follows a ReLU the peer's scores do not sum to the difference, so only laws compare
        broken = np.abs(other.reshape(len(x), -1).sum(1) - ours.expected).max()
        note = f"sum to the difference off by {np.abs(ours.residual).max():.0e}, the peer's by {broken:.0e}"
    return Case(name, BAR, explain, peers.with_threads(torch, theirs, "captum"), note)


def _integrated(torch, captum, model, x, reference, target, steps, at_once):
    def ours():
        return integrated_gradients(model, x, target, reference=reference, steps=steps).scores

    name = f"integrated gradients, {len(x)} images, {steps} steps, peer {'at once' if at_once else 'step by step'}"
    if torch is None:
        return Case(name, BAR, ours, {})
    method, tx, tt = captum.IntegratedGradients(models.in_torch(torch, model)), torch.tensor(x), torch.tensor(target)
    rest = torch.tensor(reference)

    def theirs():  # all points in one batch is what it does unless told otherwise; step by step is its fastest way here
        options = {"n_steps": steps, "method": "riemann_middle", "internal_batch_size": None if at_once else len(x)}
        return method.attribute(tx, rest, target=tt, **options).detach().numpy()

    # where a unit's input rounds to the other side of 0 at one of the points, that point's share differs
    note = peers.same(ours(), theirs(), name, 1 / steps)
    return Case(name, BAR, ours, peers.with_threads(torch, theirs, "captum"), note)


def _grad_cam(torch, captum, model, x, target):
    def ours():
        return class_map(model, x, target, layer="3")

    name = f"Grad-CAM, {len(x)} images"
    if torch is None:
        return Case(name, BAR, ours, {})
    twin = models.in_torch(torch, model)
    method, tx, tt = captum.LayerGradCam(twin, twin[3]), torch.tensor(x), torch.tensor(target)

    def theirs():
        return method.attribute(tx, target=tt, relu_attributions=True).detach().numpy()[:, 0]

    note = peers.same(ours(), theirs(), name, 1e-3)
    return Case(name, BAR, ours, peers.with_threads(torch, theirs, "captum"), note)


def _occlusion(torch, captum, model, x, target, window):
    def ours():
        return occlusion(model, x, target, window=window).scores

    name = f"occlusion, {len(x)} images, {window} x {window}"
    if torch is None:
        return Case(name, BAR, ours, {})
    method, tx, tt = captum.Occlusion(models.in_torch(torch, model)), torch.tensor(x), torch.tensor(target)

    def theirs():  # one window a call, the fastest of its ways here
        return method.attribute(tx, (1, window, window), strides=(1, window, window), target=tt).numpy()

    note = peers.same(ours(), theirs(), name, 1e-3)
    return Case(name, BAR, ours, peers.with_threads(torch, theirs, "captum"), note)
