"""Clients that misbehave: the round goes on without them, and the history says which and why."""

import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from federated.fleet import assert_same_bits, examples, fleet, network

from minidl import nn
from minidl.federated import Answer, Client, Faulty, average, client_update, fedavg, fedsgd, one_shot
from minidl.federated.aggregate import gather
from minidl.federated.client import Order

SETTINGS = dict(rounds=3, C=1.0, E=1, B=4, lr=0.1, seed=0, progress=False)


def run(clients, model=None, **changes):
    return fedavg(model or network(), clients, **(SETTINGS | changes))


REASONS = {
    "never": "no answer",
    "late": "late: after 60 seconds, the deadline is 30",
    "nan": "0.W holds NaN",
    "shape": r"0.W is float32 of shape \(3, 6\), expected float32 of shape \(4, 6\)",
    "count": "it counts 9 examples, but has 8",
    "crash": "RuntimeError: the client's machine went down",
}


@pytest.mark.source("fedavg:client-availability")
@pytest.mark.parametrize("kind", REASONS)
def test_a_round_goes_on_without_those_who_misbehave_and_says_why(kind):
    faulty = Faulty(**{kind: 0.4})
    clients = fleet([8] * 6)
    result = run(clients, rounds=1, update=faulty, deadline=30)
    wrong = [k for k in range(6) if faulty.fault(0, k) == kind]
    assert 0 < len(wrong) < 6
    assert [d.client for d in result.history.dropped] == [f"c{k}" for k in wrong]
    for dropped in result.history.dropped:
        assert dropped.round == 0
        with pytest.raises(AssertionError, match=REASONS[kind]):
            raise AssertionError(dropped.reason)
    good = [client_update(network(), clients[k], k, Order(0, 1, 4, 0.1, 0)) for k in range(6) if k not in wrong]
    mean = average([(a.weights, a.n) for a in good])
    assert all((result.weights[path] == mean[path]).all() for path in mean)
    assert result.history["returned"][0] == len(good) and result.history["lost"][0] == len(wrong)
    assert result.history["examples"][0] == 8 * len(good)


@pytest.mark.source("fedavg:client-availability")
def test_without_any_answer_the_model_stays_as_it_is_and_a_warning_says_so():
    with pytest.warns(UserWarning, match="nobody's answer counts in round 0, the model stays as it is; client 'c0'"):
        result = run(fleet([4, 4]), rounds=1, update=Faulty(never=1.0))
    for path, a in network().state_dict().items():
        np.testing.assert_array_equal(result.weights[path], a)
    assert result.history["returned"][0] == 0 and np.isnan(result.history["loss"][0])


def test_a_client_that_fails_is_reported_with_round_and_step():
    x, y = examples(8)
    y[-1] = 7  # a label that the network has no output for
    with pytest.warns(UserWarning, match="nobody"):
        result = run([Client("odd", x, y)], rounds=2, B=4)
    for t, (round, client, reason) in enumerate(result.history.dropped):
        assert round == t and client == "odd"
        assert f"round {t}, step" in reason and "labels must lie in 0..2, got" in reason


def test_a_rate_that_is_too_large_is_reported_as_such():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run(fleet([8]), lr=1e38, E=4)
    assert "try a smaller learning rate" in result.history.dropped[0].reason


@pytest.mark.source("fedavg:client-availability")
def test_of_those_asked_in_excess_the_first_to_answer_count():
    clients, w = fleet([4] * 5), network().state_dict()
    delays = [3.0, 1.0, 2.0, 1.0, 9.0]
    answers = [(k, Answer(w, 4, delay=d)) for k, d in enumerate(delays)]
    assert list(gather(answers, clients, w, 3, range(5), 0).kept) == [1, 2, 3]
    kept, dropped, _ = gather(answers, clients, w, 2, range(5), 0, deadline=5.0)
    assert list(kept) == [1, 3]
    assert [(d.client, d.reason.split(":")[0]) for d in dropped] == [
        ("c4", "late"), ("c0", "not needed"), ("c2", "not needed"),
    ]  # fmt: skip
    history = run(fleet([4] * 10), C=0.5, extra=0.4, update=Faulty(never=0.2)).history
    np.testing.assert_array_equal(history["selected"], 7)
    assert (history["returned"] <= 5).all() and history["returned"].max() == 5


def test_a_sum_that_runs_along_is_the_mean_of_those_that_count_and_holds_no_model():
    clients, w = fleet([4, 6, 5]), network(dtype="float64").state_dict()
    models = [network(seed, dtype="float64").state_dict() for seed in (1, 2, 3)]
    answers = [(k, Answer(models[k], len(clients[k]))) for k in range(3)]
    for path, mean in gather(iter(answers), clients, w, 3, range(3), 0).mean.items():
        np.testing.assert_array_equal(mean, average([(a.weights, a.n) for _, a in answers])[path])
    answers[1] = 1, Answer(None, 0, error="gone")
    along = gather(iter(answers), clients, w, 3, range(3), 0)
    after = gather(iter(answers), clients, w, 2, range(3), 0)  # one in excess: models wait
    assert [a.weights is None for a in along.kept.values()] == [True, True]
    assert [a.weights is None for a in after.kept.values()] == [False, False]
    for path, mean in average([(models[0], 4), (models[2], 5)]).items():
        np.testing.assert_array_equal(after.mean[path], mean)
        scale = abs(models[0][path]) + abs(models[2][path])
        assert (abs(along.mean[path] - mean) <= 4 * np.finfo(float).eps * scale).all()
    assert along.dropped == after.dropped and gather(answers[1:2], clients, w, 3, [1], 0).mean is None


def test_a_round_of_many_clients_holds_few_models():
    import tracemalloc

    model = nn.Sequential(nn.Dense(4, 4000), nn.ReLU(), nn.Dense(4000, 3))
    one_model = sum(a.nbytes for a in model.state_dict().values())
    peaks = []
    for K in (5, 80):
        clients = fleet([1] * K)
        tracemalloc.start()
        run(clients, model, rounds=1, C=1.0, E=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2 * one_model


def die(model, client, k, order):
    import os

    if client.id == 1 or k == 1:
        os._exit(1)
    return client_update(model, client, k, order)


def test_a_worker_that_dies_is_named_and_a_dead_executor_stops_the_run(tmp_path):
    sentence = "executor takes no work any more .* a worker ended, at one of the clients .*'c1'.*; start another one"
    with ProcessPoolExecutor(2) as executor:
        with pytest.raises(RuntimeError, match=sentence):
            run(fleet([4] * 4), executor=executor, update=die, checkpoint=tmp_path)


def test_faults_repeat_themselves_and_follow_their_probabilities():
    faulty = Faulty(never=0.1, late=0.2, crash=0.05)
    kinds = [faulty.fault(t, k) for t in range(100) for k in range(40)]
    assert kinds == [faulty.fault(t, k) for t in range(100) for k in range(40)]
    for kind, p in (("never", 0.1), ("late", 0.2), ("crash", 0.05), ("nan", 0.0)):
        assert abs(kinds.count(kind) - 4000 * p) <= 5 * (4000 * p * (1 - p)) ** 0.5
    clients = fleet([5] * 6)
    assert_same_bits(run(clients, update=faulty), run(clients, update=faulty))


def test_probabilities_that_are_none_are_refused():
    for bad in ({"never": -0.1}, {"never": 0.6, "late": 0.5}):
        with pytest.raises(ValueError, match="must be >= 0 and sum to at most 1"):
            Faulty(**bad)


# ---- the door -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"C": 1.5}, r"C must lie in \[0, 1\], got 1.5"),
        ({"C": -0.1}, r"C must lie in \[0, 1\]"),
        ({"C": float("nan")}, "C must lie"),
        ({"E": 0}, "E must be an int >= 1, got 0"),
        ({"B": 0}, "B must be an int >= 1, or None for all examples of a client in one batch, got 0"),
        ({"B": float("inf")}, "B must be an int >= 1, or None"),
        ({"rounds": -1}, "rounds must be an int >= 0"),
        ({"lr": 0.0}, "lr must be a finite number above 0"),
        ({"seed": None}, "seed must be an int"),
        ({"decay": 1.1}, r"decay must lie in \[0, 1\]"),
        ({"target": 0.9}, "target is an accuracy on test"),
        ({"target": 97, "test": examples(4)}, r"target, an accuracy, must lie in \(0, 1\], got 97"),
        ({"extra": -1}, "extra must lie in"),
        ({"deadline": -1}, "deadline must be a number of seconds"),
    ],
)
def test_bad_numbers_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(fleet([4]), **change)


def test_bad_clients_are_refused():
    x, y = examples(4)
    with pytest.raises(ValueError, match="clients must be a list of at least one Client"):
        run([])
    with pytest.raises(TypeError, match="clients must hold Clients, got tuple"):
        run([(x, y)])
    with pytest.raises(ValueError, match="two clients have the id 3"):
        run([Client(3, x, y), Client(3, x, y)])
    with pytest.raises(ValueError, match="client 'a' has no examples; leave it out"):
        run([Client("a", x[:0], y[:0])])
    with pytest.raises(ValueError, match="x and y of client 0 need the same number of rows, got 4, 3"):
        run([Client(0, x, y[:3])])
    with pytest.raises(TypeError, match="x of client 0 must be an array of numbers, got list"):
        run([Client(0, x.tolist(), y)])
    with pytest.raises(ValueError, match="x of client 0 holds NaN"):
        run([Client(0, np.full_like(x, np.nan), y)])
    with pytest.raises(ValueError, match="x of test holds NaN"):
        run([Client(0, x, y)], test=(np.full_like(x, np.nan), y))
    for baseline in (fedsgd, one_shot):
        with pytest.raises(ValueError, match="client 'a' has no examples"):
            own = {"rounds": 1, "C": 1.0} if baseline is fedsgd else {"E": 1, "B": None}
            baseline(network(), [Client("a", x[:0], y[:0])], lr=0.1, seed=0, **own)
    with pytest.raises(ValueError, match=r"C must lie in \[0, 1\], got 1.5"):
        fedsgd(network(), fleet([4]), rounds=1, C=1.5, lr=0.1, seed=0)
    with pytest.raises(TypeError, match="model must be a Module with parameters, got function"):
        fedavg(lambda x: x, [Client(0, x, y)], **SETTINGS)
