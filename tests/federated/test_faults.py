"""Clients that misbehave: the round goes on without them, and the history says which and why."""

import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from federated.fleet import assert_same_bits, examples, fleet, network

from minidl import losses, nn
from minidl.federated import (
    Answer,
    Client,
    Faulty,
    average,
    client_update,
    fedavg,
    fedsgd,
    one_shot,
    sequential_sgd,
)
from minidl.federated.aggregate import gather
from minidl.federated.client import Order
from minidl.federated.language import NOTHING, next_symbol_loss

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


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (None, "it is no Answer but NoneType"),
        ({}, "it is no Answer but dict"),
        ({"steps": "9"}, "its steps must be a finite number, got '9'"),
        ({"steps": None}, "its steps must be a finite number, got None"),
        ({"loss": float("nan")}, "its loss must be a finite number, got nan"),
        ({"loss": np.zeros(3)}, "its loss must be a finite number, got array"),
        ({"delay": float("nan")}, "its delay must be a finite number, got nan"),
        ({"delay": float("inf")}, "its delay must be a finite number, got inf"),
        ({"weights": []}, "'list' object has no attribute 'items'"),
        ({"weights": network().parameters()}, "its weights: 0.W is no array but Tensor"),
        ({"error": 7}, "7"),
    ],
)
def test_what_is_no_proper_answer_does_not_count_and_leaves_no_trace(wrong, reason, tmp_path):
    def update(model, client, k, order):
        answer = client_update(model, client, k, order)
        if k != 1:
            return answer
        return answer._replace(**wrong) if wrong else wrong

    result = run(fleet([8] * 3), rounds=2, update=update, deadline=1.0, checkpoint=tmp_path)
    assert [(d.round, d.client) for d in result.history.dropped] == [(0, "c1"), (1, "c1")]
    assert all(d.reason.startswith(reason) for d in result.history.dropped)
    without = run(fleet([8] * 3), rounds=2, update=lambda *a: None if a[2] == 1 else client_update(*a))
    for path, a in result.weights.items():
        np.testing.assert_array_equal(a, without.weights[path])
    for name in ("returned", "steps", "loss"):
        np.testing.assert_array_equal(result.history[name], without.history[name])
    assert np.isfinite(result.history["loss"]).all()


def test_an_answer_without_a_loss_counts_and_the_rounds_loss_is_that_of_the_others():
    def update(model, client, k, order):
        return client_update(model, client, k, order)._replace(**{} if k else {"loss": None})

    history = run(fleet([4, 6, 8]), rounds=1, update=update).history
    losses = [client_update(network(), c, k, Order(0, 1, 4, 0.1, 0)).loss for k, c in enumerate(fleet([4, 6, 8]))]
    assert history["returned"][0] == 3
    assert history["loss"][0] == pytest.approx((6 * losses[1] + 8 * losses[2]) / 14, rel=1e-12)
    alone = run(fleet([4]), rounds=1, update=update).history
    assert alone["returned"][0] == 1 and np.isnan(alone["loss"][0])


@pytest.mark.source("fedavg:client-availability")
def test_without_any_answer_the_model_stays_as_it_is_and_a_warning_says_so():
    with pytest.warns(UserWarning, match="nobody's answer counts in round 0, the model stays as it is; client 'c0'"):
        result = run(fleet([4, 4]), rounds=1, update=Faulty(never=1.0))
    for path, a in network().state_dict().items():
        np.testing.assert_array_equal(result.weights[path], a)
    assert result.history["returned"][0] == 0 and np.isnan(result.history["loss"][0])


def test_a_client_that_fails_is_reported_with_round_and_step():
    def fails(output, y):
        if len(y) == 4 and (y == 0).any():
            raise ArithmeticError("a batch that it does not like")
        return losses.cross_entropy(output, y)

    x, y = examples(8)
    y[:] = 1
    y[-1] = 0
    with pytest.warns(UserWarning, match="nobody"):
        result = run([Client("odd", x, y)], rounds=2, B=4, loss=fails)
    for t, (round, client, reason) in enumerate(result.history.dropped):
        assert round == t and client == "odd"
        assert f"round {t}, step" in reason and "ArithmeticError: a batch that it does not like" in reason


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
        ({"watch": {"loss": len}}, "watch needs names, .* other than the history's round, .*test_loss; got 'loss'"),
        ({"watch": {"round": len}}, "watch needs names, .* got 'round'"),
        ({"watch": {"accuracy": len}}, "watch needs names, .* got 'accuracy'"),
        ({"watch": {1: len}}, "watch needs names, each a str, .* got 1"),
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
    with pytest.raises(ValueError, match="two clients have the id 3"):
        run([Client(3, x, y), Client(np.int64(3), x, y)])
    for id in ([1], ("play", "role"), 1.5, np.float64(2), None):
        with pytest.raises(TypeError, match=r"the id of client .* must be an int or a str, got \w+$"):
            run([Client(0, x, y), Client(id, x, y)])
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


BASELINES = {
    "fedavg": run,
    "fedsgd": lambda clients, model=None, **more: fedsgd(
        model or network(), clients, rounds=1, C=1.0, lr=0.1, seed=0, **more
    ),
    "one_shot": lambda clients, model=None, **more: one_shot(
        model or network(), clients, E=1, B=4, lr=0.1, seed=0, **more
    ),
}


@pytest.mark.parametrize("name", BASELINES)
def test_a_model_that_does_not_fit_is_refused_before_anything_is_trained(name):
    again, (x, y) = BASELINES[name], examples(8)
    wide = np.zeros((8, 9), np.float32)
    said = f"^{name}: client 'a' does not fit the model and the loss; of two of its rows, "
    with pytest.raises(ValueError, match=said + r"x float32 \(2, 9\) and y int64 \(2,\) from 0 to 2, .* Dense"):
        again([Client("a", wide, y), Client("b", x, y)])
    with pytest.raises(ValueError, match=said + r".*y float32 \(2,\), they say: TypeError: .*labels must be integers"):
        again([Client("a", x, y.astype(np.float32))])
    with pytest.raises(ValueError, match=said + ".*TypeError: .*forward.*rng"):
        again([Client("a", x, y)], Unruly())
    if name != "one_shot":
        with pytest.raises(ValueError, match=rf"^{name}: test does not fit .* x float32 \(2, 9\)"):
            again([Client("a", x, y)], test=(wide, y))
        with pytest.raises(ValueError, match=f"^{name}: test does not .* from 0 to 7, .*labels must lie in 0..2"):
            again([Client("a", x, y)], test=(x, np.where(np.arange(8) == 5, 7, 0)))


class Unruly(nn.Module):
    """Takes no rng, as training gives one."""

    def __init__(self):
        self.inside = network()

    def forward(self, x):
        return self.inside(x)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_is_refused_with_its_client(name, label):
    clients = fleet([8, 8, 8])
    clients[1].y[3] = label
    low, high = sorted([label, 2 if label < 0 else 0])
    with pytest.raises(ValueError, match=rf"client 'c1' .*labels must lie in 0..2, got {low}..{high}"):
        BASELINES[name](clients)


def test_the_door_takes_whatever_can_be_trained():
    x, y = examples(8)

    class Noisy(nn.Module):
        """Its forward needs rng in training, and counts its calls."""

        def __init__(self):
            self.inside, self.calls = network(), []

        def forward(self, x, rng=None):
            self.calls.append(len(x))
            return self.inside(x) + (rng.normal(size=3).astype(np.float32) if self.training or rng is not None else 0)

    model = Noisy()
    assert run([Client(0, x, y)], model, test=(x, y)).history["returned"].tolist() == [1, 1, 1] and not model.calls
    normed = run([Client(0, x[:1], y[:1]), Client(1, x, y)], network(batch_norm=True), B=None, test=(x[:1], y[:1]))
    assert len(normed.history) == 3
    line = nn.Sequential(nn.Dense(4, 1, rng=0))
    for target in (x[:, :1], np.arange(8)[:, None]):
        found = run([Client(0, x, target), Client(1, x, target * 9)], line, loss=losses.euclidean, lr=1e-4)
        assert found.history["returned"].tolist() == [2, 2, 2]
    ids = np.array([[1, 2, 0], [3, 4, 1]], np.int16)
    for nothing in (np.array([[2, NOTHING, NOTHING], [4, 1, 2]]), np.array([[NOTHING] * 3, [0, 0, 0]])):
        words = nn.Sequential(nn.Embedding(5, 4), nn.Dense(4, 5, rng=0))
        kept = run([Client(0, ids, nothing)], words, loss=next_symbol_loss, B=2, test=(ids, nothing))
        assert kept.history["returned"].tolist() == [1, 1, 1]
    single = nn.Sequential(nn.Dense(4, 3, rng=0))
    y[4] = NOTHING  # a row that does not count
    assert run([Client(0, x, y)], single, loss=next_symbol_loss, B=None).history["returned"].tolist() == [1, 1, 1]


def test_another_update_may_do_what_it_likes_with_examples_but_the_clients_of_faulty_are_the_usual_ones():
    x, y = examples(8)

    def halved(model, client, k, order):
        return client_update(model, Client(client.id, client.x[:, :4], client.y), k, order)

    wide = [Client("a", np.concatenate([x, x], 1), y)]
    assert run(wide, update=halved).history["returned"].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="client 'a' does not fit"):
        run(wide, update=Faulty(never=0.5))


@pytest.mark.parametrize("name", ["fedsgd", "one_shot"])
def test_what_goes_wrong_in_a_baselines_client_is_said_to_be_its_own(name):
    x, y = examples(8)
    clients = [Client("a", x, y), Client("b", np.zeros((8, 9), np.float32), y)]
    with pytest.raises(ValueError, match="Dense") as caught:
        BASELINES[name](clients)
    assert {"fedsgd": "fedsgd: round 0, client 'b'", "one_shot": "one_shot: client 'b'"}[name] in caught.value.__notes__


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"lr": -0.1}, "lr must be a finite number above 0, got -0.1"),
        ({"lr": float("nan")}, "lr must be a finite"),
        ({"steps": -1}, "steps must be an int >= 0, got -1"),
        ({"B": None}, "B must be an int >= 1, got None"),
        ({"B": 25}, "B must be at most the number of examples, 24, got 25"),
        ({"every": 0}, "every must be an int >= 1, got 0"),
        ({"decay": 2}, r"decay must lie in \[0, 1\], got 2"),
        ({"seed": -1}, "seed must be an int >= 0"),
        ({"y": np.zeros(23, int)}, "x and y of the examples need the same number of rows, got 24, 23"),
        ({"y": np.full(24, 3)}, "the set of examples does not fit .* labels must lie in 0..2"),
        ({"test": (np.zeros((2, 9), np.float32), np.zeros(2, int))}, "test does not fit"),
    ],
)
def test_plain_descent_refuses_what_it_cannot_do(change, sentence):
    x, y = examples(24)
    with pytest.raises(ValueError, match=f"^sequential_sgd: {sentence}"):
        sequential_sgd(**(dict(model=network(), x=x, y=y, steps=2, B=4, lr=0.1, seed=0) | change))
    with pytest.raises(TypeError, match="^sequential_sgd: model must be a Module with parameters, got int"):
        sequential_sgd(3, x, y, steps=2, B=4, lr=0.1, seed=0)
