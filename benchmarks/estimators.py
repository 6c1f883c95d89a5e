"""A million samples of each gradient estimator, float64 on both sides, against torch with the same f and formula.

The polynomial measures the estimators. The sine measures mostly the sine: without AVX-512 NumPy takes it number by
number in float64, three times as slow as torch, and a derivative of it takes one more.
"""

from __future__ import annotations

import numpy as np

from minidl import ops
from minidl.bayes import characteristic_function, pathwise, score_function

from . import peers
from .timing import Case

MU, SIGMA = 0.3, 1.2
BAR = 0.6


def cases(smoke: bool) -> list[Case]:
    """One case for each estimator and function; both sides give all samples, their means and their variances."""
    n, torch = (1000 if smoke else 10**6), peers.find("torch")
    functions = {"x + x^2": lambda x: x + x * x, "sin x": lambda x: (torch.sin if _is_torch(x) else ops.sin)(x)}
    return [
        _case(torch, ours, theirs, f, n, f"{ours.__name__}, {name}, {n:,} samples")
        for ours, theirs in ((score_function, _score), (pathwise, _path), (characteristic_function, _characteristic))
        for name, f in functions.items()
    ]


def _is_torch(x) -> bool:
    return type(x).__module__ == "torch"


def _case(torch, estimator, formula, f, n, name) -> Case:
    rng = np.random.default_rng(0)

    def ours():
        return estimator(f, MU, SIGMA, n, rng)

    if torch is None:
        return Case(name, BAR, ours, {})

    def theirs():
        eps = torch.randn(n, dtype=torch.float64)
        samples = formula(torch, f, MU + SIGMA * eps, eps)
        return samples, [s.mean() for s in samples], [s.var() for s in samples]

    mine, (_, means, variances) = ours(), theirs()
    far = np.abs(mine.mean - [float(m) for m in means]).max() / np.sqrt(2 * max(map(float, variances)) / n)
    if far > 6:
        raise AssertionError(f"{name}: the means differ by {far:.1f} standard errors")
    return Case(name, BAR, ours, peers.with_threads(torch, theirs, "torch"), f"means {far:.1f} standard errors apart")


def _score(torch, f, x, eps):
    y = f(x)
    return y * (eps / SIGMA), y * ((eps * eps - 1) / SIGMA)


def _path(torch, f, x, eps):
    x.requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x)
    return slope, slope * eps


def _characteristic(torch, f, x, eps):
    x.requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    return slope.detach(), SIGMA * bend
