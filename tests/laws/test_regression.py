"""Regression with dropout: side by side as alone, the same in any units, and closed forms where there is no noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tolerance import assert_close

from minidl import backend, losses, optim, train
from minidl.bayes import Candidate, dropout_regressions, penalty, weight_decay
from minidl.nn import Dense, Dropout, ReLU, Sequential

seeds = given(seed=st.integers(0, 10_000))
GRID = [Candidate(0.3, tau=2.0, length_scale=3.0), Candidate(0.0, tau=0.5), Candidate(0.1, weight_decay=0.02)]
SHORT = {"hidden": (5,), "epochs": 3, "batch_size": 16, "rate": 0.01, "dtype": "float64"}


def rows(seed, n=32, n_in=3, outputs=1):
    """Rows of whole multiples of 1/1024. With n a power of 2 sums, means, and shifts by whole numbers are exact."""
    rng = np.random.default_rng(seed)
    return rng.integers(-4000, 4000, (n, n_in)) / 1024, rng.integers(-4000, 4000, (n, outputs)) / 1024


def parameters(network):
    return [p.data for p in network.model.parameters().values()]


def alone(x, y, candidate, seed):
    """What the library does, for one candidate and in plain words: a Sequential, weight decay in the loss, `fit`."""
    size = ((y - y.mean(0)) ** 2).mean() ** 0.5
    data = (x - x.mean(0)) / x.std(0), (y - y.mean(0)) / size
    rng = np.random.default_rng(seed)
    model = Sequential(
        Dropout(candidate.p), Dense(x.shape[1], 5, rng=rng, dtype="float64"), ReLU(),
        Dropout(candidate.p), Dense(5, y.shape[1], rng=rng, dtype="float64"),
    )  # fmt: skip
    decay = candidate.weight_decay or candidate.length_scale**2 / (
        2 * len(x) * candidate.tau * size**2 * (1 - candidate.p)
    )

    def loss(f, t):
        return losses.euclidean(f, t) + penalty(model.parameters(), {"1.W": decay, "4.W": decay})

    train.fit(model, loss, data, 3, 16, optim.Adam(model.parameters(), 0.01), seed, progress=False)
    return model


@pytest.mark.source("gal:grid-search", "gal:alg2", "gal:eq3.14")
@settings(max_examples=10)
@seeds
def test_candidates_side_by_side_are_trained_as_each_of_them_alone(seed):
    x, y = rows(seed, n=40, outputs=2)
    for network, candidate in zip(dropout_regressions(x, y, GRID, seed=seed, **SHORT), GRID, strict=True):
        assert network.candidate is candidate
        for ours, theirs in zip(parameters(network), alone(x, y, candidate, seed).parameters().values(), strict=True):
            # the same products and sums, but for that of the loss, which no gradient sees; weights are of order 1
            assert_close(ours, theirs.data, scale=1.0)


@settings(max_examples=5)
@seeds
def test_a_candidate_does_not_depend_on_the_others(seed):
    x, y = rows(seed)
    networks = dropout_regressions(x, y, GRID, seed=seed, **SHORT)
    turned = dropout_regressions(x, y, GRID[::-1], seed=seed, **SHORT)[::-1]
    for k, (one, other) in enumerate(zip(networks, turned, strict=True)):
        (single,) = dropout_regressions(x, y, GRID[k : k + 1], seed=seed, **SHORT)
        for a, b, c in zip(*map(parameters, (one, other, single)), strict=True):
            assert_close(a, b, scale=1.0)
            assert_close(a, c, scale=1.0)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([0.125, 1.0, 32.0]),
    shift=st.integers(-50, 50),
    of_inputs=st.sampled_from([0.25, 4.0]),
)
def test_standardisation_is_invisible(seed, scale, shift, of_inputs):
    """In other units of y (a y + c) and of x draws follow, tau goes by 1 / a^2, and the log likelihood by -log a."""
    x, y = rows(seed, outputs=2)
    new, target = rows(seed + 1, n=6, outputs=2)
    (one,) = dropout_regressions(x, y, [Candidate(0.2, tau=3.0, length_scale=1.0)], seed=seed, **SHORT)
    there = [Candidate(0.2, tau=3.0 / scale**2, length_scale=1.0)]
    (other,) = dropout_regressions(x * of_inputs + shift, y * scale + shift, there, seed=seed, **SHORT)
    assert other.weight_decay == one.weight_decay
    for a, b in zip(parameters(one), parameters(other), strict=True):
        np.testing.assert_array_equal(a, b)  # powers of 2 and whole numbers change no bit of what is standardised
    here, out = one.draws(new, 7, 1), other.draws(new * of_inputs + shift, 7, 1)
    assert_close(out, here * scale + shift, scale=abs(here).max() * scale + abs(shift))
    ours, theirs = one.score(new, target, 7, 1), other.score(new * of_inputs + shift, target * scale + shift, 7, 1)
    terms = 3.0 * ((abs(here).max() + abs(target).max()) + abs(shift) / scale) ** 2 + abs(np.log(scale)) + 1
    assert_close(theirs.log_likelihood, ours.log_likelihood - 2 * np.log(scale), scale=terms)  # two outputs
    assert_close(theirs.rmse, ours.rmse * scale, scale=ours.rmse * scale + abs(shift))


@pytest.mark.source("gal:eq3.18", "gal:prop2")
@seeds
def test_without_noise_one_pass_has_the_likelihood_of_a_gaussian(seed):
    from scipy.stats import norm

    x, y = rows(seed, outputs=2)
    new, target = rows(seed + 1, n=6, outputs=2)
    (network,) = dropout_regressions(x, y, [Candidate(0.0, tau=0.5)], seed=seed, **{**SHORT, "epochs": 1})
    f = network.model((new - x.mean(0)) / x.std(0)).data * network.y_size + y.mean(0)
    found = network.score(new, target, 1, 0)
    expected = norm.logpdf(target, f, 0.5**-0.5).sum(1).mean()
    assert_close(found.log_likelihood, expected, scale=1 + abs(target - f).max() ** 2 + abs(f).max())
    assert_close(found.rmse, np.linalg.norm(f - target) / 12**0.5, scale=abs(f).max() + abs(target).max())


@pytest.mark.source("gal:grid-search", "gal:eq3.17", "gal:eq3.14")
@given(
    p=st.floats(0, 0.9), tau=st.floats(0.01, 100), scale=st.floats(0.01, 10), n=st.integers(1, 10**6),
    size=st.floats(0.01, 100),
)  # fmt: skip
def test_precision_and_weight_decay_find_back_to_each_other(p, tau, scale, n, size):
    """By the text's formula for the standardised targets, whose precision is s^2 tau; masks are scaled."""
    kept, decay = Candidate(p, tau=tau, length_scale=scale).settled(n, size)
    assert kept == tau
    assert_close(decay, scale**2 / ((1 - p) * 2 * n * tau * size**2))
    back, same = Candidate(p, weight_decay=decay, length_scale=scale).settled(n, size)
    assert same == decay
    assert_close(back, tau)


def test_the_two_ways_of_asking_for_a_network_give_the_same():
    x, y = rows(3)
    (one,) = dropout_regressions(x, y, [Candidate(0.2, tau=1.5, length_scale=2.0)], **SHORT)
    by_decay = Candidate(0.2, weight_decay=one.weight_decay, length_scale=2.0)
    (other,) = dropout_regressions(x, y, [by_decay], **SHORT)
    assert all(map(np.array_equal, parameters(one), parameters(other)))
    assert_close(other.tau, 1.5)
    assert_close(one.weight_decay, weight_decay(2.0, 0.2, 1.5 * y.var(), 32, masks="scaled"))


def test_every_array_module_gives_numpys_numbers(xp):
    x, y = rows(6, outputs=2)
    here = dropout_regressions(x, y, GRID, **SHORT)
    there = dropout_regressions(xp.asarray(x), xp.asarray(y), GRID, **SHORT)
    for one, other in zip(here, there, strict=True):
        draws = other.draws(xp.asarray(x[:4]), 3, 0)
        assert backend.xp(draws) is backend.xp(xp.asarray(x)) and one.weight_decay == other.weight_decay
        assert_close(backend.to_numpy(draws), one.draws(x[:4], 3, 0))
        found = other.score(xp.asarray(x), xp.asarray(y), 3, 0)
        np.testing.assert_allclose(found, one.score(x, y, 3, 0), rtol=1e-12)


def test_a_column_that_does_not_vary_says_nothing():
    x, y = rows(4, n=37)
    constant, new = np.full((37, 1), 0.7), rows(5, n=2)[0]
    assert 0 < np.full((37, 4), 0.7).std(0)[3] < 1e-15  # by rounding
    draws = []
    for column in (constant, constant + 5.3):
        (network,) = dropout_regressions(np.concatenate([x, column], 1), y, GRID[:1], **SHORT)
        draws.append(network.draws(np.concatenate([new, column[:2]], 1), 3, 0))
        assert network.x_size[3] == 1
    np.testing.assert_array_equal(*draws)


def test_types():
    x, y = rows(5)
    (network,) = dropout_regressions(x, y, GRID[:1], **{**SHORT, "dtype": "float32"})
    assert network.draws(x[:2], 3, 0).dtype == np.float32 and network.draws(x[:2], 3, 0).shape == (3, 2, 1)
    assert type(network.score(x, y, 2, 0).rmse) is float


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"p": 1.0, "tau": 1.0}, "Candidate: p, the probability of dropping, must lie in .0, 1., got 1.0"),
        ({"p": 0.1}, "Candidate: give either tau or weight_decay, got neither"),
        ({"p": 0.1, "tau": 1.0, "weight_decay": 1.0}, "Candidate: give either tau or weight_decay, got tau and weight"),
        ({"p": 0.1, "tau": 0.0}, "Candidate: tau must be a finite number above 0, got 0.0"),
        ({"p": 0.1, "weight_decay": -1.0}, "Candidate: weight_decay must be a finite number above 0, got -1.0"),
        ({"p": 0.1, "tau": 1.0, "length_scale": 0}, "Candidate: length_scale must be a finite number above 0, got 0"),
    ],
)
def test_candidates_that_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Candidate(**arguments)


def test_rows_that_are_refused():
    x, y = rows(0)
    with pytest.raises(TypeError, match="x and y must be floating-point numbers, got int64 and float64"):
        dropout_regressions(x.astype(int), y, GRID)
    with pytest.raises(ValueError, match=r"with the same N of at least 2, got \(32, 3\) and \(32,\)"):
        dropout_regressions(x, y[:, 0], GRID)
    with pytest.raises(ValueError, match=r"got \(32, 3\) and \(31, 1\)"):
        dropout_regressions(x, y[1:], GRID)
    with pytest.raises(ValueError, match="y must vary over the rows"):
        dropout_regressions(x, np.full((32, 1), 0.7), GRID)
    with pytest.raises(ValueError, match="candidates must be at least one Candidate, got \\[\\]"):
        dropout_regressions(x, y, [])
    with pytest.raises(ValueError, match=r"candidates must be at least one Candidate, got \[0.1\]"):
        dropout_regressions(x, y, [0.1])
    with pytest.raises(ValueError, match="fit: epochs must be an int >= 0, got -1"):
        dropout_regressions(x, y, GRID, epochs=-1)
    network = dropout_regressions(x, y, GRID, epochs=0)[0]
    with pytest.raises(ValueError, match=r"y must have the shape of one pass, \(32, 1\), got \(32,\)"):
        network.score(x, y[:, 0], 2, 0)
