"""Rounds to a target, the tuner's grid, private sums, and the networks' sizes."""

from math import inf

import numpy as np
import pytest
from federated.fleet import fleet, network
from hypothesis import given
from hypothesis import strategies as st

from minidl import nn
from minidl.federated import (
    Client,
    NoisyMean,
    average,
    best_so_far,
    fedavg,
    grid,
    models,
    privacy,
    rounds_to,
    secure_average,
    tune,
)
from minidl.federated.baselines import along_the_line
from minidl.federated.privacy import decode, encode, mask

curves = st.lists(st.floats(0, 1), min_size=1, max_size=20)
seeds = st.integers(0, 10_000)


@pytest.mark.source("fedavg:rounds-to-target")
def test_the_crossing_is_interpolated_on_the_best_so_far_curve():
    assert rounds_to([0.2, 0.4, 0.3, 0.8], 0.6) == 3.5  # from 0.4 after round 3 to 0.8 after round 4
    assert rounds_to([0.2, 0.4, 0.3, 0.8], 0.4) == 2.0
    assert rounds_to([0.9, 0.1], 0.5) == 1.0
    assert rounds_to([0.1, 0.2], 0.5) == inf
    assert rounds_to([float("nan"), 0.2, 0.6], 0.4) == 2.5


@pytest.mark.source("fedavg:rounds-to-target")
@given(curve=curves, target=st.floats(0.01, 1))
def test_a_higher_target_or_a_lower_curve_never_takes_fewer_rounds(curve, target):
    k = rounds_to(curve, target)
    assert rounds_to(curve, min(1.0, target * 1.1)) >= k
    assert rounds_to(np.array(curve) * 0.9, target) >= k
    assert (np.diff(best_so_far(curve)) >= 0).all()
    if k < inf:
        assert best_so_far(curve)[int(np.ceil(k)) - 1] >= target


@pytest.mark.source("fedavg:rounds-to-target")
def test_the_grid_is_multiplicative():
    rates = np.array(grid(0.1, 5, 3))
    np.testing.assert_allclose(rates[1:] / rates[:-1], 10 ** (1 / 3))
    assert rates[2] == 0.1 and len(grid(1.0, 11, 6)) == 11
    with pytest.raises(ValueError, match="odd"):
        grid(0.1, 4)


@pytest.mark.source("fedavg:rounds-to-target")
@given(best=st.floats(-2, 2), start=st.integers(-3, 3))
def test_the_best_rate_is_strictly_inside_the_grid_that_grows_towards_it(best, start):
    """Rounds that grow with the distance of log lr from the best."""
    asked = []

    def run(lr):
        asked.append(lr)
        need = 2 + round(10 * abs(np.log10(lr) - best))
        return np.minimum(1.0, np.arange(1, 200) / need)

    tuned = tune(run, 1.0, grid(10.0**start * 1.01, 3), furthest=20)
    rates = sorted(tuned.tried)
    assert rates[0] < tuned.lr < rates[-1]
    assert tuned.rounds == min(tuned.tried.values()) and len(asked) == len(set(asked)) == len(rates)
    assert abs(np.log10(tuned.lr) - best) < 1 / 3


def test_a_tuner_that_never_finds_an_inside_says_so():
    with pytest.raises(ValueError, match="still at the edge of the grid after 2 more rates"):
        tune(lambda lr: [lr], 1e9, [1.0, 2.0, 3.0], furthest=2)


@pytest.mark.parametrize("rates", [[], [0.0, 0.1], [0.1, np.inf]])
def test_rates_that_are_none_are_refused(rates):
    with pytest.raises(ValueError, match="^tune: rates must hold at least one learning rate, finite and above 0, got"):
        tune(lambda lr: [lr], 0.5, rates)


# ---- private sums ---------------------------------------------------------------------------------------------------


@pytest.mark.source("fedavg:secure-aggregation")
@given(K=st.integers(1, 6), seed=seeds)
def test_masked_sums_equal_plain_sums_exactly(K, seed):
    numbers = np.random.default_rng(seed).normal(size=(K, 7)) * 100
    plain = [encode(row) for row in numbers]
    masked = [mask(message, k, range(K), seed, 3) for k, message in enumerate(plain)]
    np.testing.assert_array_equal(np.sum(masked, 0, dtype=np.uint64), np.sum(plain, 0, dtype=np.uint64))
    np.testing.assert_allclose(decode(np.sum(masked, 0, dtype=np.uint64)), numbers.sum(0), atol=K * 2.0**-33)
    if K > 1:
        assert all((m != p).any() for m, p in zip(masked, plain, strict=True))


@pytest.mark.source("fedavg:secure-aggregation")
def test_a_masked_message_is_uniform_whatever_it_says():
    message = encode(np.zeros(20_000))
    bits = np.unpackbits(mask(message, 0, range(2), 0, 0).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 5 * 0.5 / len(bits) ** 0.5


@pytest.mark.source("fedavg:secure-aggregation")
@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=5), seed=seeds)
def test_the_secure_average_is_the_average(sizes, seed):
    rng = np.random.default_rng(seed)
    answers = [({"W": rng.normal(size=(3, 2)).astype(np.float32)}, n) for n in sizes]
    secure = secure_average(answers, w=answers[0][0], round=0, seed=seed)["W"]
    # half a unit of the fixed point for each client, and the last rounding to float32 on either side
    np.testing.assert_allclose(secure, average(answers)["W"], rtol=2.0**-23, atol=2.0**-33 * len(sizes))
    assert secure.dtype == np.float32


def test_numbers_that_do_not_fit_the_fixed_point_are_refused():
    with pytest.raises(OverflowError, match=r"below 2\^30 for 32 bits"):
        encode(np.array([2.0**31]))
    fits = [({"W": np.full(2, 0.9 * 2.0**28)}, 1)] * 4  # the bound is 2^30 / 4
    np.testing.assert_array_equal(secure_average(fits, w=fits[0][0], round=0)["W"], fits[0][0]["W"])
    for answers in ([*fits, fits[0]], [({"W": np.full(1, 6e4, np.float32)}, 12_000)] * 4):
        with pytest.raises(OverflowError, match=rf"below 2\^30 / {len(answers)}, for a sum of .* for 32 bits, got"):
            secure_average(answers, w=answers[0][0], round=0)


@pytest.mark.source("fedavg:secure-aggregation")
def test_no_two_numbers_of_a_client_are_behind_the_same_mask(monkeypatch):
    """A server that knows n_k, or that two layers are alike, must not get at the rest by a difference."""
    sent = []

    def spy(message, *place):
        sent.append((message, masked := mask(message, *place)))
        return masked

    monkeypatch.setattr(privacy, "mask", spy)
    w = {"W": np.full((2, 3), 0.5), "b": np.full(3, 0.5)}
    mean = secure_average([(w, n) for n in (7, 9, 11)], w=w, round=0)
    assert all((mean[path] == w[path]).all() for path in w)
    for plain, masked in sent:
        masks = masked - plain
        assert masks.shape == (10,) and len(set(masks.tolist())) == 10


@pytest.mark.source("fedavg:secure-aggregation")
@given(clip=st.floats(0.01, 5), K=st.integers(1, 5), seed=seeds)
def test_one_client_moves_the_noiseless_mean_by_the_clip_at_most(clip, K, seed):
    rng = np.random.default_rng(seed)
    w = {"W": rng.normal(size=4), "b": rng.normal(size=2)}
    answers = [({p: a + 3 * rng.normal(size=a.shape) for p, a in w.items()}, 1 + k) for k in range(K)]
    mean = NoisyMean(clip, 0.0)(answers, w=w, round=0)
    length = sum(((mean[p] - w[p]) ** 2).sum() for p in w) ** 0.5
    assert length <= clip * (1 + 1e-12)
    wide = NoisyMean(1e9, 0.0)(answers, w=w, round=0)
    np.testing.assert_allclose(wide["W"], np.mean([a["W"] for a, _ in answers], 0), rtol=1e-12, atol=1e-12)


@pytest.mark.source("fedavg:secure-aggregation")
def test_the_noise_has_the_deviation_that_it_says():
    w = {"W": np.zeros(40_000)}
    noisy = NoisyMean(2.0, 0.5, seed=1)([(w, 1)] * 4, w=w, round=0)["W"]
    expected = 2.0 * 0.5 / 4
    assert abs(noisy.std() / expected - 1) < 5 / (2 * 40_000) ** 0.5
    again = NoisyMean(2.0, 0.5, seed=1)([(w, 1)] * 4, w=w, round=1)["W"]
    assert (again != noisy).any()
    for bad in ((0.0, 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="clip must be above 0 and sigma >= 0"):
            NoisyMean(*bad)


def test_both_stand_in_the_loop_for_the_mean():
    settings = dict(rounds=2, C=1.0, E=1, B=None, lr=0.1, seed=0, progress=False)
    plain = fedavg(network(), fleet([4, 4]), **settings).weights
    for combine in (secure_average, NoisyMean(1e6, 0.0)):
        own = fedavg(network(), fleet([4, 4]), combine=combine, **settings).weights
        for path in plain:
            np.testing.assert_allclose(own[path], plain[path], rtol=1e-5, atol=1e-7)


# ---- the networks, the line between two models ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "x", "total"),
    [
        pytest.param(models.mnist_2nn, (2, 784), 199_210, marks=pytest.mark.source("fedavg:2nn")),
        pytest.param(models.mnist_cnn, (2, 1, 28, 28), 1_663_370, marks=pytest.mark.source("fedavg:cnn")),
        pytest.param(models.char_lstm, (2, 3), 866_578, marks=pytest.mark.source("fedavg:char-lstm")),
        pytest.param(models.cifar_cnn, (2, 3, 32, 32), 1_068_298, marks=pytest.mark.source("fedavg:cifar-cnn")),
        pytest.param(models.word_lstm, (2, 3), 4_950_544, marks=pytest.mark.source("fedavg:word-lstm")),
    ],
)
def test_the_networks_have_the_texts_numbers_of_parameters(make, x, total):
    model = make()
    x = np.zeros(x, np.float32 if len(x) != 2 or x[1] == 784 else np.int64)
    assert f"{total:,}" in model.summary(x)
    assert sum(p.size for p in model.parameters().values()) == total


@pytest.mark.source("fedavg:gradient-leak")
def test_an_update_of_a_model_on_bags_of_words_shows_which_words_a_client_used_and_the_mean_shows_whose_no_more():
    rng, V = np.random.default_rng(0), 30
    used = [rng.choice(V, 6, replace=False) for _ in range(3)]
    writers = []
    for k, words in enumerate(used):
        bag = np.zeros((12, V), np.float32)
        bag[np.arange(12), np.resize(words, 12)] = rng.integers(1, 4, 12)
        writers.append(Client(k, bag, np.arange(12) % 2))
    model = nn.Dense(V, 2, rng=0)
    for E in (1, 5):
        for B in (None, 4):
            for client, words in zip(writers, used, strict=True):
                update = fedavg(model, [client], rounds=1, C=1.0, E=E, B=B, lr=0.1, seed=0, progress=False).weights["W"]
                np.testing.assert_array_equal(np.flatnonzero((update != model.W.data).any(1)), np.sort(words))
            mean = fedavg(model, writers, rounds=1, C=1.0, E=E, B=B, lr=0.1, seed=0, progress=False).weights["W"]
            np.testing.assert_array_equal(np.flatnonzero((mean != model.W.data).any(1)), np.unique(used))


@pytest.mark.source("fedavg:fig1")
def test_the_ends_of_the_line_are_the_two_models():
    from minidl import losses, train

    (client,) = fleet([30])
    one, other = network(1), network(2)
    found = along_the_line(network(), one.state_dict(), other.state_dict(), [0.0, 0.5, 1.0], client.x, client.y)
    for theta, model in ((0, other), (2, one)):
        expected, _ = train.evaluate(model, losses.cross_entropy, client.x, client.y)
        assert found[theta] == pytest.approx(expected, rel=1e-6)
