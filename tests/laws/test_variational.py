"""Variational inference by noise: both objectives have one gradient, both algorithms take one way, and the KL terms."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.masks import Scripted, chances, every
from support.tolerance import assert_close

from minidl import Tensor, backend, bayes, grad, losses, nn, ops
from minidl.bayes import (
    bernoulli_kl,
    bernoulli_kl_bounds,
    categorical_log_likelihood,
    discrete_kl,
    dropout_objective,
    euclidean_error,
    gaussian_kl,
    gaussian_log_likelihood,
    length_scale,
    log_uniform_kl,
    minimise_divergence,
    objective,
    penalty,
    precision,
    quadratic_kl,
    train_with_dropout,
    weight_decay,
)
from minidl.nn import AdditiveNoise, Dense, DropConnect, Dropout, GaussianDropout, Sequential

seeds = given(seed=st.integers(0, 10_000))
TIGHT = dict(rtol=1e-12, atol=1e-12)
DECAY = {"first.W": 0.02, "second.W": 0.03, "first.b": 0.01}


def network(rng, noise=lambda: Dropout(0.3, scaled=False), outputs=2):
    return Sequential(
        drop1=noise(), first=Dense(3, 4, rng=rng, dtype="float64"), act=nn.Tanh(),
        drop2=noise(), second=Dense(4, outputs, rng=rng, dtype="float64"),
    )  # fmt: skip


def gradients(value, model):
    """The gradient in every parameter, as one vector; 0 where a parameter is not in the value."""
    parameters = list(model.parameters().values())
    return np.concatenate([g.ravel() for g in grad(value + sum((p * 0).sum() for p in parameters), parameters)])


# --------------------------------------------------------------------------------------------------- the two objectives


@pytest.mark.source("gal:eq3.10")
@given(seed=st.integers(0, 10_000), tau=st.floats(0.1, 10), D=st.integers(1, 3))
def test_a_squared_error_is_a_scaled_log_likelihood_up_to_a_constant(seed, tau, D):
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    f, y = rng.normal(size=(4, D)), rng.normal(size=(4, D))
    by_scipy = norm.logpdf(y, f, tau**-0.5).sum(1)
    found = gaussian_log_likelihood(Tensor(f), y, tau).data
    np.testing.assert_allclose(found, by_scipy, **TIGHT)
    np.testing.assert_allclose(
        euclidean_error(Tensor(f), y).data, -found / tau + D / (2 * tau) * np.log(tau / (2 * np.pi)), **TIGHT
    )
    mean = losses.euclidean(Tensor(f), y).item()
    np.testing.assert_allclose(euclidean_error(Tensor(f), y).data.mean(), mean, **TIGHT)


@pytest.mark.source("gal:eq3.1", "gal:eq3.2", "gal:eq3.7")
@settings(max_examples=5)  # each goes through some thousand networks
@seeds
def test_value_and_gradient_are_unbiased_over_all_batches_and_all_masks(seed):
    rng = np.random.default_rng(seed)
    model, x, y = network(rng, outputs=1), rng.normal(size=(3, 3)), rng.normal(size=(3, 1))
    kept, kl = every(7), quadratic_kl(model.parameters(), DECAY, 3, 2.0)
    w = chances(kept, 0.3)

    def draws(rows):
        """The log likelihoods of some data points under every mask, in the text's notation: (128, M)."""
        script = np.repeat(kept, len(rows), 0)
        f = model(np.concatenate([x[rows]] * 128), rng=Scripted(script[:, :3], script[:, 3:]))
        return gaussian_log_likelihood(ops.reshape(f, (128, len(rows), 1)), y[rows], 2.0)

    whole = objective(draws([0, 1, 2]), kl, weights=w)
    ell = draws([0, 1, 2]).data
    np.testing.assert_allclose(whole.item(), -(w @ ell).sum() + kl.item(), **TIGHT)
    batches = list(combinations(range(3), 2))
    of_batches = [objective(draws(list(S)), kl, 3, w) for S in batches]
    np.testing.assert_allclose(np.mean([b.item() for b in of_batches]), whole.item(), **TIGHT)
    np.testing.assert_allclose(np.mean([gradients(b, model) for b in of_batches], 0), gradients(whole, model), **TIGHT)
    # one draw for each data point: its mean over all pairs of masks is a sum over points of means over masks
    value, slope = -kl.item(), -gradients(kl, model)
    for k in range(3):
        single = draws([k])
        of_draws = [objective(single[t], kl, 3) for t in range(128)]
        value += w @ [o.item() for o in of_draws] / 3
        slope += w @ [gradients(o, model) for o in of_draws] / 3
    np.testing.assert_allclose(value + kl.item(), whole.item(), **TIGHT)
    np.testing.assert_allclose(slope + gradients(kl, model), gradients(whole, model), **TIGHT)
    equal = objective(draws([0, 1, 2]), 0.0).item()
    np.testing.assert_allclose(equal, -ell.mean(0).sum(), **TIGHT)


NOISE = {
    "Dropout": lambda: Dropout(0.3, scaled=False),
    "Dropout, scaled": lambda: Dropout(0.3),
    "GaussianDropout": lambda: GaussianDropout(0.4),
    "DropConnect": lambda: DropConnect(Dense(3, 3, rng=5, dtype="float64"), 0.3),
    "AdditiveNoise": lambda: AdditiveNoise(Dense(3, 3, rng=5, dtype="float64"), 0.3),
}


@pytest.mark.source("gal:scale-relation", "gal:eq3.12", "gal:eq3.9", "gal:eq3.11")
@pytest.mark.parametrize("noise", NOISE)
@given(seed=st.integers(0, 10_000), tau=st.floats(0.1, 10), n=st.integers(4, 100))
def test_the_gradient_of_dropout_is_that_of_inference_over_n_tau(noise, seed, tau, n):
    rng = np.random.default_rng(seed)
    model, x, y = network(rng), rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    model = Sequential(noise=NOISE[noise](), **model.children())
    f, parameters = model(x, rng=seed), model.parameters()  # frozen: both see the same weights
    dropout = dropout_objective(euclidean_error(f, y), penalty(parameters, DECAY))
    ell = gaussian_log_likelihood(f, y, tau)
    inference = objective(ell, quadratic_kl(parameters, DECAY, n, tau), n)
    np.testing.assert_allclose(gradients(dropout, model), gradients(inference, model) / (n * tau), **TIGHT)
    rewritten = dropout_objective(ell * (-1 / tau), penalty(parameters, DECAY))  # eq 3.11: up to a constant
    np.testing.assert_allclose(rewritten.item() - dropout.item(), -np.log(tau / (2 * np.pi)) / tau, **TIGHT)
    by_hand = ((y - f.data) ** 2).sum(1).mean() / 2 + sum(d * (parameters[k].data ** 2).sum() for k, d in DECAY.items())
    np.testing.assert_allclose(dropout.item(), by_hand, **TIGHT)


@pytest.mark.source("gal:discrete-prior", "gal:scale-relation", "gal:eq3.13", "gal:footnote7", "gal:eq3.12")
@pytest.mark.parametrize("loss", ["half", "mse"])
@pytest.mark.parametrize("masks", ["01", "scaled"])
@given(seed=st.integers(0, 10_000), p=st.floats(0, 0.9), tau=st.floats(0.1, 10), scale=st.floats(0.1, 10))
def test_with_a_discrete_prior_weight_decay_is_exact_in_every_convention(masks, loss, seed, p, tau, scale):
    rng = np.random.default_rng(seed)
    model = network(rng, lambda: Dropout(p, scaled=masks == "scaled"))
    x, y, n = rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), 40
    parameters, f = model.parameters(), model(x, rng=seed)
    outputs = 2 if loss == "mse" else 1
    options = dict(masks=masks, loss=loss, outputs=outputs)
    decay = {path: weight_decay(scale, p, tau, n, **options) for path in ("first.W", "second.W")}
    decay["first.b"] = weight_decay(scale, 0.0, tau, n, **options)  # a bias carries no noise
    error = losses.mse(f, y) if loss == "mse" else losses.euclidean(f, y)
    kl = sum(discrete_kl(parameters[path], p, scale, masks=masks) for path in ("first.W", "second.W"))
    kl = kl + discrete_kl(ops.reshape(parameters["first.b"], (1, -1)), 0.0, scale)
    inference = objective(gaussian_log_likelihood(f, y, tau), kl, n)
    factor = 2 / outputs if loss == "mse" else 1  # of the error, and so of the whole
    of_dropout = gradients(error + penalty(parameters, decay), model)
    expected = factor * gradients(inference, model) / (n * tau)
    np.testing.assert_allclose(of_dropout, expected, rtol=1e-12, atol=1e-12 * (1 + abs(of_dropout).max()))


@pytest.mark.source("gal:eq3.13", "gal:eq3.12")
def test_how_far_the_gaussian_prior_is_from_weight_decay():
    rng = np.random.default_rng(0)
    M, p, scale = rng.normal(size=(6, 8)), 0.3, 2.0
    M /= np.linalg.norm(M, axis=1, keepdims=True)  # rows of length 1

    def off(sigma):
        W = Tensor(M)
        exact = grad(bernoulli_kl(W, p, scale, sigma), W)
        assert_close(grad(bernoulli_kl_bounds(W, p, scale, sigma).upper, W), (1 - p) * scale**2 * M)
        return np.linalg.norm(exact - (1 - p) * scale**2 * M) / np.linalg.norm((1 - p) * scale**2 * M)

    sizes = [off(sigma) for sigma in (1, 0.3, 0.1, 0.05)]
    assert sizes[0] > 0.05 and max(sizes) < 1
    assert sizes[1] > sizes[2] > sizes[3]  # narrower parts overlap less
    assert sizes[3] < 1e-12  # 20 standard deviations apart: the KL condition holds to rounding
    wide = M * 3  # and so they do with more units behind each
    W = Tensor(wide)
    exact = grad(bernoulli_kl(W, p, scale, 0.1), W)
    assert np.linalg.norm(exact - (1 - p) * scale**2 * wide) < 1e-12 * np.linalg.norm(wide)


# --------------------------------------------------------------------------------------------------- the two algorithms


@pytest.mark.source("gal:alg1", "gal:alg2", "gal:scale-relation")
@given(seed=st.integers(0, 10_000), tau=st.floats(0.5, 2))
def test_both_algorithms_take_the_same_way(seed, tau):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    one, other = network(np.random.default_rng(seed)), network(np.random.default_rng(seed))
    settings = dict(steps=5, batch_size=4, seed=seed)
    by_inference = minimise_divergence(
        one, x, y, log_likelihood=lambda f, t: gaussian_log_likelihood(f, t, tau), rate=0.05 / (10 * tau),
        kl=lambda model: quadratic_kl(model.parameters(), DECAY, 10, tau), **settings,
    )  # fmt: skip
    by_dropout = train_with_dropout(other, x, y, error=euclidean_error, decay=DECAY, rate=0.05, **settings)
    for a, b in zip(one.parameters().values(), other.parameters().values(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-11, atol=1e-11)
    constant = -np.log(tau / (2 * np.pi)) / tau  # what eq 3.10 leaves open, for two outputs
    np.testing.assert_allclose(np.array(by_inference) / (10 * tau), np.array(by_dropout) + constant, rtol=1e-9)


@pytest.mark.source("gal:alg1", "gal:alg2")
def test_steps_go_down_and_the_kl_counts_once():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    model = network(rng, lambda: GaussianDropout(1e-12))
    start, M = model.state_dict(), 3
    minimise_divergence(
        model, x, y, log_likelihood=lambda f, t: gaussian_log_likelihood(f, t, 1.0), rate=0.01, steps=1,
        kl=lambda m: gaussian_kl(m.first.W, 0.1, 2.0), batch_size=M, seed=3,
    )  # fmt: skip
    fresh = network(np.random.default_rng(9), lambda: GaussianDropout(1e-12))
    fresh.load_state_dict(start)
    S = np.random.default_rng([3, 0, 0]).choice(6, M, replace=False)
    f = fresh(x[S])
    loss = ((y[S] - f) ** 2).sum() * (6 / M / 2)  # -(N/M) sum log p, and the KL outside the sum: l^2 M once
    step = gradients(loss, fresh)
    step[: start["first.W"].size] += 4 * start["first.W"].ravel()
    moved = np.concatenate([model.parameters()[k].data.ravel() - start[k].ravel() for k in model.parameters()])
    np.testing.assert_allclose(moved, -0.01 * step, rtol=1e-4)  # the noise is 1e-6 of the features
    losses_ = train_with_dropout(
        network(np.random.default_rng(1), lambda: Dropout(0.0)), x, y, error=euclidean_error, decay=DECAY,
        rate=0.05, steps=40, batch_size=6, seed=0,
    )  # fmt: skip
    assert all(after < before for before, after in zip(losses_, losses_[1:]))


def test_classification_has_the_likelihood_of_its_softmax():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    found = categorical_log_likelihood(Tensor(z), labels)
    np.testing.assert_allclose(found.data, np.log(ops.softmax(z)[range(5), labels]), **TIGHT)
    np.testing.assert_allclose(-found.data.mean(), losses.cross_entropy(Tensor(z), labels).item(), **TIGHT)


# ------------------------------------------------------------------------------------------------------------- KL terms


def normal(u, mean, deviation):
    return np.exp(-(((u - mean) / deviation) ** 2) / 2) / (deviation * np.sqrt(2 * np.pi))


@pytest.mark.source("gal:eq3.13")
@pytest.mark.parametrize("masks", ["01", "scaled"])
@given(
    seed=st.integers(0, 10_000), p=st.floats(0, 0.95), scale=st.floats(0.1, 10), sigma=st.floats(1e-3, 10)
)  # fmt: skip
def test_the_kl_of_the_mixture_lies_between_its_bounds(masks, seed, p, scale, sigma):
    M = Tensor(np.random.default_rng(seed).normal(size=(3, 4)))
    lower, upper = (b.item() for b in bernoulli_kl_bounds(M, p, scale, sigma, masks=masks))
    kl = bernoulli_kl(M, p, scale, sigma, masks=masks).item()
    room = 1e-13 * (1 + abs(upper))
    assert lower - room <= kl <= upper + room
    H = -sum(q * np.log(q) for q in (p, 1 - p) if q > 0)
    assert_close(upper - lower, np.float64(3 * H), scale=1 + abs(upper))


@pytest.mark.source("gal:eq3.13")
@pytest.mark.parametrize("p, scale, sigma", [(0.5, 1.0, 1.0), (0.1, 3.0, 0.3), (0.9, 0.2, 0.7), (0.3, 1.0, 0.05)])
def test_the_kl_of_the_mixture_is_the_integral_of_its_definition(p, scale, sigma):
    from scipy.integrate import quad

    for m in (0.2, 1.0, 2.5):

        def integrand(u, m=m):
            q = p * normal(u, 0, sigma) + (1 - p) * normal(u, m, sigma)
            return q * (np.log(q) - np.log(normal(u, 0, 1 / scale))) if q > 1e-300 else 0.0

        ends = (-12 * sigma, m + 12 * sigma)
        exact = quad(integrand, *ends, points=np.linspace(*ends, 30), limit=500, epsabs=1e-12)[0]
        found = bernoulli_kl(Tensor(np.array([[m]])), p, scale, sigma).item()
        assert abs(found - exact) < 1e-9 * (1 + abs(exact))
        kept = bernoulli_kl(Tensor(np.array([[m * (1 - p)]])), p, scale, sigma, masks="scaled").item()
        assert_close(kept, np.float64(found), scale=1 + abs(found))


@pytest.mark.source("gal:eq3.13")
def test_several_columns_are_one_integral_along_the_row():
    rng, p, scale, sigma, n = np.random.default_rng(0), 0.4, 1.5, 0.8, 200_000
    m = rng.normal(size=(1, 3))
    w = (rng.random((n, 1)) >= p) * m + sigma * rng.normal(size=(n, 3))

    def log_normal(d, deviation):
        return -(d * d).sum(1) / 2 / deviation**2 - 3 * np.log(deviation * np.sqrt(2 * np.pi))

    q = np.logaddexp(np.log(p) + log_normal(w, sigma), np.log(1 - p) + log_normal(w - m, sigma))
    terms = q - log_normal(w, 1 / scale)
    found = bernoulli_kl(Tensor(m), p, scale, sigma).item()
    assert abs(terms.mean() - found) < 5 * terms.std() / n**0.5


def test_a_row_of_zeros_has_no_slope():
    M = Tensor(np.zeros((2, 3)))
    np.testing.assert_array_equal(grad(bernoulli_kl(M, 0.3, 1.0, 0.5), M), 0)


@pytest.mark.source("gal:srt-additive")
@given(seed=st.integers(0, 10_000), alpha=st.floats(0.01, 10), scale=st.floats(0.1, 10))
def test_the_kl_of_additive_noise(seed, alpha, scale):
    M = np.random.default_rng(seed).normal(size=(2, 2))
    nodes, w = np.polynomial.hermite_e.hermegauss(20)
    w = w / w.sum()
    u = M[..., None] + np.sqrt(alpha) * nodes  # log q - log p is a square, and so exact here
    logs = np.log(normal(u, M[..., None], alpha**0.5)) - (-((u * scale) ** 2) / 2 + np.log(scale / np.sqrt(2 * np.pi)))
    found = gaussian_kl(Tensor(M), alpha, scale)
    assert_close(found.item(), (logs * w).sum(), scale=10 * (1 + abs(logs).max()))
    parameter = Tensor(M)
    assert_close(grad(gaussian_kl(parameter, alpha, scale), parameter), scale**2 * M)


@pytest.mark.source("gal:discrete-prior")
@given(seed=st.integers(0, 10_000), p=st.floats(0.05, 0.95), scale=st.floats(0.1, 3))
def test_the_kl_from_a_discrete_prior_is_the_sum_of_its_definition(seed, p, scale):
    rng = np.random.default_rng(seed)
    M = rng.normal(size=(3, 2))
    space = np.concatenate([np.zeros((1, 2)), M, rng.normal(size=(4, 2))])  # finitely many w, the atoms of q among them
    prior = np.exp(-(scale**2) / 2 * (space**2).sum(1))
    Z = prior.sum()
    expected = sum(
        p * (np.log(p) - np.log(prior[0] / Z)) + (1 - p) * (np.log(1 - p) - np.log(prior[k + 1] / Z)) for k in range(3)
    )
    found = discrete_kl(Tensor(M), p, scale, log_normaliser=np.log(Z)).item()
    assert_close(found, np.float64(expected), scale=1 + abs(expected) + scale**2 * (M**2).sum())
    kept = discrete_kl(Tensor(M * (1 - p)), p, scale, masks="scaled", log_normaliser=np.log(Z)).item()
    assert_close(kept, np.float64(expected), scale=1 + abs(expected) + scale**2 * (M**2).sum())


@pytest.mark.source("gal:log-uniform-prior")
@pytest.mark.parametrize("alpha", [1e-6, 1e-4, 0.1, 0.5, 1.0, 4.0])
def test_from_the_log_uniform_prior_the_kl_is_the_same_for_all_weights(alpha):
    from scipy.integrate import quad

    def definition(m):  # E ln q(w) - E ln(1 / |w|) by its two integrals, with what is left of 0 in the same
        deviation = abs(m) * alpha**0.5

        def integrand(w):
            q = normal(w, m, deviation)
            return q * (np.log(q) + np.log(abs(w))) if q > 1e-300 and w != 0 else 0.0

        ends = m - 20 * deviation, m + 20 * deviation
        parts = sorted({*ends, *([0.0] if ends[0] < 0 < ends[1] else []), m})
        return sum(quad(integrand, a, b, limit=500, epsabs=1e-12)[0] for a, b in zip(parts, parts[1:]))

    for m in (0.3, 1.0, 7.0):
        assert abs(definition(m) - log_uniform_kl(alpha)) < 1e-8


def test_both_ways_to_the_log_uniform_kl_meet(monkeypatch):
    series = [log_uniform_kl(alpha) for alpha in (1e-6, 9e-6)]
    monkeypatch.setattr(bayes.kl, "SMALL", 0.0)
    np.testing.assert_allclose([log_uniform_kl(alpha) for alpha in (1e-6, 9e-6)], series, rtol=1e-12)


# -------------------------------------------------------------------------------------------------------- length-scales


@pytest.mark.source("gal:eq3.13", "gal:eq3.14", "gal:eq3.17", "gal:footnote7")
@given(
    decay=st.floats(1e-6, 1), p=st.floats(0, 0.9), tau=st.floats(1e-3, 1e3), n=st.integers(1, 10**6),
    masks=st.sampled_from(["01", "scaled"]), mse=st.booleans(), outputs=st.integers(1, 5),
)  # fmt: skip
def test_each_of_the_three_follows_from_the_others(decay, p, tau, n, masks, mse, outputs):
    options = dict(masks=masks, loss="mse" if mse else "half", outputs=outputs if mse else 1)
    scale = length_scale(decay, p, tau, n, **options)
    assert_close(weight_decay(scale, p, tau, n, **options), np.float64(decay))
    assert_close(precision(decay, scale, p, n, **options), np.float64(tau))
    factor = (1 - p if masks == "01" else 1 / (1 - p)) * (2 / outputs if mse else 1)
    assert_close(scale**2, np.float64(2 * n * tau * decay / factor))


def test_the_printed_formulas_are_the_defaults():
    assert_close(length_scale(0.01, 0.5, 2.0, 100) ** 2, np.float64(2 * 100 * 2 * 0.01 / 0.5))
    assert_close(weight_decay(4.0, 0.5, 2.0, 100), np.float64(16 * 0.5 / (2 * 100 * 2)))
    assert_close(precision(0.01, 4.0, 0.5, 100), np.float64(0.5 * 16 / (2 * 100 * 0.01)))
    assert_close(weight_decay(4.0, 0.5, 2.0, 100, loss="mse"), np.float64(16 * 0.5 / (100 * 2)))  # the 2 goes


@pytest.mark.source("gal:remark-length-scale")
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 10), p=st.floats(0, 0.9))
def test_a_length_scale_is_a_unit_of_the_inputs(seed, scale, p):
    rng = np.random.default_rng(seed)
    layer, x = Dense(3, 4, rng=rng, dtype="float64"), rng.normal(size=(5, 3))
    y, kl = layer(x).data, bernoulli_kl(layer.W, p, scale, 0.2).item()
    layer.W = layer.W.data * scale  # W = W' / l: the prior of W' is N(0, I), and the inputs are x / l
    assert_close(layer(x / scale).data, y, scale=100.0)
    assert_close(bernoulli_kl(layer.W, p, 1.0, 0.2 * scale).item(), np.float64(kl), scale=1 + 100 * scale**2)


@pytest.mark.source("gal:remark-fourier")
@given(seed=st.integers(0, 10_000), K=st.integers(1, 6), period=st.floats(0.5, 5))
def test_a_fourier_series_is_a_network_with_sines(seed, K, period):
    rng = np.random.default_rng(seed)
    x, A, phase = rng.normal(size=(7, 1)), rng.normal(size=K + 1), rng.normal(size=K)
    hidden = Dense(1, K, dtype="float64")
    output = Dense(K, 1, dtype="float64")
    hidden.W, hidden.b = 2 * np.pi * np.arange(1, K + 1)[None] / period, phase
    output.W, output.b = A[1:, None], A[:1] / 2
    series = A[0] / 2 + sum(A[k] * np.sin(2 * np.pi * k / period * x + phase[k - 1]) for k in range(1, K + 1))
    size = (1 + abs(hidden.W.data).max() * abs(x).max()) * abs(A).sum()
    assert_close(output(ops.sin(hidden(x))).data, series, scale=size)


@pytest.mark.source("gal:vi-underestimates")
@seeds
def test_a_factorised_posterior_has_too_small_variances(seed):
    rng = np.random.default_rng(seed)
    x, tau, scale = rng.normal(size=(6, 3)) @ rng.normal(size=(3, 3)), 2.0, 1.5
    exact = np.linalg.inv(tau * x.T @ x + scale**2 * np.eye(3))  # the posterior's covariance, of a linear model
    best = 3 / np.trace(np.linalg.inv(exact))
    W, y = np.zeros((3, 1)), rng.normal(size=(6, 1))

    def of(alpha):  # eq 3.1, whose integral is that of signs for a square
        signs = 2 * every(3)[:, None, :, None] - 1.0
        f = (x[None, :, :] @ (W + alpha**0.5 * signs)[:, 0]).reshape(8, 6, 1)
        return objective(gaussian_log_likelihood(Tensor(f), y, tau), gaussian_kl(Tensor(W), alpha, scale)).item()

    assert of(best) <= min(of(0.9 * best), of(1.1 * best))
    assert best <= np.trace(exact) / 3 * (1 + 1e-9)


# ------------------------------------------------------------------------------------------------------------- refusals

M = Tensor(np.ones((2, 3)))


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: length_scale(0.1, 1.0, 1.0, 5), r"length_scale: p, the probability .* \[0, 1\), got 1.0"),
        (lambda: length_scale(0.0, 0.1, 1.0, 5), "length_scale: weight_decay must be .* above 0, got 0.0"),
        (lambda: weight_decay(1.0, 0.1, 0, 5), "weight_decay: tau must be a finite number above 0, got 0"),
        (lambda: weight_decay(1.0, -0.1, 1.0, 5), r"weight_decay: p, .* got -0.1"),
        (lambda: precision(0.1, float("inf"), 0.1, 5), "precision: length_scale must be a finite .* got inf"),
        (lambda: precision(0.1, 1.0, 0.1, 0), "precision: n, the number of data points, .* got 0"),
        (lambda: precision(0.1, 1.0, 0.1, 2.5), "precision: n, .* got 2.5"),
        (lambda: length_scale(0.1, 0.1, 1.0, 5, masks="0/1"), 'masks must be "01" or "scaled", got \'0/1\''),
        (lambda: length_scale(0.1, 0.1, 1.0, 5, loss="l2"), 'loss must be "half" or "mse", got \'l2\''),
        (lambda: length_scale(0.1, 0.1, 1.0, 5, outputs=2), 'outputs, which "mse" averages over, .* got 2'),
        (lambda: length_scale(0.1, 0.1, 1.0, 5, loss="mse", outputs=0), "outputs, .* at least 1, got 0"),
        (lambda: bernoulli_kl(M, 1.0, 1.0, 1.0), r"p, the probability of dropping, must lie in \[0, 1\), got 1.0"),
        (lambda: bernoulli_kl_bounds(M, 0.5, 0.0, 1.0), "length_scale must be a finite number above 0, got 0.0"),
        (lambda: bernoulli_kl(M, 0.5, 1.0, -1.0), "sigma must be a finite number above 0, got -1.0"),
        (lambda: bernoulli_kl(M[0], 0.5, 1.0, 1.0), r"M must be a matrix .* got shape \(3,\)"),
        (lambda: discrete_kl(M, 0.5, 1.0, masks=1), 'masks must be "01" or "scaled", got 1'),
        (lambda: gaussian_kl(M, 0.0, 1.0), "gaussian_kl: alpha must be a finite number above 0, got 0.0"),
        (lambda: log_uniform_kl(-1.0), "log_uniform_kl: alpha must be a finite number above 0, got -1.0"),
        (lambda: gaussian_log_likelihood(M, np.ones((2, 3)), 0.0), "tau, the model precision, .* got 0.0"),
        (lambda: gaussian_log_likelihood(M, np.ones(3), 1.0), r"y must be \(N, D\) as the outputs \(2, 3\), got"),
        (lambda: bernoulli_kl(M, -0.1, 1.0, 1.0), r"^bernoulli_kl: p, .* got -0.1"),
        (lambda: objective(M[0], 0.0, 2), "n, the number of data points, .* an int >= 3, the batch's, got 2"),
        (lambda: objective(M[0], 0.0, float("nan")), "n, the number of data points, must be an int .* got nan"),
        (lambda: objective(M, 0.0, weights=[1.0]), r"objective: weights must be \(2,\), .* got shape \(1,\)"),
        (lambda: objective(M, 0.0, weights=[2.0, 3.0]), "objective: weights must be .* sum to 1, .* with sum 5"),
        (lambda: objective(M[0], 0.0, weights=[1.0]), r"\(T, M\) where there are weights, .* got shape \(3,\)"),
        (lambda: objective(M[0, :0], 0.0), r"with M of at least 1, got shape \(0,\)"),
        (lambda: objective(M.sum(), 0.0), r"log_likelihood must be \(M,\), .* got shape \(\)"),
        (lambda: categorical_log_likelihood(M, [0, 3]), "categorical_log_likelihood: labels .* in 0..2, got 0..3"),
        (lambda: categorical_log_likelihood(M, [0]), r"logits \(2, 3\) need labels of shape \(2,\)"),
        (lambda: penalty({"0.W": M}, {"1.W": 0.1}), "there is no parameter '1.W'; there are 0.W"),
    ],
)  # fmt: skip
def test_what_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_labels_that_are_no_integers():
    with pytest.raises(TypeError, match="categorical_log_likelihood: labels must be integers, got float64"):
        categorical_log_likelihood(M, [0.0, 1.0])


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(batch_size=5), "batch_size must lie in 1..N for x and y of N rows, got 5 for 4 and 4 rows"),
        (dict(y=np.ones((3, 2))), "batch_size must lie in 1..N .* for 4 and 3 rows"),
        (dict(batch_size=2.5), "batch_size must be an int >= 1, got 2.5"),
        (dict(steps=0), "steps must be an int >= 1, got 0"),
        (dict(seed=None), "seed must be an int >= 0, got None"),
    ],
)
def test_what_both_algorithms_refuse(changes, sentence):
    given = dict(x=np.ones((4, 3)), y=np.ones((4, 2)), rate=0.1, steps=1, batch_size=2, seed=0) | changes
    model = network(np.random.default_rng(0))
    with pytest.raises(ValueError, match=f"^train_with_dropout: {sentence}"):
        train_with_dropout(model, error=euclidean_error, decay={}, **given)
    with pytest.raises(ValueError, match=f"^minimise_divergence: {sentence}"):
        minimise_divergence(model, log_likelihood=lambda f, y: -euclidean_error(f, y), kl=lambda model: 0.0, **given)


def test_every_array_module_gives_numpys_numbers(xp):
    rng = np.random.default_rng(0)
    m, f, y = rng.normal(size=(3, 4)), rng.normal(size=(2, 5, 3)), rng.normal(size=(5, 3))

    def all_of(m, f, y):
        M, f = Tensor(m), Tensor(f)
        yield from bernoulli_kl_bounds(M, 0.3, 2.0, 0.5)
        yield bernoulli_kl(M, 0.3, 2.0, 0.5, masks="scaled")
        yield discrete_kl(M, 0.3, 2.0)
        yield gaussian_kl(M, 0.3, 2.0)
        yield objective(gaussian_log_likelihood(f, y, 2.0), 0.0, 9, [0.3, 0.7])

    for ours, theirs in zip(all_of(m, f, y), all_of(*map(xp.asarray, (m, f, y))), strict=True):
        assert_close(np.float64(theirs.item()), np.float64(ours.item()), scale=1 + abs(ours.item()))


def test_training_on_every_array_module_takes_numpys_steps(xp):
    rng = np.random.default_rng(0)
    x, y, values = rng.normal(size=(8, 3)), rng.normal(size=(8, 2)), []
    for module in (backend.load("numpy"), xp):
        with backend.use(module.__name__):
            model = network(np.random.default_rng(1))
            given = dict(error=euclidean_error, decay=DECAY, rate=0.1, steps=3, batch_size=4, seed=0)
            values.append(train_with_dropout(model, module.asarray(x), module.asarray(y), **given))
    assert_close(np.array(values[1]), np.array(values[0]), scale=10.0)


def test_float32_stays_float32():
    M = Tensor(np.ones((3, 4), np.float32))
    f = Tensor(np.ones((2, 5, 3), np.float32))
    for value in (
        bernoulli_kl(M, 0.3, 2.0, 0.5), discrete_kl(M, 0.3, 2.0), gaussian_kl(M, 0.3, 2.0),
        objective(gaussian_log_likelihood(f, np.ones((5, 3)), 2.0), 0.0, 9, [0.3, 0.7]),
    ):  # fmt: skip
        assert value.dtype == np.float32
