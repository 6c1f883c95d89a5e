"""Laws of the federated loop: what it equals, what it does not depend on, what it keeps."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
from federated.fleet import assert_same_bits, examples, fleet, network
from hypothesis import given
from hypothesis import strategies as st

from minidl import losses, optim
from minidl.federated import (
    Client,
    average,
    client_update,
    clients_a_round,
    fedavg,
    fedsgd,
    one_shot,
    select,
    sequential_sgd,
    updates_per_round,
)
from minidl.federated.aggregate import RunningMean
from minidl.federated.client import BATCHES, batches_of
from minidl.federated.history import COLUMNS
from minidl.randomness import stream

SETTINGS = dict(rounds=3, C=0.5, E=2, B=4, lr=0.1, seed=0, progress=False)
seeds = st.integers(0, 10_000)
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def run(clients, model=None, **changes):
    return fedavg(model or network(), clients, **(SETTINGS | changes))


# ---- what it equals -------------------------------------------------------------------------------------------------


@pytest.mark.source("fedavg:alg1")
@given(n=st.integers(1, 20), B=st.sampled_from([None, 1, 3, 7]), E=st.integers(1, 3), seed=seeds)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_single_client_is_plain_gradient_descent(dtype, n, B, E, seed):
    (client,) = fleet([n], seed, dtype)
    result = run([client], network(seed, dtype), C=1.0, E=E, B=B, seed=seed)
    own = network(seed, dtype)
    for t in range(SETTINGS["rounds"]):
        rows = stream(seed, BATCHES, t, 0).permutation(n)
        batches = [slice(None)] if B is None or B >= n else [rows[i : i + B] for i in range(0, n, B)]
        for _ in range(E):
            for b in batches:
                descent = optim.SGD(own.parameters(), 0.1)
                descent.zero_grad()
                losses.cross_entropy(own(client.x[b]), client.y[b]).backward()
                descent.step()
    for path, a in own.state_dict().items():
        np.testing.assert_array_equal(result.weights[path], a)  # one client's mean is its own model, to the last bit


@pytest.mark.source("fedavg:alg1")
@given(weights=st.lists(st.integers(1, 1000), min_size=1, max_size=100), seed=seeds, missing=st.integers(0, 5000))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_models_average_to_themselves_even_if_some_are_missing(dtype, weights, seed, missing):
    w = np.random.default_rng(seed).normal(size=(5, 3)).astype(dtype)
    along = RunningMean(sum(weights) + missing)
    for n in weights:
        along.add({"W": w}, n)
    for mean in (average([({"W": w}, n) for n in weights])["W"], along.value()["W"]):
        assert mean.dtype == dtype
        np.testing.assert_array_equal(mean, w)


def test_a_sum_that_runs_along_does_not_change_if_a_client_takes_its_arrays_for_something_else():
    own, along = np.ones(3), RunningMean(4)
    for value in (1.0, 5.0):
        own[:] = value
        along.add({"W": own}, 2)
    own[:] = np.nan
    for _ in range(2):
        np.testing.assert_array_equal(along.value()["W"], 3.0)


@pytest.mark.source("fedavg:fedsgd", "fedavg:eq1")
@given(sizes=sizes, seed=seeds)
def test_one_pass_over_all_is_full_batch_descent_on_everybodys_examples_and_fedsgd(sizes, seed):
    clients, start = fleet(sizes, seed, "float64"), network(seed, "float64")
    settings = dict(rounds=3, C=1.0, lr=0.1, seed=seed)
    ours = fedavg(start, clients, E=1, B=None, progress=False, **settings)
    gradients = fedsgd(start, clients, **settings)
    x, y = (np.concatenate([getattr(c, name) for c in clients]) for name in "xy")
    together = fedsgd(start, [Client(0, x, y)], **settings)
    for path in ours.weights:
        np.testing.assert_allclose(gradients.weights[path], ours.weights[path], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(together.weights[path], ours.weights[path], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradients.history["loss"], ours.history["loss"], rtol=1e-12)


@pytest.mark.source("fedavg:one-shot")
def test_one_shot_is_one_round_of_everybody():
    clients = fleet([3, 8, 5])
    once = one_shot(network(), clients, E=4, B=2, lr=0.1, seed=7)
    round = run(clients, rounds=1, C=1.0, E=4, B=2, seed=7).weights
    assert all((once[path] == round[path]).all() for path in round)


@pytest.mark.source("fedavg:sampling-expectation")
def test_the_expected_step_of_fedsgd_is_the_gradient_of_all_for_equal_clients_only():
    """All choices of 2 of 4 clients, enumerated."""
    for sizes, exact in (([5, 5, 5, 5], True), ([1, 2, 9, 20], False)):
        clients, start = fleet(sizes, 3, "float64"), network(3, "float64")
        steps = {}
        for seed in range(60):
            pair = tuple(select(4, 2, seed, 0))
            if pair not in steps:
                after = fedsgd(start, clients, rounds=1, C=0.5, lr=1.0, seed=seed).weights
                steps[pair] = start.state_dict()["0.W"] - after["0.W"]
        assert len(steps) == 6
        everybody = start.state_dict()["0.W"] - fedsgd(start, clients, rounds=1, C=1.0, lr=1.0, seed=0).weights["0.W"]
        apart = abs(np.mean(list(steps.values()), 0) - everybody).max()
        assert (apart < 1e-14) == exact, apart


@pytest.mark.source("fedavg:sgd-baseline")
def test_sequential_descent_takes_random_batches_of_all_examples():
    x, y = examples(40)
    result = sequential_sgd(network(), x, y, steps=3, B=10, lr=0.1, seed=5, decay=0.5)
    own = network()
    for step in range(3):
        rows = stream(5, BATCHES, step).choice(40, 10, replace=False)
        descent = optim.SGD(own.parameters(), 0.1 * 0.5**step)
        losses.cross_entropy(own(x[rows]), y[rows]).backward()
        descent.step()
        descent.zero_grad()
    for path, a in own.state_dict().items():
        np.testing.assert_array_equal(result.weights[path], a)
    np.testing.assert_allclose(result.history["lr"], [0.1, 0.05, 0.025])


@pytest.mark.source("fedavg:alg1")
def test_the_servers_optimiser_with_rate_one_is_the_mean_and_with_momentum_it_is_not():
    clients = fleet([3, 8, 5])
    plain = run(clients)
    same = run(clients, server=lambda p: optim.SGD(p, 1.0))
    for path in plain.weights:
        np.testing.assert_allclose(same.weights[path], plain.weights[path], atol=1e-6)
    faster = run(clients, server=lambda p: optim.SGD(p, 1.0, momentum=0.9))
    assert abs(faster.weights["0.W"] - plain.weights["0.W"]).max() > 1e-3


# ---- what it does ---------------------------------------------------------------------------------------------------


@pytest.mark.source("fedavg:alg1")
def test_the_number_of_clients_is_rounded_not_cut_off():
    assert [clients_a_round(C, 100) for C in (0, 0.001, 0.1, 0.29, 0.5, 0.58, 1)] == [1, 1, 10, 29, 50, 58, 100]
    assert clients_a_round(0.1, 3) == 1


@pytest.mark.source("fedavg:alg1")
@given(K=st.integers(1, 50), seed=seeds, round=st.integers(0, 100), share=st.floats(0, 1))
def test_clients_are_chosen_once_each_and_anew_each_round(K, seed, round, share):
    m = clients_a_round(share, K)
    S = select(K, m, seed, round)
    assert len(set(S)) == m and (np.diff(S) > 0).all() and 0 <= S[0] and S[-1] < K
    np.testing.assert_array_equal(S, select(K, m, seed, round))


def test_all_clients_are_chosen_equally_often():
    often = np.bincount(np.concatenate([select(10, 3, 0, t) for t in range(2000)]), minlength=10)
    assert (abs(often - 600) < 5 * np.sqrt(2000 * 0.3 * 0.7)).all()


@pytest.mark.source("fedavg:alg1", "fedavg:eq1")
def test_the_mean_is_by_the_examples_of_those_who_answered():
    """With all examples of all clients below the line the model would shrink, as in earlier versions of the text."""
    w = [{"W": np.full((2, 2), 1.0)}, {"W": np.full((2, 2), 4.0)}]
    np.testing.assert_allclose(average([(w[0], 2), (w[1], 1)])["W"], 2.0)
    clients = fleet([4] * 10)
    still = run(clients, lr=1e-30)  # nobody learns anything
    for path, a in network().state_dict().items():
        np.testing.assert_allclose(still.weights[path], a, atol=1e-25)


@pytest.mark.source("fedavg:alg1")
def test_batches_are_split_once_unless_they_are_to_be_reshuffled():
    seen = []

    class Spy(type(network())):
        def forward(self, x, rng=None):
            seen.append(x.data.copy() if hasattr(x, "data") and not isinstance(x, np.ndarray) else np.array(x))
            return super().forward(x, rng)

    for reshuffle in (False, True):
        seen.clear()
        model = Spy(*network())
        run(fleet([6]), model, rounds=1, C=1.0, E=3, B=2, reshuffle=reshuffle)
        del seen[:-9]  # what the door tried
        epochs = [np.concatenate(seen[i : i + 3]) for i in (0, 3, 6)]
        same = all((epoch == epochs[0]).all() for epoch in epochs)
        assert same != reshuffle
        for epoch in epochs:
            np.testing.assert_array_equal(np.sort(epoch, 0), np.sort(epochs[0], 0))


@pytest.mark.source("fedavg:updates-per-round")
@given(sizes=sizes, E=st.integers(1, 3), B=st.sampled_from([None, 1, 2, 4]))
def test_updates_per_round_are_the_steps_taken_where_batches_divide_the_examples(sizes, E, B):
    n = [s * 4 for s in sizes]
    result = run(fleet(n), rounds=1, C=1.0, E=E, B=B)
    u = updates_per_round(n, E, B)
    assert result.history["steps"][0] / len(n) == u
    if B is not None:
        assert u == pytest.approx(E * sum(n) / (len(n) * B))


@pytest.mark.source("fedavg:lr-decay")
def test_the_learning_rate_decays_by_rounds():
    np.testing.assert_allclose(run(fleet([4, 4]), decay=0.9).history["lr"], [0.1, 0.09, 0.081])


def test_it_counts_clients_examples_steps_and_bytes():
    clients, model = fleet([3, 8, 5, 6]), network()
    history = run(clients, model, C=0.5, E=2, B=4, test=examples(30)).history
    size = sum(p.data.nbytes for p in model.parameters().values())
    for t in range(3):
        own = [len(clients[k]) for k in select(4, 2, 0, t)]
        assert history["examples"][t] == sum(own)
        assert history["steps"][t] == sum(2 * -(-n // 4) for n in own)
    np.testing.assert_array_equal(history["selected"], 2)
    np.testing.assert_array_equal(history["bytes_down"], 2 * size)
    np.testing.assert_array_equal(history["bytes_up"], 2 * size)
    assert (history["seconds"] > 0).all() and len(history) == 3
    assert history["accuracy"].shape == (3,)


def test_it_learns_and_stops_at_the_target():
    clients, test = fleet([20] * 8), examples(200, 1)
    history = run(clients, rounds=60, lr=0.3, test=test).history
    assert history["accuracy"][-1] > 0.75 > history["accuracy"][0]
    stopped = run(clients, rounds=60, lr=0.3, test=test, target=0.7).history
    assert stopped["accuracy"][-1] >= 0.7 and (stopped["accuracy"][:-1] < 0.7).all()
    np.testing.assert_array_equal(stopped["accuracy"], history["accuracy"][: len(stopped)])


def test_the_model_passed_in_stays_as_it_is_and_buffers_are_averaged():
    model = network(batch_norm=True)
    before = deepcopy(model.state_dict())
    result = run(fleet([6, 8]), model, C=1.0)
    for path, a in model.state_dict().items():
        np.testing.assert_array_equal(a, before[path])
    assert any((result.weights[path] != before[path]).any() for path in before if "mean" in path)
    served = run(fleet([6, 8]), model, C=1.0, server=lambda p: optim.SGD(p, 1.0))
    for path in before:
        np.testing.assert_allclose(served.weights[path], result.weights[path], atol=1e-6)


def test_the_history_is_a_table_and_a_curve(tmp_path):
    history = run(fleet([6, 8]), test=examples(20)).history
    history.to_csv(tmp_path / "history.csv")
    names, *lines = (line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines())
    np.testing.assert_array_equal([float(line[names.index("accuracy")]) for line in lines], history["accuracy"])
    assert names == list(history.columns) and len(lines) == 3
    (line,) = history.plot("test_loss").lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), history["test_loss"])
    with pytest.raises(KeyError, match="there is no column 'speed'; there are round, lr"):
        history["speed"]


def test_a_test_set_in_another_precision_is_measured_in_the_models():
    x, y = examples(20)
    one, other = (run(fleet([6, 8]), test=(x.astype(dtype), y)) for dtype in (np.float32, np.float64))
    np.testing.assert_array_equal(one.history["test_loss"], other.history["test_loss"])


@pytest.mark.source("fedavg:fig2", "fedavg:fig7")
def test_the_curve_is_the_accuracy_of_each_rounds_averaged_model_on_the_test_set():
    x, y = examples(50, seed=9)
    curve = run(fleet([6, 8, 7, 9]), rounds=4, test=(x, y)).history["accuracy"]
    for t, shown in enumerate(curve):
        model = network()
        model.load_state_dict(run(fleet([6, 8, 7, 9]), rounds=t + 1).weights)
        assert shown == (model(x).data.argmax(1) == y).mean()
    assert len(set(curve)) > 1


def test_the_bar_shows_the_accuracy(capsys):
    history = run(fleet([6, 8]), test=examples(20), progress=True).history
    shown = capsys.readouterr().err
    assert f"accuracy={history['accuracy'][-1]:.4f}" in shown and "3/3" in shown
    run(fleet([6, 8]), progress=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown and "accuracy" not in shown
    run(fleet([6, 8]))
    assert not capsys.readouterr().err


def test_what_is_watched_is_in_the_history():
    history = run(fleet([6, 8]), watch={"size": lambda model: abs(model[0].W.data).sum()}).history
    assert (np.diff(history["size"]) != 0).any()
    with_test = run(fleet([6, 8]), rounds=1, test=examples(4)).history
    assert tuple(with_test.columns) == COLUMNS  # whose names a measure must not have


# ---- what it does not depend on -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone():
    return run(fleet([3, 8, 5, 6, 7]), network(noise=0.3), C=0.8)


def test_where_clients_work_changes_no_bit(alone):
    for executor in (ProcessPoolExecutor(2), ThreadPoolExecutor(3)):
        with executor:
            assert_same_bits(run(fleet([3, 8, 5, 6, 7]), network(noise=0.3), C=0.8, executor=executor), alone)


class Backwards:
    """An executor that works its items off from the last to the first."""

    def map(self, function, items):
        return [function(item) for item in items[::-1]][::-1]


def test_the_order_in_which_they_work_changes_no_bit(alone):
    assert_same_bits(run(fleet([3, 8, 5, 6, 7]), network(noise=0.3), C=0.8, executor=Backwards()), alone)


def test_a_client_alone_gives_the_answer_that_it_gives_in_a_round():
    from minidl.federated.client import Order

    clients = fleet([5, 6])
    own = network()
    answer = client_update(own, clients[1], 1, Order(0, 2, 4, 0.1, 0))
    both = run(clients, rounds=1, C=1.0)
    other = client_update(network(), clients[0], 0, Order(0, 2, 4, 0.1, 0))
    mean = average([(other.weights, 5), (answer.weights, 6)])
    assert all((both.weights[path] == mean[path]).all() for path in mean)


@given(n=st.integers(1, 30), B=st.integers(1, 31), seed=seeds)
def test_batches_cover_every_example_once(n, B, seed):
    batches = batches_of(n, B, np.random.default_rng(seed))
    rows = np.concatenate([np.arange(n)[b] for b in batches])
    np.testing.assert_array_equal(np.sort(rows), np.arange(n))
    assert all(len(np.arange(n)[b]) == B for b in batches[:-1])
