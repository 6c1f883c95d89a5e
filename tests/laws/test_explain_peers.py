"""The same rules in captum give the same numbers; where they do not, the test says why."""

import numpy as np
import pytest

from minidl import Tensor, grad, nn
from minidl.explain import deeplift, gradient_times_input, lrp
from minidl.explain.rules import basic, epsilon, rescale

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'minidl[peers]'")
attr = pytest.importorskip("captum.attr", reason="captum is not installed: pip install 'minidl[peers]'")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


def networks(pool):
    """The same small convolutional network twice, in float64."""
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


both = pytest.mark.parametrize("pool", [False, True])


@both
def test_gradients(pool):
    ours, theirs, x, _, target = networks(pool)
    tx = torch.tensor(x, requires_grad=True)
    theirs(tx)[torch.arange(4), torch.tensor(target)].sum().backward()
    source = Tensor(x)
    weights = np.eye(3)[target]
    np.testing.assert_allclose(grad(ours(source), source, upstream=weights), tx.grad.numpy(), rtol=1e-9, atol=1e-12)


@both
def test_deeplift_rescale(pool):
    ours, theirs, x, reference, target = networks(pool)
    expected = attr.DeepLift(theirs).attribute(torch.tensor(x), torch.tensor(reference), target=torch.tensor(target))
    result = deeplift(ours, x, target, reference=reference, rules=rescale())
    np.testing.assert_allclose(result.scores, expected.detach().numpy(), rtol=1e-7, atol=1e-10)


@both
def test_epsilon_relevance(pool):
    ours, theirs, x, _, target = networks(pool)
    rules = __import__("captum.attr._utils.lrp_rules", fromlist=["EpsilonRule"])
    for layer in theirs:
        layer.rule = rules.EpsilonRule(epsilon=1e-2 if hasattr(layer, "weight") else 1e-12)
    expected = attr.LRP(theirs).attribute(torch.tensor(x).requires_grad_(), target=torch.tensor(target))
    result = lrp(ours, x, target, rules=epsilon(1e-2))
    np.testing.assert_allclose(result.scores, expected.detach().numpy(), rtol=1e-6, atol=1e-8)


def test_basic_rule_is_input_times_gradient_on_relu_networks():
    ours, theirs, x, _, target = networks(True)
    ours = nn.Sequential(*[nn.ReLU() if isinstance(layer, nn.Tanh) else layer for layer in ours])
    theirs[4] = torch.nn.ReLU()
    expected = attr.InputXGradient(theirs).attribute(torch.tensor(x).requires_grad_(), target=torch.tensor(target))
    for scores in (lrp(ours, x, target, rules=basic()).scores, gradient_times_input(ours, x, target).scores):
        np.testing.assert_allclose(scores, expected.detach().numpy(), rtol=1e-9, atol=1e-12)
