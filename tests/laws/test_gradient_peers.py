"""The gradient family and the rules of relevance against captum; where it means something else, the test says what."""

import numpy as np
import pytest
from support.twins import networks

from minidl import nn
from minidl.explain import (
    class_map,
    deconvnet,
    grad_cam,
    guided_backprop,
    guided_grad_cam,
    integrated_gradients,
    lrp,
    saliency,
)
from minidl.explain.rules import ANY, alpha_beta, basic, gamma

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'minidl[peers]'")
attr = pytest.importorskip("captum.attr", reason="captum is not installed: pip install 'minidl[peers]'")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(params=[False, True], ids=["without pooling", "average pooling"])
def case(request):
    ours, theirs, x, reference, target = networks(request.param)
    ours = nn.Sequential(*[nn.ReLU() if isinstance(layer, nn.Tanh) else layer for layer in ours])
    for k, layer in enumerate(theirs):
        if isinstance(layer, torch.nn.Tanh):
            theirs[k] = torch.nn.ReLU()
    return ours, theirs, x, reference, target


def tensors(x, target):
    return torch.tensor(x).requires_grad_(), {"target": torch.tensor(target)}


def same(ours, theirs, rtol=1e-8):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=rtol, atol=1e-11)


def test_saliency_deconvnet_and_guided_backpropagation(case):
    ours, theirs, x, _, target = case
    tx, of = tensors(x, target)
    same(saliency(ours, x, target).scores, attr.Saliency(theirs).attribute(tx, **of))
    same(deconvnet(ours, x, target).scores, attr.Deconvolution(theirs).attribute(tx, **of))
    same(guided_backprop(ours, x, target).scores, attr.GuidedBackprop(theirs).attribute(tx, **of))


@pytest.mark.parametrize("steps", [2, 50])
def test_integrated_gradients_by_the_midpoint_rule(case, steps):
    ours, theirs, x, reference, target = case
    tx, of = tensors(x, target)
    expected = attr.IntegratedGradients(theirs).attribute(
        tx, torch.tensor(reference), n_steps=steps, method="riemann_middle", **of
    )
    result = integrated_gradients(ours, x, target, reference=reference, steps=steps)
    same(result.scores, expected, rtol=1e-5)  # the points of captum's way are rounded to float32


def test_grad_cam_and_its_enlargement(case):
    ours, theirs, x, _, target = case
    tx, of = tensors(x, target)
    index = 3 if len(theirs) == 9 else 2
    theirs_map = attr.LayerGradCam(theirs, theirs[index]).attribute(tx, relu_attributions=True, **of)
    same(class_map(ours, x, target, layer=str(index)), theirs_map[:, 0])
    large = torch.nn.functional.interpolate(theirs_map, size=x.shape[2:], mode="bilinear", align_corners=False)
    same(grad_cam(ours, x, target, layer=str(index)).scores[:, 0], large[:, 0])


def test_guided_grad_cam_where_the_map_has_the_size_of_the_input():
    """Elsewhere they differ: captum enlarges by repeating the nearest element."""
    ours = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, rng=0, dtype="float64"), nn.ReLU(), nn.Flatten(),
        nn.Dense(75, 3, rng=1, dtype="float64"),
    )  # fmt: skip
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(75, 3)
    ).double()
    for k in (0, 3):
        W = ours[k].W.data if k == 0 else ours[k].W.data.T
        theirs[k].weight.data, theirs[k].bias.data = torch.tensor(W.copy()), torch.tensor(ours[k].b.data.copy())
    x, target = np.random.default_rng(0).normal(size=(2, 2, 5, 5)), np.array([0, 2])
    tx, of = tensors(x, target)
    same(guided_grad_cam(ours, x, target, layer="0").scores, attr.GuidedGradCam(theirs, theirs[0]).attribute(tx, **of))


@pytest.mark.parametrize("name", ["alpha 1, beta 0", "gamma"])
def test_relevance_rules_for_inputs_that_are_not_negative(case, name):
    """Elsewhere captum looks at the sign of a weight, not of its contribution, and has another way with the bias."""
    rules = __import__("captum.attr._utils.lrp_rules", fromlist=["GammaRule"])
    ours, theirs, x, _, target = case
    x = abs(x)
    rule, twin = {
        "alpha 1, beta 0": (alpha_beta(1, 0), rules.Alpha1_Beta0_Rule),
        "gamma": (gamma(0.25), lambda: rules.GammaRule(gamma=0.25)),
    }[name]
    *below, top = [layer for layer in theirs if hasattr(layer, "weight")]
    for layer in theirs:
        layer.rule = twin() if layer in below else rules.EpsilonRule(1e-12)
    for layer in [layer for layer in ours if hasattr(layer, "b")]:
        layer.b = layer.b.data * 0
    for layer in (*below, top):
        layer.bias.data *= 0
    tx, of = tensors(x, target)
    expected = attr.LRP(theirs).attribute(tx, **of)
    last = list(ours.children())[-1]
    same(lrp(ours, x, target, rules=((last, basic()), (ANY, rule))).scores, expected, rtol=1e-6)
