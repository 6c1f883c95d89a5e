"""Gradient estimators against torch: the same noise, its distributions and its tape."""

import numpy as np
import pytest
from support.tolerance import assert_close

from minidl import ops
from minidl.bayes import characteristic_values, pathwise_values, score_values

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

MU, SIGMA = -0.4, 1.7
EPS = np.random.default_rng(0).normal(size=200)


def f(x):
    return ops.tanh(x * 2) + ops.exp(x * 0.3) * x


def f_in_torch(x):
    return torch.tanh(x * 2) + torch.exp(x * 0.3) * x


def leaves():
    return [torch.full((200,), v, dtype=torch.float64, requires_grad=True) for v in (MU, SIGMA)]


@pytest.mark.source("gal:eq3.4")
def test_the_score_is_the_peers_derivative_of_the_log_density():
    mu, sigma = leaves()
    x = torch.tensor(MU + SIGMA * EPS)
    torch.distributions.Normal(mu, sigma).log_prob(x).sum().backward()
    for ours, score in zip(score_values(f, MU, SIGMA, EPS), (mu.grad, sigma.grad), strict=True):
        assert_close(ours, (f_in_torch(x) * score).numpy())


@pytest.mark.source("gal:eq3.5", "gal:remark-auxiliary")
def test_the_path_is_that_of_the_peers_reparametrised_samples():
    mu, sigma = leaves()
    f_in_torch(mu + sigma * torch.tensor(EPS)).sum().backward()
    for ours, theirs in zip(pathwise_values(f, MU, SIGMA, EPS), (mu.grad, sigma.grad), strict=True):
        assert_close(ours, theirs.numpy())


@pytest.mark.source("gal:eq3.6")
def test_the_second_derivative_is_the_peers():
    x = torch.tensor(MU + SIGMA * EPS, requires_grad=True)
    (slope,) = torch.autograd.grad(f_in_torch(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    ours = characteristic_values(f, MU, SIGMA, EPS)
    assert_close(ours[0], slope.detach().numpy())
    assert_close(ours[1], SIGMA * bend.numpy())
