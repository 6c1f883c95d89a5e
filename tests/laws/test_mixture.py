"""Mixtures of Gaussians: densities, the two steps of EM as maxima, and the bound that never falls."""

from math import log, pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mixtures import TYPES, Case, cases, matrix
from support.tolerance import assert_close, difference, rounding

from minidl import backend
from minidl.mixture import GaussianMixture, Parameters, e_step, elbo, expected_complete, k_means, log_joint, m_step
from minidl.mixture import em as em_module

every_type = pytest.mark.parametrize("covariance_type", TYPES)
types = st.sampled_from(TYPES)
numbers = st.integers(0, 10_000)


def blobs(seed, n=60, d=2, k=3):
    """Rows of k clusters."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(k, d))[rng.integers(0, k, n)] * 4 + rng.normal(size=(n, d)) @ matrix(rng, d)


# ---------------------------------------------------------------------------------------------------------- the density


@pytest.mark.source("em:gmm-density", "em:log-likelihood")
@given(case=cases)
def test_densities_are_those_of_another_library(case):
    joint = case.joint()
    scale = (1 + abs(joint)).max() * case.x.shape[1] ** 2
    assert_close(log_joint(case.x, case.mixture), joint, scale=scale)
    assert_close(case.mixture.score_samples(case.x), np.log(np.exp(joint).sum(1)), scale=scale)


@pytest.mark.source("em:gmm-density")
@given(covariance_type=types, seed=numbers, d=st.integers(1, 2))
def test_the_density_integrates_to_one(covariance_type, seed, d):
    mixture = Case(covariance_type, seed, d=d).mixture
    # 12 standard deviations on all sides, 4 points in the least one: the sum over such a grid is off by
    # exp(-2 pi^2 4^2), for a Gaussian's Fourier transform is one
    h, reach = 0.5 / 4, abs(mixture.means).max() + 2 * 12
    line = np.arange(-reach, reach, h)
    points = np.stack(np.meshgrid(*[line] * d), -1).reshape(-1, d)
    assert_close(np.exp(mixture.score_samples(points)).sum() * h**d, np.array(1.0))


@pytest.mark.source("em:responsibilities")
@given(case=cases)
def test_responsibilities_are_posterior_probabilities(case):
    joint = np.exp(case.joint() - case.joint().max(1, keepdims=True))
    q = case.mixture.predict_proba(case.x)
    assert_close(q, joint / joint.sum(1, keepdims=True), scale=(1 + abs(case.joint())).max() * case.x.shape[1] ** 2)
    assert_close(q.sum(1), np.ones(len(q)))


@pytest.mark.source("em:gmm-density")
@every_type
def test_samples_have_the_mixtures_moments(covariance_type):
    case = Case(covariance_type, 3)
    n, m = 100_000, case.mixture
    x, y = m.sample(n, 0, labels=True)
    np.testing.assert_array_equal(m.sample(n, 0), x)
    share = np.bincount(y, minlength=3) / n
    assert (abs(share - m.weights) < 5 * np.sqrt(m.weights * (1 - m.weights) / n)).all()
    for k in range(3):
        own = x[y == k] - m.means[k]
        variances = np.diag(m.matrices[k])
        assert (abs(own.mean(0)) < 5 * np.sqrt(variances / len(own))).all()
        # the standard error of a covariance: sqrt((s_ii s_jj + s_ij^2) / n)
        error = np.sqrt((np.outer(variances, variances) + m.matrices[k] ** 2) / len(own))
        assert (abs(own.T @ own / len(own) - m.matrices[k]) < 5 * error).all()


# ------------------------------------------------------------------------------------------------------------ the steps


def slow_m_step(x, q, covariance_type):
    """The closed form row by row."""
    counts = q.sum(0)
    means = np.stack([sum(q[i, y] * x[i] for i in range(len(x))) / counts[y] for y in range(q.shape[1])])
    full = np.stack(
        [
            sum(q[i, y] * np.outer(x[i] - means[y], x[i] - means[y]) for i in range(len(x))) / counts[y]
            for y in range(q.shape[1])
        ]
    )
    covariances = {
        "full": lambda: full,
        "tied": lambda: sum(c * s for c, s in zip(counts / len(x), full)),
        "diagonal": lambda: np.stack([np.diag(s) for s in full]),
        "spherical": lambda: np.array([np.trace(s) / len(s) for s in full]),
    }[covariance_type]()
    return Parameters(counts / len(x), means, covariances, covariance_type)


@pytest.mark.source("em:m-step")
@given(case=cases)
def test_the_m_step_is_the_closed_form_row_by_row(case):
    name = case.mixture.covariance_type
    for ours, theirs in zip(m_step(case.x, case.q, name)[:3], slow_m_step(case.x, case.q, name)[:3]):
        assert_close(ours, theirs, scale=(abs(case.x).max() + 1) ** 2 * len(case.x))


def moved(omega, rng, h):
    """omega a step of size h away in a random direction of its own type: weights sum to 1, covariances are positive."""
    w = omega.weights * np.exp(h * rng.normal(size=omega.weights.shape))
    means = omega.means + h * rng.normal(size=omega.means.shape)
    if omega.covariance_type in ("full", "tied"):
        d = omega.means.shape[1]
        twist = np.eye(d) + h * rng.normal(size=(*omega.covariances.shape[:-2], d, d))
        covariances = twist @ omega.covariances @ twist.swapaxes(-1, -2)
    else:
        covariances = omega.covariances * np.exp(h * rng.normal(size=omega.covariances.shape))
    return Parameters(w / w.sum(), means, covariances, omega.covariance_type)


@pytest.mark.source("em:m-step", "em:expected-complete")
@given(covariance_type=types, seed=numbers, h=st.sampled_from([1e-3, 1e-2, 0.1, 0.5]))
def test_no_other_parameters_have_a_larger_expected_log_likelihood_than_those_of_the_m_step(covariance_type, seed, h):
    case = Case(covariance_type, seed)
    best = m_step(case.x, case.q, covariance_type)
    largest = expected_complete(case.q, case.x, best)
    for _ in range(5):
        assert expected_complete(case.q, case.x, moved(best, case.rng, h)) < largest


@pytest.mark.source("em:m-step", "em:expected-complete")
@given(covariance_type=types, seed=numbers)
def test_at_the_m_steps_parameters_the_expected_log_likelihood_is_level(covariance_type, seed):
    case = Case(covariance_type, seed)
    best = m_step(case.x, case.q, covariance_type)
    size = abs(case.q * log_joint(case.x, best)).sum() * 4

    def along(h):
        return expected_complete(case.q, case.x, moved(best, np.random.default_rng(seed), h))

    slope, off = difference(along, size)
    assert abs(slope) <= off


@pytest.mark.source("em:m-step")
@given(covariance_type=types, seed=numbers, h=st.sampled_from([1e-3, 0.1, 0.5]))
def test_with_a_floor_no_other_parameters_above_it_are_better(covariance_type, seed, h):
    case = Case(covariance_type, seed)
    free = m_step(case.x, case.q, covariance_type)
    middle = GaussianMixture.known(*free).matrices
    floor = float(np.median(np.linalg.eigvalsh(middle)))  # of the variances about half are below
    best = m_step(case.x, case.q, covariance_type, floor)
    largest = expected_complete(case.q, case.x, best)
    for _ in range(5):
        other = moved(best, case.rng, h)
        other = other._replace(covariances=above(other.covariances, floor, covariance_type))
        assert expected_complete(case.q, case.x, other) < largest + rounding(np.float64, abs(largest) * 16)
    assert np.linalg.eigvalsh(GaussianMixture.known(*best).matrices).min() >= floor * (1 - 1e-12)


def above(covariances, floor, covariance_type):
    """Covariances that obey the floor, without asking an eigenvalue: the floor plus something positive."""
    if covariance_type in ("full", "tied"):
        values, vectors = np.linalg.eigh(covariances - floor * np.eye(covariances.shape[-1]))
        return (vectors * abs(values)[..., None, :]) @ vectors.swapaxes(-1, -2) + floor * np.eye(covariances.shape[-1])
    return abs(covariances - floor) + floor


@pytest.mark.source("em:gaussian-mle", "em:m-step")
@given(covariance_type=types, seed=numbers, d=st.integers(1, 3))
def test_one_gaussian_is_the_mean_and_the_covariance_of_the_rows(covariance_type, seed, d):
    x = blobs(seed, d=d)
    mixture = GaussianMixture(1, covariance_type, floor=0).fit(x)
    S = np.cov(x.T, bias=True).reshape(d, d)
    if covariance_type == "diagonal":
        S = np.diag(np.diag(S))
    elif covariance_type == "spherical":
        S = np.eye(d) * np.trace(S) / d
    size = (x**2).sum(1).mean()
    np.testing.assert_array_equal(mixture.weights, [1])
    assert_close(mixture.means[0], x.mean(0), scale=abs(x).max())
    assert_close(mixture.matrices[0], S, scale=size)
    likelihood = -len(x) / 2 * (d * log(2 * pi) + np.linalg.slogdet(S)[1] + d)
    assert_close(np.array(mixture.bound_history), np.full(2, likelihood), scale=len(x) * d * 16)


# ------------------------------------------------------------------------------------------------------------ the climb


@pytest.mark.source("em:m-step", "em:e-step")
@given(
    covariance_type=types, seed=numbers, k=st.integers(1, 4), d=st.integers(1, 3),
    start=st.sampled_from(["k-means", "random"]), floor=st.sampled_from([1e-6, 0.05, 0.5]),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:fit. Gaussians")
def test_the_bound_never_falls(covariance_type, seed, k, d, start, floor):
    x = blobs(seed, d=d)
    mixture = GaussianMixture(k, covariance_type, seed, start=start, floor=floor, tolerance=0, max_iter=15).fit(x)
    history = np.array(mixture.bound_history)
    assert len(history) == 16
    # the least variance is a floor of 1e-6, so whitened rows are as large as 1e3 and their squares' roundings 1e6
    assert (np.diff(history) >= -rounding(np.float64, len(x) * max(20, abs(history).max() / len(x), 1 / floor))).all()
    assert_close(history[-1], mixture.score_samples(x).sum())


@pytest.mark.source("em:m-step", "em:jensen")
@given(covariance_type=types, seed=numbers)
def test_each_half_step_raises_the_bound_and_the_e_step_makes_it_touch(covariance_type, seed):
    case = Case(covariance_type, seed)
    omega, q, x = case.mixture.parameters, case.q, case.x
    slack = rounding(np.float64, case.size)
    before = elbo(q, x, omega).free_energy
    for _ in range(3):
        q, _ = e_step(x, omega)
        expected, divergence, likelihood = elbo(q, x, omega)
        assert expected >= before - slack and abs(expected - likelihood) <= slack and divergence <= slack
        omega = m_step(x, q, covariance_type, floor=0.01)
        before = elbo(q, x, omega).free_energy
        assert before >= expected - slack


@given(seed=numbers, d=st.integers(1, 3))
def test_a_step_of_em_follows_an_affine_change_of_the_rows(seed, d):
    case = Case("full", seed, d=d)
    rng, (weights, means, covariances, _) = case.rng, case.mixture.parameters
    M, b = matrix(rng, d), rng.normal(size=d)
    there = Parameters(weights, means @ M + b, M.T @ covariances @ M)
    q, evidence = e_step(case.x, case.mixture)
    q_there, evidence_there = e_step(case.x @ M + b, there)
    scale = (1 + abs(case.joint())).max() * 4**4 * d**2  # variances between 1/4 and 4 in M and in the mixture
    assert_close(q_there, q, scale=scale)
    assert_close(evidence_there, evidence - np.linalg.slogdet(M)[1], scale=scale)
    after, after_there = m_step(case.x, case.q), m_step(case.x @ M + b, case.q)
    size = (abs(case.x).max() * 4 + abs(b).max()) ** 2 * 4**2 * d**2
    assert_close(after_there.weights, after.weights)
    assert_close(after_there.means, after.means @ M + b, scale=size)
    assert_close(after_there.covariances, M.T @ after.covariances @ M, scale=size)


@given(case=cases)
def test_the_order_of_the_gaussians_does_not_matter(case):
    order = case.rng.permutation(case.q.shape[1])
    omega = case.mixture.parameters
    turned = omega._replace(weights=omega.weights[order], means=omega.means[order])
    if omega.covariance_type != "tied":
        turned = turned._replace(covariances=omega.covariances[order])
    scale = (1 + abs(case.joint())).max() * case.x.shape[1] ** 2
    assert_close(e_step(case.x, turned)[0], e_step(case.x, omega)[0][:, order], scale=scale)
    after, after_turned = (m_step(case.x, q, omega.covariance_type) for q in (case.q, case.q[:, order]))
    assert_close(after_turned.means, after.means[order], scale=abs(case.x).max() * len(case.x))


@every_type
def test_a_mixture_is_found_again_in_what_was_drawn_from_it(covariance_type):
    weights, means = np.array([0.2, 0.3, 0.5]), np.array([[0.0, 0.0], [12.0, 0.0], [0.0, 12.0]])
    covariances = {"full": [np.eye(2)] * 3, "tied": np.eye(2), "diagonal": np.ones((3, 2)), "spherical": np.ones(3)}
    x = GaussianMixture.known(weights, means, covariances[covariance_type], covariance_type).sample(3000, 0)
    found = GaussianMixture(3, covariance_type, restarts=3).fit(x)
    assert found.converged
    order = np.argsort(found.weights)
    assert (abs(found.weights[order] - weights) < 5 * np.sqrt(weights * (1 - weights) / 3000)).all()
    assert (abs(found.means[order] - means) < 5 / np.sqrt(3000 * weights)[:, None]).all()


def test_the_highest_of_several_starts_is_kept():
    x = blobs(5, n=200, k=4)
    heights = np.array(
        [
            [GaussianMixture(4, "tied", seed, start="random", restarts=n).fit(x).bound_history[-1] for n in (1, 2, 4)]
            for seed in range(5)
        ]
    )
    assert (np.diff(heights, axis=1) >= 0).all()  # the starts of a seed are the same, however many follow
    assert (heights[:, 2] > heights[:, 0]).any()


def test_going_on_from_a_mixture_gives_the_bits_of_not_having_stopped():
    x = blobs(0)
    options = {"tolerance": 0, "floor": 1e-3}
    whole = GaussianMixture(3, max_iter=7, **options).fit(x)
    part = GaussianMixture(3, max_iter=3, **options).fit(x)
    rest = GaussianMixture(3, start=part, max_iter=4, **options).fit(x)
    assert part.bound_history + rest.bound_history[1:] == whole.bound_history
    np.testing.assert_array_equal(rest.means, whole.means)


def test_the_same_seed_gives_the_same_mixture():
    a, b, c = (GaussianMixture(3, seed=s, start="random", max_iter=5).fit(blobs(1)).means for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


# ------------------------------------------------------------------------------------------------------ blocks of rows


@every_type
def test_neither_threads_nor_blocks_change_the_numbers(monkeypatch, covariance_type):
    x = blobs(0, n=101)
    results = {}
    for threads in ("1", "2"):
        for cache in (1 << 18, 50):
            monkeypatch.setenv("MINIDL_THREADS", threads)
            monkeypatch.setattr(em_module, "CACHE", cache)
            mixture = GaussianMixture(3, covariance_type, tolerance=0, max_iter=2, floor=1e-3).fit(x)
            results[threads, cache] = mixture.means, mixture.covariances, mixture.predict_proba(x)
    for a, b, c, d in zip(results["1", 50], results["2", 50], results["1", 1 << 18], results["2", 1 << 18]):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(c, d)
        assert_close(a, c, scale=(x**2).max() * len(x))


def test_memory_is_that_of_a_block(monkeypatch):
    seen = []
    monkeypatch.setattr(em_module, "CACHE", 60)
    em_module.by_blocks(lambda x: seen.append(len(x)), 6, np.zeros((25, 2)))
    assert sorted(seen) == [5, 10, 10]


# -------------------------------------------------------------------------------------------------------------- k-means


@given(seed=numbers, k=st.integers(1, 5))
def test_k_means_rests_where_every_centre_is_the_mean_of_its_rows_and_the_nearest_to_them(seed, k):
    x = blobs(seed)
    centres, labels = k_means(x, k, seed, max_iter=200)
    distance = ((x[:, None] - centres) ** 2).sum(-1)
    assert (distance[np.arange(len(x)), labels] <= distance.min(1) + rounding(np.float64, 1 + (x**2).max())).all()
    for y in range(k):
        assert_close(centres[y], x[labels == y].mean(0), scale=abs(x).max() * len(x))


def test_k_means_begins_far_apart():
    x = np.repeat([[0.0], [100.0], [200.0], [300.0]], [97, 1, 1, 1], axis=0)
    for seed in range(20):
        assert sorted(k_means(x, 4, seed, max_iter=1)[0][:, 0].round(9)) == [0, 100, 200, 300]


# -------------------------------------------------------------------------------------------------------------- corners


@pytest.mark.parametrize("covariance_type", ["full", "diagonal", "spherical"])
def test_a_gaussian_on_a_single_row_ends_on_the_floor_with_a_warning(covariance_type):
    x = np.concatenate([np.random.default_rng(0).normal(size=(50, 2)), [[40.0, 40.0]]])
    mixture = GaussianMixture(2, covariance_type, floor=1e-4)
    with pytest.warns(RuntimeWarning, match=r"Gaussians \[[01]\] collapsed: .* at the floor of 0.00\d+. Use fewer"):
        mixture.fit(x)
    small = np.linalg.eigvalsh(mixture.matrices).min()
    assert_close(small, 1e-4 * x.var(0).mean(), scale=(x**2).max())


@every_type
def test_without_a_floor_a_singular_covariance_is_an_error(covariance_type):
    x = np.concatenate([np.random.default_rng(0).normal(size=(50, 2)), [[40.0, 40.0]]])
    if covariance_type == "tied":
        x[:, 1] = x[:, 0]
    with pytest.raises(ValueError, match=r"the covariance of Gaussian [01] is singular: .* or a floor above 0"):
        GaussianMixture(2, covariance_type, floor=0).fit(x)


def test_a_gaussian_without_rows_is_an_error():
    q = np.array([[1.0, 0.0]] * 3)
    with pytest.raises(ValueError, match=r"Gaussian 1 is left without rows: q gives it 0 of 3; use fewer Gaussians"):
        m_step(np.arange(6.0).reshape(3, 2), q)


@every_type
def test_float32_stays_float32(covariance_type):
    x = blobs(0)
    single = GaussianMixture(3, covariance_type, max_iter=3, tolerance=0, floor=0.01).fit(x.astype(np.float32))
    double = GaussianMixture(3, covariance_type, max_iter=3, tolerance=0, floor=0.01).fit(x)
    for name in ("weights", "means", "covariances"):
        assert getattr(single, name).dtype == np.float32
        assert_close(getattr(single, name), getattr(double, name), scale=(x**2).max())
    answers = (
        single.predict_proba(x.astype(np.float32)),
        single.score_samples(x.astype(np.float32)),
        single.sample(2, 0),
    )
    assert all(a.dtype == np.float32 for a in answers)


@every_type
def test_every_array_module_gives_numpys_numbers(xp, covariance_type):
    x = blobs(0)
    ours, theirs = (GaussianMixture(3, covariance_type, max_iter=2, floor=0.4) for _ in "ab")
    with pytest.warns(RuntimeWarning, match="collapsed"):
        ours.fit(xp.asarray(x))
    with pytest.warns(RuntimeWarning, match="collapsed"):
        theirs.fit(x)
    pairs = [(getattr(ours, name), getattr(theirs, name)) for name in ("weights", "means", "covariances", "matrices")]
    pairs += [(ours.sample(5, 0), theirs.sample(5, 0)), (ours.score_samples(xp.asarray(x)), theirs.score_samples(x))]
    for a, b in pairs:
        assert backend.xp(a) is xp
        assert_close(backend.to_numpy(a), b, scale=(x**2).max() * len(x))


X = np.arange(12.0).reshape(6, 2) ** 1.5


@pytest.mark.parametrize(
    "arguments, error, sentence",
    [
        (dict(n_components=0), ValueError, "n_components must be an int of at least 1, got 0"),
        (dict(n_components=2.5), ValueError, "n_components must be an int of at least 1, got 2.5"),
        (dict(covariance_type="diag"), ValueError, "must be one of full, tied, diagonal, spherical, got 'diag'"),
        (dict(seed=-1), ValueError, "seed must be an int of at least 0, got -1"),
        (dict(start="zero"), ValueError, "start must be one of k-means, random or a mixture, got 'zero'"),
        (dict(start=3), ValueError, "start must be one of k-means, random or a mixture, got 3"),
        (dict(restarts=0), ValueError, "restarts must be an int of at least 1, got 0"),
        (dict(max_iter=True), ValueError, "max_iter must be an int of at least 1, got True"),
        (dict(tolerance=-1.0), ValueError, "tolerance must be a number of at least 0, got -1.0"),
        (dict(floor=float("nan")), ValueError, "floor must be a number of at least 0, got nan"),
    ],
)
def test_what_a_mixture_refuses(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        GaussianMixture(**(dict(n_components=2) | arguments))


@pytest.mark.parametrize(
    "x, error, sentence",
    [
        (X[:1], ValueError, r"x needs at least 2 rows, as many as there are to be groups, got \(1, 2\)"),
        (X[:, 0], ValueError, r"x must have shape \(N, d\), got \(6,\); rows of one number are x\[:, None\]"),
        (X[:0], ValueError, r"x must have shape \(N, d\), got \(0, 2\)"),
        (X * np.nan, ValueError, "x holds NaN or infinite values"),
        (X.astype(int), TypeError, r"x must hold floats, got int64; convert it: x.astype\(float\)"),
        (X.tolist(), TypeError, r"x must be an array of floats \(N, d\), got list"),
    ],
)
def test_rows_that_fit_refuses(x, error, sentence):
    with pytest.raises(error, match=f"fit: {sentence}"):
        GaussianMixture(2).fit(x)


@pytest.mark.parametrize("scale", [0.0, 1e-200, 1e200])
@every_type
def test_rows_without_a_variance(covariance_type, scale):
    with pytest.raises(ValueError, match="^fit: the rows of x must differ, .* the range of float64: .* is (0|inf)"):
        GaussianMixture(1, covariance_type).fit(scale * X)


@pytest.mark.parametrize("floor", [-1.0, float("nan"), None])
def test_a_floor_that_is_none(floor):
    with pytest.raises(ValueError, match=f"m_step: floor must be a number of at least 0, got {floor}"):
        m_step(X, np.full((6, 2), 0.5), floor=floor)


def test_fewer_different_rows_than_gaussians():
    with pytest.raises(ValueError, match="x has only 2 different rows, fewer than the 3 centres asked for"):
        GaussianMixture(3).fit(np.repeat(X[:2], 5, axis=0))


def test_what_k_means_refuses():
    for k, sentence in ((0, "k must be an int of at least 1, got 0"), (9, r"x needs at least 9 rows, .* got \(6, 2\)")):
        with pytest.raises(ValueError, match=f"k_means: {sentence}"):
            k_means(X, k, 0)


def test_rows_of_another_width():
    with pytest.raises(ValueError, match=r"log_evidence: the mixture is over rows of 2 numbers, x has shape \(6, 3\)"):
        GaussianMixture(1).fit(X).score_samples(np.ones((6, 3)))


def test_a_mixture_without_parameters():
    for call in (lambda m: m.predict_proba(X), lambda m: m.score_samples(X), lambda m: m.sample(3, 0)):
        with pytest.raises(RuntimeError, match=r"GaussianMixture\(2, 'full', seed=0\) has no parameters yet: call fit"):
            call(GaussianMixture(2))


def test_a_start_of_another_kind():
    start = GaussianMixture.known([1.0], [[0.0, 0.0]], [1.0], "spherical")
    with pytest.raises(ValueError, match="start must have 2 Gaussians of type 'full', got 1 of type 'spherical'"):
        GaussianMixture(2, start=start).fit(X)


@pytest.mark.parametrize(
    "weights, means, covariances, sentence",
    [
        ([0.5, 0.5], [[0.0], [1.0]], [[1.0], [1.0]], r"covariances \(K, d, d\) for type 'full', got .*, \(2, 1\)$"),
        ([1.0], [[0.0], [1.0]], np.ones((2, 1, 1)), r"weights must be \(K,\).* got \(1,\), \(2, 1\)"),
        ([0.5, 0.6], [[0.0], [1.0]], np.ones((2, 1, 1)), "weights must sum to 1 over the last axis, but is off by 0.1"),
        ([1.0], [[0.0, 0.0]], [[[1.0, 1.0], [1.0, 1.0]]], "the covariance of Gaussian 0 is singular"),
        ([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]], "covariances must be symmetric, but are off by 0.5"),
        ([1.0], [[np.inf, 0.0]], [np.eye(2)], "means holds NaN or infinite values"),
    ],
)
def test_parameters_that_make_no_mixture(weights, means, covariances, sentence):
    with pytest.raises(ValueError, match=sentence):
        GaussianMixture.known(weights, means, covariances)


def test_what_drawing_refuses():
    mixture = GaussianMixture(1).fit(X)
    with pytest.raises(ValueError, match="sample: n must be an int of at least 1, got 0"):
        mixture.sample(0, 0)
    with pytest.raises(TypeError, match="sample: rng must be a numpy.random.Generator or an int >= 0, got None"):
        mixture.sample(3, None)
    mixture.covariances = np.zeros((1, 2, 2))
    with pytest.raises(ValueError, match="the covariance of Gaussian 0 is singular"):
        mixture.sample(3, 0)
