"""The evidence taken apart: the sums of the notes written out, and what holds between them for any q."""

from math import inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mixtures import TYPES, Case, cases
from support.tolerance import assert_close, rounding

from minidl import backend
from minidl.mixture import Bound, GaussianMixture, Parameters, e_step, elbo, entropy, expected_complete, kl

every_type = pytest.mark.parametrize("covariance_type", TYPES)


def summed(term, q):
    """The sum of term(i, y) over rows and Gaussians with q above 0: 0 ln 0 = 0."""
    return sum(term(i, y) for i, y in np.ndindex(*q.shape) if q[i, y] > 0)


def evidence_of(joint):
    return np.log(np.exp(joint - joint.max(1, keepdims=True)).sum(1)) + joint.max(1)


@pytest.mark.source("em:free-energy", "em:log-likelihood")
@given(case=cases)
def test_each_part_of_the_evidence_is_the_notes_sum(case):
    joint, q = case.joint(), case.q
    evidence = evidence_of(joint)
    bound = elbo(q, case.x, case.mixture)
    free_energy = summed(lambda i, y: q[i, y] * (joint[i, y] - log(q[i, y])), q)
    divergence = summed(lambda i, y: q[i, y] * (log(q[i, y]) - joint[i, y] + evidence[i]), q)
    assert_close(np.array(bound), np.array([free_energy, divergence, evidence.sum()]), scale=case.size)


@pytest.mark.source("em:expected-complete", "em:free-energy")
@given(case=cases)
def test_the_free_energy_is_the_expected_log_likelihood_of_complete_data_and_an_entropy(case):
    joint, q = case.joint(), case.q
    G = expected_complete(q, case.x, case.mixture)
    assert_close(np.array(G), np.array(summed(lambda i, y: q[i, y] * joint[i, y], q)), scale=case.size)
    H = np.array([-sum(p * log(p) for p in row if p > 0) for row in q])
    assert_close(entropy(q), H, scale=1 + log(q.shape[1]))
    assert_close(np.array(G + H.sum()), np.array(elbo(q, case.x, case.mixture).free_energy), scale=case.size)


@pytest.mark.source("em:decomposition")
@given(case=cases)
def test_free_energy_and_divergence_sum_to_the_log_evidence_for_any_q(case):
    bound = elbo(case.q, case.x, case.mixture)
    assert_close(np.array(bound.free_energy + bound.kl), np.array(evidence_of(case.joint()).sum()), scale=case.size)


@pytest.mark.source("em:elbo", "em:jensen")
@given(case=cases)
def test_the_free_energy_of_any_q_is_a_bound_under_the_log_likelihood(case):
    free_energy, divergence, evidence = elbo(case.q, case.x, case.mixture)
    assert free_energy <= evidence + rounding(np.float64, case.size)
    posterior = np.exp(case.joint() - evidence_of(case.joint())[:, None])
    assert_close(np.array(evidence - free_energy), np.array(kl(case.q, posterior).sum()), scale=case.size)


@pytest.mark.source("em:e-step", "em:elbo", "em:responsibilities")
@given(case=cases)
def test_the_e_step_makes_the_bound_touch(case):
    q, evidence = e_step(case.x, case.mixture)
    bound = elbo(q, case.x, case.mixture)
    assert_close(np.array(bound.free_energy), np.array(evidence_of(case.joint()).sum()), scale=case.size)
    assert_close(np.array(bound.free_energy), np.array(evidence.sum()), scale=case.size)
    assert bound.kl <= rounding(np.float64, case.size)
    if q.shape[1] > 1:
        assert elbo(np.full_like(q, 1 / q.shape[1]), case.x, case.mixture).free_energy < bound.free_energy


@pytest.mark.source("em:decomposition")
def test_what_the_posterior_excludes_costs_infinitely_much():
    mixture = GaussianMixture.known([1.0, 0.0], [[0.0], [1.0]], [1.0, 1.0], "spherical")
    bound = elbo(np.array([[0.5, 0.5]]), np.zeros((1, 1)), mixture)
    assert bound.free_energy == -inf and bound.kl == inf and np.isfinite(bound.log_evidence)
    assert elbo(np.array([[1.0, 0.0]]), np.zeros((1, 1)), mixture).kl == 0


def test_a_row_far_from_every_gaussian_has_its_numbers_in_logarithms():
    mixture = GaussianMixture.known([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0], "spherical")
    x = np.array([[1e3]])  # densities of exp(-500,000)
    q = np.array([[0.5, 0.5]])
    bound = elbo(q, x, mixture)
    assert_close(np.array(bound.log_evidence), np.array(log(0.5) - log(2 * np.pi) / 2 - 999**2 / 2), scale=1e6)
    assert_close(np.array(bound.kl), np.array((1e6 - 999**2) / 4 - log(2)), scale=1e6)


def test_the_decomposition_is_printed_as_a_sum():
    assert str(Bound(-3.5, 0.25, -3.25)) == "free energy -3.5 + KL 0.25 = log evidence -3.25 (residual 0e+00)"


# -------------------------------------------------------------------------------------------------------- divergences

seeds = given(seed=st.integers(0, 10_000), k=st.integers(1, 6))


def pair(seed, k, zeros=True):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(k), (2, 5))
    if zeros and k > 1:
        p[rng.random(p.shape) < 0.3] = 0
        p[:, 0] += p.sum(1) == 0
        p /= p.sum(1, keepdims=True)
    return p, q


@pytest.mark.source("em:kl")
@seeds
def test_both_printed_forms_of_the_divergence(seed, k):
    p, q = pair(seed, k, zeros=False)
    scale = (p * (abs(np.log(p)) + abs(np.log(q)))).sum(1).max() + 1
    assert_close(kl(p, q), (p * np.log(p / q)).sum(1), scale=scale)
    assert_close(kl(p, q), -(p * np.log(q / p)).sum(1), scale=scale)
    assert_close(kl(p[0], q[0]), kl(p, q)[0], scale=scale)


@pytest.mark.source("em:kl-nonnegative")
@seeds
def test_a_divergence_is_never_negative_and_zero_for_equal_distributions_only(seed, k):
    p, q = pair(seed, k)
    assert (kl(p, p) == 0).all()
    assert (kl(p, np.nextafter(p, 2)) == 0).all()  # rounding alone would make it about -1e-16
    # Pinsker: the divergence is at least half of the squared distance, so it is 0 only where that is
    assert (kl(p, q) >= abs(p - q).sum(1) ** 2 / 2 - rounding(np.float64, 10.0)).all()


@pytest.mark.source("em:kl")
def test_zeros_of_a_divergence():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    assert_close(kl(p, q), np.array(log(2)))
    assert kl(q, p) == inf


# -------------------------------------------------------------------------------------------------------------- corners


@every_type
def test_float32_stays_float32(covariance_type):
    case = Case(covariance_type, 0)
    x, q = case.x.astype(np.float32), case.q.astype(np.float32)
    posterior, evidence = e_step(x, case.mixture)
    assert posterior.dtype == evidence.dtype == entropy(q).dtype == kl(q, posterior).dtype == np.float32
    exact, found = elbo(case.q, case.x, case.mixture), elbo(q, x, case.mixture)
    for ours, theirs in zip(found, exact):
        assert_close(np.float32(ours), np.float32(theirs), scale=case.size)


@every_type
def test_a_q_of_another_type_still_adds_up(covariance_type):
    case = Case(covariance_type, 0)
    coarse = case.q.astype(np.float32)
    bound = elbo(coarse, case.x, case.mixture)
    assert_close(bound.free_energy + bound.kl, bound.log_evidence, scale=case.size)
    assert_close(np.float32(bound.kl), np.float32(elbo(case.q, case.x, case.mixture).kl), scale=case.size)
    assert expected_complete(coarse, case.x, case.mixture) <= bound.free_energy  # an entropy is not negative


@every_type
def test_every_array_module_gives_numpys_numbers(xp, covariance_type):
    case = Case(covariance_type, 1)
    omega = case.mixture.parameters
    there = Parameters(*(xp.asarray(a) for a in omega[:3]), covariance_type)
    x, q = xp.asarray(case.x), xp.asarray(case.q)
    assert_close(np.array(elbo(q, x, there)), np.array(elbo(case.q, case.x, omega)), scale=case.size)
    for ours, theirs in ((entropy(q), entropy(case.q)), (e_step(x, there)[0], e_step(case.x, omega)[0])):
        assert backend.xp(ours) is xp
        assert_close(backend.to_numpy(ours), theirs, scale=case.size)


X, Q, MIXTURE = (
    np.zeros((2, 1)),
    np.full((2, 2), 0.5),
    GaussianMixture.known([0.5, 0.5], [[0.0], [1.0]], np.ones((2, 1, 1))),
)


@pytest.mark.parametrize(
    "q, x, mixture, error, sentence",
    [
        (Q[:1], X, MIXTURE, ValueError, r"q must have shape \(2, 2\), got \(1, 2\)"),
        (np.full((2, 3), 1 / 3), X, MIXTURE, ValueError, r"q must have shape \(2, 2\), got \(2, 3\)"),
        (Q * 1.1, X, MIXTURE, ValueError, "q must sum to 1 over the last axis, but is off by 0.1 somewhere"),
        (np.array([[1.5, -0.5]] * 2), X, MIXTURE, ValueError, "q must be at least 0 everywhere, got -0.5"),
        (Q * np.nan, X, MIXTURE, ValueError, "q must be at least 0 everywhere, got nan"),
        (np.eye(2, dtype=int), X, MIXTURE, TypeError, "q must be an array of floats, got int64"),
        ([[1.0, 0.0]], X, MIXTURE, TypeError, "q must be an array of floats, got list"),
        (Q, np.zeros((2, 3)), MIXTURE, ValueError, r"the mixture is over rows of 1 numbers, x has shape \(2, 3\)"),
        (Q, X * np.nan, MIXTURE, ValueError, "x holds NaN or infinite values"),
        (Q, X, "mixture", TypeError, "mixture must be a GaussianMixture or Parameters, got str"),
    ],
)
def test_what_the_bound_refuses(q, x, mixture, error, sentence):
    with pytest.raises(error, match=f"elbo: {sentence}"):
        elbo(q, x, mixture)


def test_what_a_divergence_refuses():
    p = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match=r"kl: p and q must have one shape, got \(2,\) and \(1,\)"):
        kl(p, np.ones(1))
    with pytest.raises(ValueError, match="kl: q must sum to 1 over the last axis, but is off by 1 somewhere"):
        kl(p, np.ones(2))
    with pytest.raises(ValueError, match=r"entropy: q must have probabilities on its last axis, got shape \(0,\)"):
        entropy(np.zeros(0))
