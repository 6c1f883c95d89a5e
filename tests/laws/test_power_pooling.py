"""Pooling by p-means: its definition, its two ends, relevance by eq 31, the secant of its multipliers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_law
from support.gradcheck import gradient_function
from support.networks import networks
from support.tolerance import assert_close

from minidl import Tensor, grad, nn, ops
from minidl.explain import deeplift, gradient_times_input, lrp
from minidl.explain.ledger import Ledger
from minidl.explain.lrp import relevance
from minidl.explain.multipliers import Multipliers
from minidl.explain.rules import LinearRule, NonlinearityRule, alpha_beta, basic, epsilon, rescale, reveal_cancel
from minidl.explain.table import Table
from minidl.ops.power_pooling import PowerMeanPool, chord
from minidl.tape import record

seeds = st.integers(0, 10_000)
kernels = st.tuples(st.integers(1, 3), st.integers(1, 3))
strides = st.sampled_from([None, (1, 1), (1, 2), (3, 2)])
exponents = st.sampled_from([1.0, 1.5, 2.0, 3.0, 7.5, 40.0])
RULES = {"rescale": rescale(), "reveal_cancel": reveal_cancel()}


def image(seed, coarse=True):
    """Pixels >= 0, with zeros, windows of zeros and ties among them."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, (2, 2, 6, 5)) * 0.5 if coarse and rng.random() < 0.5 else rng.random((2, 2, 6, 5))
    x *= rng.random(x.shape) < 0.7
    x[:, 0, :3, :3] = 0
    return x


def windows_of(x, kernel, stride):
    """Each window by itself: its place in y, its slice of x."""
    (kh, kw), (sh, sw) = kernel, stride or kernel
    for u in range((x.shape[2] - kh) // sh + 1):
        for v in range((x.shape[3] - kw) // sw + 1):
            yield (u, v), (..., slice(u * sh, u * sh + kh), slice(v * sw, v * sw + kw))


def relevance_of(f, x, R):
    """The shares of x for relevances R of y = f(x), and what was absorbed in all."""
    source = Tensor(x)
    y = f(source)
    ledger = Ledger(R.sum((1, 2, 3)))
    return relevance(y, source, R, Table(basic(), LinearRule, "test"), ledger), ledger.total()


def contributions_of(f, x, x0, rule=None):
    """Contributions and coefficients of x for the sum of f, and f(x) - f(x0)."""
    source = Tensor(x)
    y = f(source)
    pass_ = Multipliers(y, source, x0, Table(rule or rescale(), NonlinearityRule, "test"))
    m = pass_.walk(np.ones_like(y.data))
    return pass_.contributions(m, source), pass_.of_input(m), y.data - f(x0)


# ---- the value --------------------------------------------------------------------------------------------------


@pytest.mark.source("lrp:eq19")
@given(seed=seeds, kernel=kernels, stride=strides, p=exponents)
def test_it_is_the_root_of_the_mean_power_of_each_window(seed, kernel, stride, p):
    x = image(seed)
    y = ops.power_mean_pool2d(x, kernel, stride, p)
    for (u, v), at in windows_of(x, kernel, stride):
        expected = (x[at] ** p).mean((2, 3)) ** (1 / p)
        assert_close(y[:, :, u, v], expected, scale=1 + x.max())


@pytest.mark.parametrize("size", [1e-300, 1e-3, 1e150, 1e300])
@pytest.mark.parametrize("p", [2.0, 30.0, 1000.0])
def test_no_power_overflows_or_vanishes(size, p):
    rng = np.random.default_rng(0)
    x, x0 = rng.random((1, 1, 4, 4)), rng.random((1, 1, 4, 4))

    def f(h):
        return ops.power_mean_pool2d(h, 2, p=p)

    def slopes(x, create_graph):
        g = grad(f(h := Tensor(x)).sum(), h, create_graph=create_graph)
        return g.data if create_graph else g

    assert_close(f(x * size) / size, f(x), ulps=4)
    for compute in (
        lambda s: slopes(s * x, create_graph=False),
        lambda s: slopes(s * x, create_graph=True),
        lambda s: contributions_of(f, s * x, s * x0)[1],
    ):
        ours, at_one = compute(size), compute(1)
        assert np.isfinite(ours).all()
        assert_close(ours, at_one, scale=1.0, ulps=8 * p)  # a power of p is off by p times its argument's rounding


@given(seed=seeds, kernel=kernels, stride=strides)
def test_with_p_1_it_is_average_pooling_in_all_passes(seed, kernel, stride):
    x, x0 = image(seed), image(seed + 1)
    rng = np.random.default_rng(seed)

    def ours(h):
        return ops.power_mean_pool2d(h, kernel, stride, 1)

    def mean(h):
        return ops.avg_pool2d(h, kernel, stride)

    y, w = mean(x), rng.normal(size=mean(x).shape)
    assert_close(ours(x), y, scale=1.0)
    slopes = [grad(f(h := Tensor(x)), h, upstream=w) for f in (ours, mean)]  # 1 / M in windows of zeros too
    assert_close(*slopes, scale=abs(w).sum())
    for rule in RULES.values():
        coefficients = [contributions_of(lambda h, f=f: ops.tanh(f(h)), x, x0, rule)[1] for f in (ours, mean)]
        assert_close(*coefficients, scale=y.size)
    R = w * (y > 0)  # a sum has nowhere to send the relevance of a window of zeros
    shares = [relevance_of(f, x, R)[0] for f in (ours, mean)]
    assert_close(*shares, scale=abs(w).sum())


@pytest.mark.source("lrp:eq19", "lrp:eq32")
@given(seed=seeds, kernel=kernels, stride=strides, p=st.sampled_from([50, 200, 1e4]))
def test_as_p_grows_it_tends_to_max_pooling_in_value_and_relevance(seed, kernel, stride, p):
    x, count = image(seed), kernel[0] * kernel[1]
    y, top = ops.power_mean_pool2d(x, kernel, stride, p), ops.max_pool2d(x, kernel, stride)
    assert (y <= top * (1 + 1e-15)).all() and (y >= top * count ** (-1 / p) * (1 - 1e-14)).all()
    R = np.random.default_rng(seed).normal(size=y.shape) * (top > 0)
    ours, winners = (
        relevance_of(f, x, R)[0]
        for f in (lambda h: ops.power_mean_pool2d(h, kernel, stride, p), lambda h: ops.max_pool2d(h, kernel, stride))
    )
    left = np.zeros_like(x)  # at most (x / top)^p goes to an element that is not the largest, and is missing elsewhere
    for (u, v), at in windows_of(x, kernel, stride):
        largest, r = top[:, :, u : u + 1, v : v + 1], abs(R[:, :, u : u + 1, v : v + 1])
        ratio = np.divide(x[at], largest, out=np.zeros_like(x[at]), where=largest > 0)
        left[at] += r * np.where(ratio < 1, ratio, 0).max((2, 3), keepdims=True) ** p * count
    assert (abs(ours - winners) <= left + 64 * np.finfo(float).eps * abs(R).sum()).all()


# ---- gradient ---------------------------------------------------------------------------------------------------


@pytest.mark.source("lrp:eq19")
@given(seed=seeds, kernel=kernels, stride=strides, p=exponents)
def test_the_fused_operation_is_its_twin_in_value_and_in_two_derivatives(seed, kernel, stride, p):
    rng = np.random.default_rng(seed)
    op, x = PowerMeanPool(kernel, stride or kernel, p), 0.5 + rng.random((2, 2, 5, 4))

    def one(h):
        return record(op, h)

    assert_close(one(x), op.simple(x))
    w = rng.normal(size=one(x).shape)
    slopes = [grad(f(h := Tensor(x)), h, upstream=w) for f in (one, op.simple)]
    assert_close(*slopes, scale=abs(w).sum())
    u = rng.normal(size=x.shape)
    seconds = [grad(gradient_function(f, [u])(*(leaves := [Tensor(x), Tensor(w)])), leaves) for f in (one, op.simple)]
    for ours, theirs in zip(*seconds):
        assert_close(ours, theirs, scale=p * abs(w).sum() * abs(u).sum())


@pytest.mark.parametrize("p, slope", [(1, 0.25), (1.5, 0), (2, 0), (50, 0)])
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_stated_subgradient_at_windows_of_zeros(p, slope, create_graph):
    x = Tensor(np.zeros((1, 1, 2, 4)))
    g = grad(ops.power_mean_pool2d(x, 2, p=p).sum(), x, create_graph=create_graph)
    np.testing.assert_array_equal(g.data if create_graph else g, np.full(x.shape, slope))


@given(seed=seeds, kernel=kernels, stride=strides, p=exponents)
def test_of_degree_1_so_gradient_times_input_is_y(seed, kernel, stride, p):
    x = image(seed)
    result = gradient_times_input(lambda h: ops.power_mean_pool2d(h, kernel, stride, p).sum((1, 2, 3)), x)
    assert_close(result.scores.sum((1, 2, 3)), result.output, scale=p * result.output.max())


# ---- relevance --------------------------------------------------------------------------------------------------


@pytest.mark.source("lrp:def4")
@given(seed=seeds, kernel=kernels, stride=strides, p=exponents)
def test_relevance_goes_by_powers_and_evenly_where_all_are_zero(seed, kernel, stride, p):
    x, rng = image(seed), np.random.default_rng(seed)
    R = rng.normal(size=ops.sum_pool2d(x, kernel, stride).shape)
    shares, absorbed = relevance_of(lambda h: ops.power_mean_pool2d(h, kernel, stride, p), x, R)
    expected = np.zeros_like(x)
    for (u, v), at in windows_of(x, kernel, stride):
        for n, c in np.ndindex(*x.shape[:2]):
            powers = x[n, c][at] ** p
            unreached = powers.sum() == 0  # Z(x) of eq 30
            expected[n, c][at] += R[n, c, u, v] * (1 / powers.size if unreached else powers / powers.sum())
    assert_close(shares, expected, scale=p * abs(R).sum())
    assert_close(shares.sum((1, 2, 3)), R.sum((1, 2, 3)), scale=abs(R).sum())
    assert (absorbed == 0).all()


# ---- multipliers ------------------------------------------------------------------------------------------------


@given(seed=seeds, kernel=kernels, stride=strides, p=exponents, near=st.sampled_from([1, 1e-4, 1e-9, 1e-15, 0]))
def test_contributions_sum_to_the_difference_by_coefficients_that_are_not_negative(seed, kernel, stride, p, near):
    x, x0 = image(seed), image(seed + 1)
    x0 = x + near * (x0 - x)
    scores, coefficients, difference = contributions_of(lambda h: ops.power_mean_pool2d(h, kernel, stride, p), x, x0)
    assert (coefficients >= 0).all()
    gross = (coefficients * (abs(x) + abs(x0))).sum((1, 2, 3))
    assert_close(scores.sum((1, 2, 3)), difference.sum((1, 2, 3)), scale=gross, ulps=64 + 8 * p)


def test_contributions_sum_to_0_where_a_window_is_rearranged():
    x, x0 = np.array([[[[1.0, 3.0], [0.0, 2.0]]]]), np.array([[[[3.0, 2.0], [1.0, 0.0]]]])
    scores, coefficients, _ = contributions_of(lambda h: ops.power_mean_pool2d(h, 2, p=3), x, x0)
    assert abs(scores.sum()) <= 1e-15 and abs(scores).max() > 0.1
    y = (36 / 4) ** (1 / 3)
    slopes = np.array([[1 + 3 + 9, 9 + 6 + 4], [1, 4]])  # (a^3 - b^3) / (a - b) = a^2 + ab + b^2
    assert_close(coefficients[0, 0], slopes / (4 * 3 * y**2))


@given(seed=seeds)
def test_for_p_2_the_coefficients_are_sums_over_sums(seed):
    x, x0 = image(seed, coarse=False), image(seed + 1, coarse=False)

    def f(h):
        return ops.power_mean_pool2d(h, 2)

    expected = np.zeros_like(x)
    for (u, v), at in windows_of(x, (2, 2), None):
        sums = (f(x) + f(x0))[:, :, u : u + 1, v : v + 1]
        expected[at] = np.divide(x[at] + x0[at], 4 * sums, out=np.zeros_like(x[at]), where=sums > 0)
    assert_close(contributions_of(f, x, x0)[1], expected)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_chords_keep_their_digits_up_to_the_tangent(n):
    r = np.concatenate([np.linspace(0, 1, 101), 1 - 2.0 ** -np.arange(1, 54), [1e-300]])
    polynomial = sum(r**k for k in range(n))  # (1 - r^n) / (1 - r), no term of it negative
    assert_close(chord(r, float(n)), polynomial, scale=polynomial, ulps=2 * n)


# ---- in company -------------------------------------------------------------------------------------------------


@st.composite
def pooled(draw):
    """Convolutions with p-means between them, below a drawn network, its input and a reference."""
    top = draw(networks(images=False))
    rng = np.random.default_rng(draw(seeds))
    ps, stride = [draw(exponents) for _ in range(2)], draw(st.integers(1, 2))
    W, b, V = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3), rng.normal(size=(3, 4))
    c = rng.normal(size=4)

    def network(h):
        h = ops.relu(ops.conv2d(ops.power_mean_pool2d(ops.relu(h), 2, 1, ps[0]), W, b))
        h = ops.power_mean_pool2d(h, 2, stride, ps[1])
        return top(ops.affine(ops.mean(h, (2, 3)), V, c))

    return network, rng.normal(size=(2, 2, 7, 7)), rng.normal(size=(1, 2, 7, 7))


@pytest.mark.source("lrp:def4")
@pytest.mark.parametrize("rule", [basic(), epsilon(0.1), alpha_beta(2, -1)], ids=lambda rule: type(rule).__name__)
@given(drawn=pooled())
def test_relevance_is_conserved_through_networks(rule, drawn):
    network, x, _ = drawn
    assert_law(lrp(network, x, 0, rules=rule))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@given(drawn=pooled())
def test_contributions_sum_to_the_difference_through_networks(rule, drawn):
    network, x, reference = drawn
    one = deeplift(network, x, 1, reference=reference, rules=rule)
    assert_law(one)
    assert_law(deeplift(network, x, 1, reference=np.repeat(reference, 2, 0), rules=rule))


# ---- the layer, and what is refused -----------------------------------------------------------------------------


def test_the_layer_is_the_operation():
    x = image(0).astype(np.float32)
    layer = nn.PMeanPool2d((2, 3), 1, p=3)
    y = layer(x)
    assert y.dtype == np.float32 and repr(layer) == "PMeanPool2d(size=(2, 3), stride=(1, 1), p=3.0)"
    np.testing.assert_array_equal(y.data, ops.power_mean_pool2d(x, (2, 3), 1, 3))
    assert nn.PMeanPool2d(2).p == 2.0 and nn.PMeanPool2d(2).stride == (2, 2)


@pytest.mark.parametrize("p", [0.5, float("inf"), float("nan"), "3", True, -2])
def test_exponents_below_1_or_without_end_are_refused(p):
    with pytest.raises(ValueError, match=f"power_mean_pool2d: p must be finite and at least 1, got {p!r}; its limit"):
        ops.power_mean_pool2d(np.ones((1, 1, 2, 2)), 2, p=p)
    with pytest.raises(ValueError, match="PMeanPool2d: p must be finite and at least 1"):
        nn.PMeanPool2d(2, p=p)


def test_numbers_below_0_are_refused_in_the_input_and_in_a_reference():
    x = np.ones((1, 1, 2, 2))
    with pytest.raises(ValueError, match="power_mean_pool2d: x must be >= 0, got values from -1; use relu first"):
        ops.power_mean_pool2d(-x, 2)
    with pytest.raises(ValueError, match="x must be >= 0, got values from -2"):
        deeplift(lambda h: ops.power_mean_pool2d(h, 2).sum((1, 2, 3)), x, reference=-2.0)
    network = nn.Sequential(body=nn.Sequential(pool=nn.PMeanPool2d(2)))
    with pytest.raises(ValueError, match="body.pool PMeanPool2d expects x >= 0, got values from -1; put a ReLU before"):
        network(-x)


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"a pooling window of \(3, 3\) does not fit an image of \(2, 4\)"):
        ops.power_mean_pool2d(np.ones((1, 1, 2, 4)), 3)
    with pytest.raises(ValueError, match=r"PMeanPool2d has a window of \(3, 3\), which does not fit"):
        nn.PMeanPool2d(3)(np.ones((1, 1, 2, 4)))
