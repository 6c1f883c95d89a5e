"""Predictive uncertainty: every formula against the enumeration of all masks, and many passes at the price of few."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.masks import Scripted, chances, every
from support.tolerance import assert_close

from minidl import Tensor, backend, nn, no_grad, ops
from minidl.bayes import (
    dogs_and_cats,
    linear_calibration,
    mc_predict,
    most_informative,
    mutual_information,
    percentiles,
    predict,
    predictive_covariance,
    predictive_entropy,
    predictive_log_likelihood,
    predictive_log_probability,
    predictive_mean,
    predictive_variance,
    sample_labels,
    second_moment,
    variation_ratio,
)
from minidl.nn import AdditiveNoise, Dense, DropConnect, Dropout, GaussianDropout, ReLU, Sequential
from minidl.tape import STATE

seeds = given(seed=st.integers(0, 10_000))
TIGHT = dict(rtol=1e-12, atol=1e-12)


class Small:
    """A network with dropout on its 3 inputs and 4 hidden units: 128 masks, and the exact predictive distribution."""

    p = (0.2, 0.4)

    def __init__(self, seed, n=2, outputs=3):
        rng = np.random.default_rng(seed)
        self.model = Sequential(
            Dropout(self.p[0]), Dense(3, 4, rng=rng, dtype="float64"), nn.Tanh(), Dropout(self.p[1], scaled=False),
            Dense(4, outputs, rng=rng, dtype="float64"),
        )  # fmt: skip
        self.x, self.y = rng.normal(size=(n, 3)), rng.normal(size=(n, outputs))
        kept = every(7)
        self.kept, self.weights = (kept[:, :3], kept[:, 3:]), chances(kept[:, :3], 0.2) * chances(kept[:, 3:], 0.4)

    def samples(self):
        """What the library's network makes of every mask: (128, N, D)."""
        script = [np.repeat(k, len(self.x), 0) for k in self.kept]
        y = self.model(np.concatenate([self.x] * 128), rng=Scripted(*script)).data
        return y.reshape(128, *self.y.shape)

    def by_hand(self):
        """The same from the text's formula, mask by mask: s(x diag(e1) M1 + b) diag(e2) M2."""
        _, first, _, _, second = self.model
        (M1, b1), (M2, b2) = ((layer.W.data, layer.b.data) for layer in (first, second))
        for e1, e2, w in zip(*self.kept, self.weights, strict=True):
            yield np.tanh(self.x @ (np.diag(e1 / 0.8) @ M1) + b1) @ (np.diag(e2.astype(float)) @ M2) + b2, w


def softmax(z):
    return ops.softmax(z)


def probabilities(rng, T=5, n=4, classes=3, sharp=1.0):
    return rng.dirichlet(np.full(classes, sharp), (T, n))


# -------------------------------------------------------------------------------------- all masks: the exact predictive


@pytest.mark.source("gal:prop2", "gal:prop3", "gal:predictive-variance", "gal:eq3.15")
@seeds
def test_mean_and_covariance_are_those_of_all_masks(seed):
    small, tau = Small(seed), 2.5
    f, w = small.samples(), small.weights
    mean = sum(wi * fi for fi, wi in small.by_hand())
    second = sum(wi * (fi[:, :, None] * fi[:, None, :] + np.eye(3) / tau) for fi, wi in small.by_hand())
    covariance = second - mean[:, :, None] * mean[:, None, :]
    np.testing.assert_allclose(predictive_mean(f, w), mean, **TIGHT)
    np.testing.assert_allclose(second_moment(f, tau, w), second, **TIGHT)
    np.testing.assert_allclose(predictive_covariance(f, tau, w), covariance, **TIGHT)
    np.testing.assert_allclose(predictive_variance(f, tau, w), covariance[:, range(3), range(3)], **TIGHT)


@pytest.mark.source("gal:eq3.18", "gal:eq3.8")
@seeds
def test_the_log_likelihood_is_that_of_the_mixture_over_all_masks(seed):
    from scipy.stats import multivariate_normal

    small, tau = Small(seed), 2.5
    density = np.zeros(2)
    for f, w in small.by_hand():
        density += w * np.array([multivariate_normal.pdf(y, fi, np.eye(3) / tau) for y, fi in zip(small.y, f)])
    found = predictive_log_likelihood(small.samples(), small.y, tau, small.weights)
    np.testing.assert_allclose(found, np.log(density), **TIGHT)


@pytest.mark.source("gal:eq3.20", "gal:mutual-information", "gal:eq3.8")
@seeds
def test_the_measures_of_a_classification_are_those_of_all_masks(seed):
    small = Small(seed)
    p, w, labels = softmax(small.samples()), small.weights, np.array([0, 2])

    def entropy(q):
        return -sum(c * np.log(c) for c in q)

    for k in range(2):
        each = [(softmax(f)[k], wi) for f, wi in small.by_hand()]
        mean = sum(wi * q for q, wi in each)
        information = sum(wi * sum(q * np.log(q / mean)) for q, wi in each)  # mean KL to the mean
        np.testing.assert_allclose(predictive_entropy(p, w)[k], entropy(mean), **TIGHT)
        np.testing.assert_allclose(mutual_information(p, w)[k], information, **TIGHT)
        np.testing.assert_allclose(predictive_log_probability(p, labels, w)[k], np.log(mean[labels[k]]), **TIGHT)


@pytest.mark.source("gal:prop2", "gal:prop3")
def test_passes_come_within_five_standard_errors_of_all_masks():
    small, T = Small(0), 4000
    f, exact = mc_predict(small.model, small.x, T, 0), small.samples()
    for estimate, values in (
        (predictive_mean(f), f),
        (second_moment(f, 1.0) - np.eye(3), f[..., :, None] * f[..., None, :]),
    ):
        truth = exact if values is f else exact[..., :, None] * exact[..., None, :]
        standard_error = values.std(0, ddof=1) / T**0.5
        assert (abs(estimate - np.tensordot(small.weights, truth, 1)) < 5 * standard_error).all()


# --------------------------------------------------------------------------- estimates from T draws, over all T-tuples


def expected(function, atoms, chance, T):
    """The mean of function(samples) over all ways to draw T of the atoms, each (N, D)."""
    total = 0
    for which in product(range(len(atoms)), repeat=T):
        total = total + np.prod(chance[list(which)]) * function(atoms[list(which)])
    return total


@pytest.mark.source("gal:prop2", "gal:prop3", "gal:predictive-variance")
@given(seed=st.integers(0, 10_000), T=st.integers(2, 4))
def test_which_estimators_are_unbiased(seed, T):
    rng = np.random.default_rng(seed)
    atoms, chance, tau = rng.normal(size=(3, 2, 2)), rng.dirichlet(np.ones(3)), 2.0
    for unbiased in (predictive_mean, lambda f, w=None: second_moment(f, tau, w)):
        np.testing.assert_allclose(expected(unbiased, atoms, chance, T), unbiased(atoms, chance), **TIGHT)
    exact, noise = predictive_covariance(atoms, tau, chance), np.eye(2) / tau
    printed = expected(lambda f: predictive_covariance(f, tau), atoms, chance, T)
    np.testing.assert_allclose(printed - noise, (exact - noise) * (T - 1) / T, **TIGHT)
    right = expected(lambda f: predictive_covariance(f, tau, unbiased=True), atoms, chance, T)
    np.testing.assert_allclose(right, exact, **TIGHT)
    variance = expected(lambda f: predictive_variance(f, tau, unbiased=True), atoms, chance, T)
    np.testing.assert_allclose(variance, exact[:, range(2), range(2)], **TIGHT)


@pytest.mark.source("gal:estimator-bias")
@seeds
def test_log_likelihood_and_entropy_are_low_and_less_so_with_more_draws(seed):
    rng = np.random.default_rng(seed)
    p, chance, y = rng.dirichlet(np.ones(3), (3, 1)), rng.dirichlet(np.ones(3)), rng.normal(size=(1, 2))
    f = rng.normal(size=(3, 1, 2))
    for function, atoms in (
        (lambda f, w=None: predictive_log_likelihood(f, y, 2.0, w), f),
        (lambda p, w=None: predictive_log_probability(p, np.array([1]), w), p),
        (predictive_entropy, p),
    ):
        means = [expected(function, atoms, chance, T)[0] for T in (1, 2, 4)]
        assert means[0] < means[1] < means[2] < function(atoms, chance)[0]


# ----------------------------------------------------------------------------------------------------------- regression


@pytest.mark.source("gal:predictive-variance")
@given(seed=st.integers(0, 10_000), tau=st.floats(0.01, 100), single=st.booleans())
def test_equal_passes_leave_the_observation_noise_exactly(seed, tau, single):
    rng = np.random.default_rng(seed)
    dtype = "float32" if single else "float64"
    model = Sequential(Dropout(0.0), Dense(3, 2, rng=rng, dtype=dtype), DropConnect(Dense(2, 2, dtype=dtype), 0.0))
    f = mc_predict(model, 1e3 * rng.normal(size=(4, 3)).astype(dtype), 7, 0)
    noise = np.full((4, 2), 1 / tau, dtype)
    np.testing.assert_array_equal(predictive_variance(f, tau), noise)
    np.testing.assert_array_equal(predictive_covariance(f, tau, unbiased=True), noise[:, :, None] * np.eye(2))


@pytest.mark.source("gal:eq3.18")
@given(seed=st.integers(0, 10_000), D=st.integers(1, 4))
def test_one_pass_has_the_likelihood_of_its_gaussian_also_far_away(seed, D):
    rng = np.random.default_rng(seed)
    f, y, tau = 1e3 * rng.normal(size=(1, 3, D)), rng.normal(size=(3, D)), 7.0
    per_output = -tau / 2 * (y - f[0]) ** 2 + np.log(tau) / 2 - np.log(2 * np.pi) / 2
    assert_close(predictive_log_likelihood(f, y, tau), per_output.sum(1))
    twice = np.concatenate([f, f + 1e6])  # a second pass that has nothing to say
    assert_close(predictive_log_likelihood(twice, y, tau), per_output.sum(1) - np.log(2), scale=abs(per_output).max())


@pytest.mark.source("gal:remark-predictive-vs-posterior")
@given(height=st.floats(0.5, 5), gap=st.floats(0.1, 2))
def test_one_posterior_many_predictive_variances(height, gap):
    first = AdditiveNoise(Dense(1, 1, bias=False, dtype="float64"), 1.0)
    first.layer.W = np.zeros((1, 1))  # for x = 1 the first layer is a standard normal, whatever follows
    z = mc_predict(first, np.ones((1, 1)), 100, 0)
    for heights in (height, 2 * height):  # the inverse distribution function of a coin with sides +- height

        def inverse_cdf(h, heights=heights):
            ramp = ops.relu(h + gap) - ops.relu(h - gap)
            return (ramp / gap - 1) * heights

        f = mc_predict(lambda x, rng=None: inverse_cdf(first(x, rng=rng)), np.ones((1, 1)), 100, 0)  # noqa: B023
        size = (1 + 10 / gap) * heights  # of the ramps, where |z| < 9
        assert_close(f, np.clip(z / gap, -1, 1) * heights, scale=size)
        of_f = predictive_variance(f, 1.0) - 1
        assert_close(of_f, np.clip(z / gap, -1, 1).var(0) * heights**2, scale=1 + size**2)


@pytest.mark.source("gal:calibration-percentile")
@given(seed=st.integers(0, 10_000), unit=st.floats(1e-3, 1e3))
def test_percentiles_do_not_know_units_and_calibration_takes_them_out(seed, unit):
    rng = np.random.default_rng(seed)
    validation, mine = rng.gamma(2, size=50), rng.gamma(2, size=20)
    mine[:5] = validation[:5]  # a point is at most as uncertain as itself
    found = percentiles(mine, validation)
    assert_close(found, np.array([100 * np.mean(validation <= u) for u in mine]))
    unit = 2.0 ** round(np.log2(unit))  # exact in floating point
    np.testing.assert_array_equal(percentiles(unit * mine, unit * validation), found)
    mean, y = rng.normal(size=50), rng.normal(size=50)
    factor = linear_calibration(mean, validation**2, y)
    assert_close(linear_calibration(mean, (factor * validation) ** 2, y), np.float64(1))
    assert_close(linear_calibration(mean, (unit * validation) ** 2, y), np.float64(factor / unit))

    def likelihood(s):
        return -0.5 * np.mean((y - mean) ** 2 / (s * validation) ** 2) - np.log(s)

    assert likelihood(factor) > max(likelihood(0.9 * factor), likelihood(1.1 * factor))


def test_the_texts_two_models_say_different_things_by_the_same_deviation():
    rng = np.random.default_rng(0)
    five = np.array([5.0])
    assert percentiles(five, rng.uniform(0.2, 2, 1000)) == 100
    assert percentiles(five, rng.uniform(10, 15, 1000)) == 0


# ------------------------------------------------------------------------------------------------------- classification


@pytest.mark.source("gal:mutual-information", "gal:eq3.20")
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 12), sharp=st.sampled_from([1e-3, 0.1, 1, 100]))
def test_bounds_of_the_measures(seed, classes, sharp):
    rng = np.random.default_rng(seed)
    p = probabilities(rng, 6, 5, classes, sharp)
    H, MI, VR = predictive_entropy(p), mutual_information(p), variation_ratio(sample_labels(p, rng))
    room = 64 * np.finfo(float).eps * np.log(classes)
    assert (MI >= 0).all() and (MI <= H + room).all() and (H <= np.log(classes) + room).all()
    assert (VR >= 0).all() and (VR <= 1 - 1 / classes).all()


@pytest.mark.source("gal:mutual-information")
@given(seed=st.integers(0, 10_000), sharp=st.sampled_from([1e-3, 0.1, 1, 100]))
def test_mutual_information_is_the_mean_divergence_from_the_mean(seed, sharp):
    p = probabilities(np.random.default_rng(seed), sharp=sharp)
    mean = p.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(p > 0, p * np.log(p / mean), 0).sum(2)
    assert_close(mutual_information(p), divergence.mean(0), scale=np.log(3))


@pytest.mark.source("gal:eq3.19", "gal:eq3.20", "gal:mutual-information", "gal:eq3.18")
@seeds
def test_the_order_of_the_passes_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    p, order = probabilities(rng, 9), rng.permutation(9)
    f, y, labels = rng.normal(size=(9, 4, 2)), rng.normal(size=(4, 2)), rng.integers(0, 3, (9, 4))
    for measure, samples in (
        (predictive_entropy, p),
        (mutual_information, p),
        (lambda f: predictive_log_likelihood(f, y, 1.0), f),
        (lambda f: predictive_variance(f, 1.0), f),
        (lambda f: predictive_covariance(f, 1.0, unbiased=True), f),
    ):
        assert_close(measure(samples[order]), measure(samples), scale=10.0)
    np.testing.assert_array_equal(variation_ratio(labels[order]), variation_ratio(labels))


@pytest.mark.source("gal:eq3.19")
@given(seed=st.integers(0, 10_000), T=st.integers(1, 9), low=st.integers(-3, 3))
def test_the_variation_ratio_counts_labels(seed, T, low):
    labels = np.random.default_rng(seed).integers(low, low + 3, (T, 5))
    for column, found in zip(labels.T, variation_ratio(labels), strict=True):
        assert_close(found, np.float64(1 - max(list(column).count(c) for c in column) / T))


def test_no_points_have_no_variation_ratio():
    assert variation_ratio(np.zeros((3, 0), int)).shape == (0,)


@pytest.mark.source("gal:remark-variation-ratio", "gal:eq3.19")
def test_the_variation_ratio_tends_to_the_probability_of_all_other_labels():
    p = np.array([[[0.2, 0.7, 0.1]], [[0.5, 0.3, 0.2]]])
    T, likeliest = 20_000, 0.5  # of the mean (.35, .5, .15)
    ratio = variation_ratio(sample_labels(np.concatenate([p] * (T // 2)), 0))[0]
    assert abs(ratio - (1 - likeliest)) < 5 * np.sqrt((0.7 * 0.3 + 0.3 * 0.7) / 2 / T)


@given(seed=st.integers(0, 10_000), single=st.booleans())
def test_labels_are_drawn_from_each_vector_and_never_where_it_is_zero(seed, single):
    rng = np.random.default_rng(seed)
    p = probabilities(rng, 50, 40, 4, 0.01).astype("float32" if single else "float64")
    p[p < 1e-6] = 0
    labels = sample_labels(p / p.sum(-1, keepdims=True), rng)
    assert labels.shape == (50, 40) and (np.take_along_axis(p, labels[..., None], 2) > 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_random_number_still_draws_a_label_that_is_possible(dtype):
    p = np.array([[[1.0, 0.0, 0.0], [0.3, 0.7, 0.0]]], dtype)
    assert sample_labels(p, Largest(np.random.PCG64(0))).tolist() == [[0, 1]]


class Largest(np.random.Generator):
    """Draws the largest number below 1 that there is, which rounds to 1 in float32."""

    def random(self, size=None, dtype=np.float64):
        return np.full(size, np.nextafter(dtype(1), dtype(0)))


def test_labels_have_the_frequencies_of_their_vector():
    q, T = np.array([0.1, 0.2, 0.7]), 20_000
    counts = np.bincount(sample_labels(np.broadcast_to(q, (T, 1, 3)), 0)[:, 0]) / T
    assert (abs(counts - q) < 5 * np.sqrt(q * (1 - q) / T)).all()


@pytest.mark.source("gal:three-examples")
@given(half=st.integers(1, 20))
def test_dogs_and_cats(half):
    p = dogs_and_cats(2 * half)
    np.testing.assert_allclose(predictive_entropy(p), [0, np.log(2), np.log(2)], atol=1e-15)
    np.testing.assert_allclose(mutual_information(p), [0, 0, np.log(2)], atol=1e-15)
    likeliest = variation_ratio(p.argmax(2))
    np.testing.assert_array_equal(likeliest, [0, 0, 0.5])  # it hides what set 2 is about
    sampled = sample_labels(p, half)
    np.testing.assert_array_equal(variation_ratio(sampled)[[0, 2]], [0, 0.5])
    share = (sampled[:, 1] == 0).mean()
    assert_close(variation_ratio(sampled)[1], np.float64(1 - max(share, 1 - share)))


@pytest.mark.source("gal:active-learning")
@seeds
def test_the_most_informative_points_are_asked_about(seed):
    p = probabilities(np.random.default_rng(seed), n=9)
    asked = most_informative(p, 4)
    information = mutual_information(p)
    assert list(information[asked]) == sorted(information, reverse=True)[:4]
    sets = dogs_and_cats()  # what is uncertain however much one learns is not worth a label
    assert most_informative(sets, 1) == [2] and predictive_entropy(sets)[1] == predictive_entropy(sets)[2]


# ----------------------------------------------------------------------------------------------------------- mc_predict


def noisy(rng, dtype="float64"):
    return Sequential(
        Dense(3, 8, rng=rng, dtype=dtype), ReLU(), Dropout(0.5, scaled=False),
        DropConnect(Dense(8, 6, rng=rng, dtype=dtype), 0.2), GaussianDropout(0.3),
        AdditiveNoise(Dense(6, 2, rng=rng, dtype=dtype), 0.1),
    )  # fmt: skip


@pytest.mark.source("gal:test-time-batching", "gal:prop2")
@given(seed=st.integers(0, 10_000), n=st.sampled_from([1, 3, 8]), rows=st.sampled_from([1, 8, 20, 1000]))
def test_a_pass_is_the_model_with_a_generator_of_its_own_however_many_run_together(seed, n, rows):
    rng = np.random.default_rng(seed)
    model, x, before = noisy(rng), rng.normal(size=(n, 3)), predict.ROWS
    predict.ROWS = max(rows, n)  # so many rows in one batch
    try:
        found = mc_predict(model, x, 9, seed)
    finally:
        predict.ROWS = before
    seeds = np.random.default_rng(seed).integers(2**63, size=(9, 1))[:, 0]
    alone = np.stack([model(x, rng=int(s)).data for s in seeds])
    size = 100 * (1 + abs(x).sum()) * np.prod([1 + abs(p.data).sum() for p in model.parameters().values()])
    assert_close(found, alone, scale=size)
    np.testing.assert_array_equal(mc_predict(model, x, 4, seed), mc_predict(model, x, 9, seed)[:4])


def test_noise_is_the_same_to_the_bit_however_many_passes_run_together(monkeypatch):
    model, x = Sequential(ReLU(), Dropout(0.5), GaussianDropout(0.2)), np.random.default_rng(0).normal(size=(3, 5))
    together = mc_predict(model, x, 50, 1)
    monkeypatch.setattr(predict, "ROWS", 3)
    np.testing.assert_array_equal(mc_predict(model, x, 50, 1), together)


def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch):
    rng = np.random.default_rng(0)
    model, x = noisy(rng), rng.normal(size=(600, 3))
    for rows in (x, x[:5]):
        found = []
        for threads in ("1", "2"):
            monkeypatch.setenv("MINIDL_THREADS", threads)
            found.append(mc_predict(model, rows, 30, 1))
        np.testing.assert_array_equal(*found)


def test_all_rows_and_passes_have_noise_of_their_own(monkeypatch):
    monkeypatch.setattr(predict, "ROWS", 7)
    f = mc_predict(GaussianDropout(0.5), np.ones((10, 3)), 20, 0)
    assert len(np.unique(f)) == f.size


class Counting(nn.Module):
    """The identity; counts the rows that pass it."""

    def __init__(self):
        self.rows = 0

    def forward(self, x, rng=None):
        self.rows += len(x)
        assert not STATE.recording  # on no thread
        return x


def test_what_comes_before_the_first_noise_is_computed_once():
    first, between, x = Counting(), Counting(), np.ones((20, 3))
    model = Sequential(first, ReLU(), Dropout(0.5), between, Dropout(0.2), ReLU())
    mc_predict(model, x, 100, 0)
    assert first.rows < 30 and 2000 <= between.rows < 2010  # once, but for a look at two rows
    quiet = Sequential(Counting(), ReLU())
    assert mc_predict(quiet, x, 5, 0).shape == (5, 20, 3) and quiet[0].rows < 30


def test_a_sequence_of_words_may_come_before_any_noise():
    model = Sequential(nn.Embedding(5, 3), nn.Flatten(), Dropout(0.5))
    ids = np.arange(4).reshape(2, 2)
    f = mc_predict(model, ids, 6, 0)
    assert f.shape == (6, 2, 6) and set(np.unique(f / np.where(model(ids).data == 0, 1, model(ids).data))) <= {0, 2}


class OneDraw(nn.Module):
    """Noise that all rows share, drawn in a way of its own."""

    def __init__(self, draw):
        self.draw = draw

    def forward(self, x, rng=None):
        return x if rng is None else x * self.draw(rng)


def in_place(rng):
    return rng.random(out=np.empty((1, 3)))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(), lambda rng: rng.random(3), lambda rng: rng.random((3,)),
        lambda rng: rng.random((1, 3)), in_place,
    ],
)  # fmt: skip
def test_noise_of_another_kind_is_drawn_one_pass_at_a_time(draw, rows):
    model, x = Sequential(OneDraw(draw), Counting()), np.ones((rows, 3))
    f = mc_predict(model, x, 40, 5)
    for k, s in enumerate(np.random.default_rng(5).integers(2**63, size=(40, 1))[:, 0]):
        np.testing.assert_array_equal(f[k], np.ones((rows, 3)) * draw(np.random.default_rng(s)))


def test_images_go_through_a_block_at_a_time(monkeypatch):
    rng, seen = np.random.default_rng(0), Counting()
    model = Sequential(nn.Conv2d(1, 2, 3, rng=rng), Dropout(0.5), seen, nn.Flatten(), Dense(18, 3, rng=rng))
    x = rng.normal(size=(5, 1, 5, 5)).astype(np.float32)
    monkeypatch.setattr(predict, "ROWS", 2)
    f = mc_predict(model, Tensor(x), 4, 0)
    assert f.shape == (4, 5, 3) and f.dtype == np.float32 and seen.rows == 4 * 5 + 2


def test_nothing_is_recorded_and_the_model_stays_as_it_is(capsys):
    model, x = noisy(np.random.default_rng(0)), np.ones((2, 3))
    before = model.state_dict()
    mc_predict(model, x, 3, 0, progress=True)
    assert "mc_predict: 100%" in capsys.readouterr().err
    assert all((before[path] == array).all() for path, array in model.state_dict().items())
    assert model(x).op is not None  # recording goes on as before
    with no_grad():
        assert mc_predict(model, x, 3, 0).shape == (3, 2, 2)


# --------------------------------------------------------------------------------------------- types, modules, refusals


def test_float32_stays_float32():
    rng = np.random.default_rng(0)
    f, y = rng.normal(size=(5, 4, 3)).astype(np.float32), np.zeros((4, 3))
    p = softmax(f)
    w = np.full(5, 0.2)
    for result in (
        predictive_mean(f), predictive_mean(f, w), second_moment(f, 2.0), predictive_covariance(f, 2.0, unbiased=True),
        predictive_variance(f, 2.0, w), predictive_log_likelihood(f, y, 2.0), predictive_entropy(p),
        mutual_information(p, w), predictive_log_probability(p, np.array([0, 1, 2, 0])),
    ):  # fmt: skip
        assert result.dtype == np.float32


def test_every_array_module_gives_numpys_numbers(xp):
    rng = np.random.default_rng(0)
    f, y, labels = rng.normal(size=(5, 4, 3)), rng.normal(size=(4, 3)), np.array([0, 1, 2, 0])
    p, u = softmax(f), rng.random(6)
    for function, *arrays in (
        (predictive_mean, f),
        (lambda f: second_moment(f, 2.0), f),
        (lambda f: predictive_covariance(f, 2.0, unbiased=True), f),
        (lambda f: predictive_variance(f, 2.0, [0.2] * 5), f),
        (lambda f, y: predictive_log_likelihood(f, y, 2.0), f, y),
        (predictive_entropy, p),
        (mutual_information, p),
        (predictive_log_probability, p, labels),
        (lambda p: sample_labels(p, 0), p),
        (lambda p: variation_ratio(sample_labels(p, 0)), p),
        (lambda p: most_informative(p, 2), p),
        (percentiles, u, u[:4]),
    ):
        theirs = function(*map(xp.asarray, arrays))
        assert backend.xp(theirs) is xp
        ours = function(*arrays)
        assert_close(backend.to_numpy(theirs).astype(float), np.asarray(ours, float), scale=10.0)
    with backend.use(xp.__name__):
        model = Sequential(Dense(3, 4, rng=1), Dropout(0.5), Dense(4, 2, rng=2))
    plain = Sequential(Dense(3, 4, rng=1), Dropout(0.5), Dense(4, 2, rng=2))
    x = y.astype(np.float32)
    assert_close(backend.to_numpy(mc_predict(model, xp.asarray(x), 6, 0)), mc_predict(plain, x, 6, 0), scale=10.0)


F, P = np.zeros((3, 4, 2)), np.full((3, 4, 2), 0.5)
ROWS = np.ones((2, 3))


@pytest.mark.parametrize(
    "call, error, sentence",
    [
        (lambda: mc_predict(Dropout(0.5), ROWS, 0, 0), ValueError, "T, the number of passes, .* at least 1, got 0"),
        (lambda: mc_predict(Dropout(0.5), ROWS, 2.0, 0), ValueError, "T, the number of passes, .* got 2.0"),
        (lambda: mc_predict(Dropout(0.5), ROWS, True, 0), ValueError, "T, the number of passes, .* got True"),
        (lambda: mc_predict(Dropout(0.5), [[1.0]], 2, 0), TypeError, "x must be an array or a Tensor, got list"),
        (lambda: mc_predict(Dropout(0.5), ROWS[:0], 2, 0), ValueError, r"x must have rows .* got shape \(0, 3\)"),
        (lambda: mc_predict(Dropout(0.5), ROWS, 2, None), TypeError, "rng must be .* got None"),
        (lambda: mc_predict(nn.BatchNorm1d(3), ROWS, 2, 0), ValueError, "takes its statistics from the batch"),
        (lambda: mc_predict(lambda x, rng: x[:1], ROWS, 2, 0), ValueError, r"a row for each of x, 2, got shape \(1, 3"),
        (lambda: predictive_variance(F, 0), ValueError, "tau, the model precision, .* above 0, got 0"),
        (lambda: predictive_covariance(F, -1.0), ValueError, "tau, the model precision, .* got -1.0"),
        (lambda: predictive_log_likelihood(F, F[0], float("nan")), ValueError, "tau, .* got nan"),
        (lambda: second_moment(F, None), ValueError, "tau, .* got None"),
        (
            lambda: predictive_log_likelihood(F, F[0, :, :1], 1.0),
            ValueError,
            r"of one pass, \(4, 2\), got \(4, 1",
        ),
        (lambda: predictive_covariance(F[0], 1.0), ValueError, r"samples must be \(T, N, D\) .* got shape \(4, 2\)"),
        (lambda: predictive_mean(F[:0]), ValueError, r"T of at least 1, got shape \(0, 4, 2\)"),
        (lambda: predictive_mean(F.astype(int)), TypeError, "samples must be .* floating-point numbers, got int64"),
        (lambda: predictive_mean([1.0]), TypeError, "samples must be an array .* got list"),
        (lambda: predictive_mean(F, [0.5, 0.5]), ValueError, r"weights must be \(3,\), .* got shape \(2,\)"),
        (lambda: predictive_mean(F, [1.0, 1.0, 1.0]), ValueError, "sum to 1, got shape .* with sum 3"),
        (lambda: predictive_mean(F, [2.0, -1.0, 0.0]), ValueError, "weights must be"),
        (lambda: predictive_mean(F, [np.nan, 0.5, 0.5]), ValueError, "weights must be .* with sum nan"),
        (lambda: predictive_variance(F[:1], 1.0, unbiased=True), ValueError, "at least 2 passes .* got 1 passes"),
        (lambda: predictive_covariance(F, 1.0, [1, 0, 0], unbiased=True), ValueError, "and no weights"),
        (lambda: predictive_entropy(F), ValueError, "predictive_entropy: p must hold probabilities .* a softmax makes"),
        (lambda: mutual_information(P - 1), ValueError, "mutual_information: p must hold probabilities"),
        (lambda: mutual_information(P * np.nan), ValueError, "mutual_information: p must hold probabilities"),
        (lambda: predictive_entropy(P[0]), ValueError, r"entropy: p must be \(T, N, C\) .* got shape \(4, 2\)"),
        (lambda: predictive_entropy(P.astype(int)), TypeError, "entropy: p must be .* numbers, got int64"),
        (lambda: sample_labels(F + 1, 0), ValueError, "sample_labels: p must hold probabilities"),
        (lambda: sample_labels(P, None), TypeError, "sample_labels: rng must be"),
        (lambda: variation_ratio(F[0]), TypeError, "variation_ratio: labels must be integers, got float64"),
        (lambda: variation_ratio(np.zeros(3, int)), ValueError, r"labels must be \(T, N\) .* got shape \(3,\)"),
        (lambda: variation_ratio(np.zeros((0, 3), int)), ValueError, r"T of at least 1, got shape \(0, 3\)"),
        (lambda: predictive_log_probability(P, np.zeros(4)), TypeError, "labels must be integers, got float64"),
        (lambda: predictive_log_probability(P, np.arange(4)), ValueError, r"\(4,\) in 0..1, got .* values 0..3"),
        (lambda: predictive_log_probability(P, np.zeros(3, int)), ValueError, r"must be \(4,\) .* got shape \(3,\)"),
        (lambda: most_informative(P, 5), ValueError, "count must be an int in 1..4, got 5"),
        (lambda: dogs_and_cats(3), ValueError, "T must be an even int of at least 2, got 3"),
        (lambda: dogs_and_cats(2.0), ValueError, "T must be an even int of at least 2, got 2.0"),
        (lambda: percentiles([1.0], F[0, 0]), TypeError, "uncertainty must be an array of numbers, got list"),
        (lambda: percentiles(F[0, 0], F[0, 0] + np.inf), ValueError, "percentiles: validation holds NaN or infinite"),
        (lambda: linear_calibration(F, P, F * np.nan), ValueError, "linear_calibration: y holds NaN or infinite"),
        (lambda: linear_calibration(F[:0], P[:0], F[:0]), ValueError, "of at least one point, got .0, 4, 2."),
        (lambda: percentiles(F[0], F[0, 0]), ValueError, r"uncertainty must be \(N,\) .* got \(4, 2\) and \(2,\)"),
        (lambda: percentiles(F[0, 0], F[0, 0, :0]), ValueError, "V of at least 1"),
        (lambda: linear_calibration(F, F, F), ValueError, "variance must be above 0, got 0"),
        (lambda: linear_calibration(F, P, F[0]), ValueError, "mean, variance and y must have one shape"),
    ],
)
def test_what_is_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()
