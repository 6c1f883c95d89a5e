"""The same rules in captum give the same numbers; where they do not, the test says why."""

import numpy as np
import pytest
from support.twins import networks

from minidl import Tensor, grad, nn
from minidl.explain import deeplift, gradient_times_input, lrp
from minidl.explain.rules import basic, epsilon, rescale

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'minidl[peers]'")
attr = pytest.importorskip("captum.attr", reason="captum is not installed: pip install 'minidl[peers]'")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


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
