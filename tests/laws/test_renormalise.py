"""Local renormalisation: its definition, the Taylor step of its relevance, and multipliers by its twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_law
from support.gradcheck import gradient_function
from support.networks import networks
from support.tolerance import assert_close

from minidl import Tensor, grad, nn, ops
from minidl.explain import deeplift, lrp
from minidl.explain.ledger import Ledger
from minidl.explain.lrp import relevance
from minidl.explain.rules import LinearRule, basic, epsilon, rescale, reveal_cancel
from minidl.explain.table import Table
from minidl.ops.renormalise import LocalResponseNormalise
from minidl.tape import record

seeds = st.integers(0, 10_000)
settings = st.tuples(
    st.integers(1, 6), st.sampled_from([0.0, 0.3, 2.0]), st.sampled_from([0.25, 0.75, 2.0]), st.sampled_from([0.5, 1.0])
)


def window(i, size, channels):
    """The channels around channel i."""
    return range(max(0, i - size // 2), min(channels, i + (size - 1) // 2 + 1))


def by_loops(x, size, alpha, beta, k):
    y = np.zeros_like(x)
    for i in range(x.shape[1]):
        squares = sum(x[:, j] ** 2 for j in window(i, size, x.shape[1]))
        y[:, i] = x[:, i] / (k + alpha / size * squares) ** beta
    return y


def relevance_of(x, R, setting):
    """The shares of x for relevances R of y, and what was undefined."""
    source = Tensor(x)
    y = ops.local_response_norm(source, *setting)
    ledger = Ledger(R.reshape(len(R), -1).sum(1))
    shares = relevance(y, source, R, Table(basic(), LinearRule, "test"), ledger)
    return shares, ledger.total()


@pytest.mark.source("lrp:local-renormalisation")
@given(seed=seeds, setting=settings, ndim=st.integers(2, 4))
def test_it_divides_by_a_power_of_the_squares_around_each_channel(seed, setting, ndim):
    x = np.random.default_rng(seed).normal(size=(2, 5, 3, 2)[:ndim])
    assert_close(ops.local_response_norm(x, *setting), by_loops(x, *setting))


@given(seed=seeds, setting=settings)
def test_it_is_its_twin_in_value_and_in_two_derivatives(seed, setting):
    rng = np.random.default_rng(seed)
    op, x = LocalResponseNormalise(*setting), rng.normal(size=(2, 5, 3))

    def one(h):
        return record(op, h)

    assert_close(one(x), op.simple(x))
    w, u = rng.normal(size=x.shape), rng.normal(size=x.shape)
    slopes = [grad(f(h := Tensor(x)), h, upstream=w) for f in (one, op.simple)]
    largest = setting[3] ** -setting[2]  # slopes are sums of terms of w over d^beta
    assert_close(*slopes, scale=10 * largest * abs(w).sum())
    seconds = [grad(gradient_function(f, [u])(*(leaves := [Tensor(x), Tensor(w)])), leaves) for f in (one, op.simple)]
    for ours, theirs in zip(*seconds):
        assert_close(ours, theirs, scale=100 * largest * (abs(w).sum() + 1) * abs(u).sum())


@pytest.mark.source("lrp:local-renormalisation")
@given(seed=seeds, setting=settings)
def test_relevance_goes_in_proportion_to_first_order_terms(seed, setting):
    rng = np.random.default_rng(seed)
    x, R = rng.normal(size=(1, 5)), rng.normal(size=(1, 5))
    source = Tensor(x)
    y = ops.local_response_norm(source, *setting)
    slopes = np.concatenate([grad(y[:, j], source) for j in range(5)])  # row j: dy_j / dx
    terms = slopes * x
    messages = terms / terms.sum(1, keepdims=True) * R[0][:, None]
    shares, undefined = relevance_of(x, R, setting)
    # where the terms of a unit nearly cancel, their sum has lost the digits that they have in common
    lost = (abs(terms).sum(1) / abs(terms.sum(1))).max()
    assert_close(shares, messages.sum(0, keepdims=True), scale=abs(messages).sum() * lost)
    assert_close(shares.sum(1) + undefined, R.sum(1), scale=abs(messages).sum() * lost)
    assert undefined == 0


def test_a_neighbour_that_holds_a_unit_down_speaks_against_it():
    x, setting = np.array([[1.0, 2.0]]), (3, 3.0, 0.5, 1.0)
    shares, _ = relevance_of(x, np.array([[1.0, 0.0]]), setting)  # y_0 = x_0 / sqrt(1 + x_0^2 + x_1^2)
    d = 6.0
    terms = np.array([1 - 1 / d, -4 / d])  # times y_0
    assert_close(shares, terms[None] / terms.sum())
    assert shares[0, 0] > 1 and shares[0, 1] < 0


@pytest.mark.source("lrp:local-renormalisation")
@given(seed=seeds, size=st.integers(1, 5), k=st.sampled_from([0.5, 2.0]))
def test_without_neighbours_relevance_only_passes(seed, size, k):
    rng = np.random.default_rng(seed)
    x, R = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3))
    shares, undefined = relevance_of(x, R, (size, 0.0, 0.75, k))
    assert_close(shares, R, scale=abs(R))
    assert (undefined == 0).all()


@pytest.mark.source("lrp:local-renormalisation")
def test_terms_that_sum_to_0_leave_relevance_undefined():
    x, R = np.array([[1.0, 3.0, 0.0]]), np.array([[5.0, 7.0, 2.0]])
    shares, undefined = relevance_of(x, R, (1, 1.0, 1.0, 1.0))  # x / (1 + x^2) is level at 1, and 0 at 0
    assert_close(shares, np.array([[0.0, 7.0, 0.0]]))
    assert_close(undefined, np.array([5.0 + 2.0]))


@given(x=st.floats(-3, 3), y=st.floats(-3, 3), x0=st.floats(-3, 3), y0=st.floats(-3, 3))
def test_multipliers_are_shapley_values_of_the_signal_and_its_divisor(x, y, x0, y0):
    """Of the second of two channels: the signal y is one player; the divisor the other, parted by the squares in it."""
    beta, here, there = 0.75, np.array([[x, y]]), np.array([[x0, y0]])

    def of_second(h):
        return ops.local_response_norm(h, 2, 2.0, beta)[:, 1]

    def gate(p, q):
        return (1 + p**2 + q**2) ** -beta

    result = deeplift(of_second, here, reference=there)
    of_signal = (y - y0) * (gate(x, y) + gate(x0, y0)) / 2
    of_divisor = (gate(x, y) - gate(x0, y0)) * (y + y0) / 2
    change, gross = x**2 + y**2 - x0**2 - y0**2, x**2 + y**2 + x0**2 + y0**2
    assert_law(result)
    if change:  # the quotient has lost the digits that its squares have in common
        parts = of_divisor * np.array([x**2 - x0**2, y**2 - y0**2]) / change
        size = (abs(of_signal) + abs(y) + abs(y0) + 1) * (1 + gross / abs(change)) * (1 + gross)
        assert_close(result.scores[0], parts + [0, of_signal], scale=size)


@st.composite
def renormalised(draw):
    """Two renormalisations below a drawn network, weak enough for no unit's terms to cancel; input and reference."""
    top = draw(networks(images=False))
    rng = np.random.default_rng(draw(seeds))
    size, alpha = draw(st.integers(1, 5)), draw(st.sampled_from([0.1, 3.0]))
    W, b, V, c = (rng.normal(size=s) for s in ((4, 2, 3, 3), 4, (4, 4), 4))

    def network(h):
        h = ops.relu(ops.conv2d(ops.local_response_norm(h, size, alpha, 0.25), W, b))
        return top(ops.affine(ops.mean(ops.local_response_norm(h, size, alpha, 0.25), (2, 3)), V, c))

    return network, rng.normal(size=(2, 2, 5, 5)), rng.normal(size=(1, 2, 5, 5))


@pytest.mark.source("lrp:local-renormalisation")
@pytest.mark.parametrize("rule", [basic(), epsilon(0.1)], ids=["basic", "epsilon"])
@given(drawn=renormalised())
def test_relevance_is_conserved_through_networks(rule, drawn):
    network, x, _ = drawn
    assert_law(lrp(network, x, 0, rules=rule))


@pytest.mark.parametrize("rule", [rescale(), reveal_cancel()], ids=["rescale", "reveal_cancel"])
@given(drawn=renormalised())
def test_contributions_sum_to_the_difference_through_networks(rule, drawn):
    network, x, reference = drawn
    assert_law(deeplift(network, x, 0, reference=reference, rules=rule))


def test_the_layer_is_the_operation():
    x = np.random.default_rng(0).random((2, 6, 3, 3), np.float32)
    layer = nn.LocalResponseNorm(3, alpha=0.5, k=2)
    y = layer(x)
    assert y.dtype == np.float32 and repr(layer) == "LocalResponseNorm(size=3, alpha=0.5, beta=0.75, k=2.0)"
    np.testing.assert_array_equal(y.data, ops.local_response_norm(x, 3, 0.5, 0.75, 2))
    with pytest.raises(ValueError, match=r"LocalResponseNorm expects \(N, C, ...\), got \(4,\); a single row needs"):
        layer(np.ones(4))
    with pytest.raises(TypeError, match="LocalResponseNorm expects floating-point data, got int64"):
        layer(np.ones((2, 3), int))


@pytest.mark.peers
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_window_and_alpha_are_torchs(size):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(2, 7, 3, 3))
    theirs = torch.nn.functional.local_response_norm(torch.from_numpy(x), size, 0.7, 0.6, 1.5).numpy()
    assert_close(ops.local_response_norm(x, size, 0.7, 0.6, 1.5), theirs)


@pytest.mark.parametrize("make", [nn.LocalResponseNorm, lambda *a: ops.local_response_norm(np.ones((1, 2)), *a)])
@pytest.mark.parametrize(
    "setting, sentence",
    [
        ((0,), "size must be a positive int, got 0"),
        ((2.0,), r"size must be a positive int, got 2\.0"),
        ((3, -1.0), r"alpha must be finite and >= 0, got -1\.0"),
        ((3, 1.0, float("nan")), "beta must be finite and >= 0, got nan"),
        ((3, 1.0, 0.75, 0), "k must be finite and > 0, got 0"),
        ((3, "1"), "alpha must be finite and >= 0, got '1'"),
    ],
)
def test_settings_outside_their_limits_are_refused(make, setting, sentence):
    with pytest.raises(ValueError, match=f"(LocalResponseNorm|local_response_norm): {sentence}"):
        make(*setting)


def test_an_input_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"local_response_norm: x must be \(N, C, ...\), got \(3,\)"):
        ops.local_response_norm(np.ones(3), 1)
