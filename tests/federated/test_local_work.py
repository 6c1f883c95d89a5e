"""E and B as functions of the round: less work on the clients later, as one lets a learning rate fall."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from federated.fleet import assert_same_bits, fleet, network

from minidl.federated import average, client_update, fedavg, one_shot, select
from minidl.federated.client import Order
from minidl.federated.flower import server_app

SIZES = [3, 8, 5, 6]
SETTINGS = dict(rounds=4, C=0.5, E=2, B=4, lr=0.1, seed=0, decay=0.9, progress=False)
PASSES, BATCH = [3, 3, 1, 2], [2, 3, 3, None]  # what the functions below give in each round


def passes(t):
    return PASSES[t]


def batch(t):
    return BATCH[t]


def run(**changes):
    return fedavg(network(noise=0.2), fleet(SIZES), **(SETTINGS | changes))


@pytest.mark.source("fedavg:decay-local-work", "fedavg:alg1")
def test_a_run_with_functions_of_the_round_is_the_loop_with_their_values():
    clients, own = fleet(SIZES), network(noise=0.2)
    w = own.state_dict()
    for t in range(4):
        answers = []
        for k in select(4, 2, 0, t):
            own.load_state_dict(w)
            answer = client_update(own, clients[k], k, Order(t, PASSES[t], BATCH[t], 0.1 * 0.9**t, 0))
            answers.append((answer.weights, answer.n))
        w = average(answers)
    result = run(E=passes, B=batch)
    for path, a in w.items():
        np.testing.assert_array_equal(result.weights[path], a)


@pytest.mark.source("fedavg:decay-local-work")
@pytest.mark.parametrize("B", [3, None])
def test_a_constant_function_is_its_number(B):
    assert_same_bits(run(E=lambda t: 2, B=lambda t: B), run(E=2, B=B))
    assert_same_bits(run(E=2, B=lambda t: B), run(E=lambda t: np.int64(2), B=B))
    settings = dict(lr=0.1, seed=0)
    once = one_shot(network(), fleet(SIZES), E=lambda t: 2 + t, B=lambda t: B, **settings)
    number = one_shot(network(), fleet(SIZES), E=2, B=B, **settings)
    for path, a in number.items():
        np.testing.assert_array_equal(once[path], a)


@pytest.mark.source("fedavg:decay-local-work", "fedavg:updates-per-round")
def test_fewer_passes_and_larger_batches_are_fewer_steps():
    history = run(C=1.0, E=lambda t: 5 if t < 2 else 1, B=lambda t: 2 if t < 3 else None).history
    pairs = sum(-(-n // 2) for n in SIZES)  # batches of two
    np.testing.assert_array_equal(history["steps"], [5 * pairs, 5 * pairs, pairs, len(SIZES)])


@pytest.mark.source("fedavg:decay-local-work")
def test_the_functions_stay_with_the_server():
    with ProcessPoolExecutor(2) as executor:  # a lambda does not travel to a process
        there = run(E=lambda t: PASSES[t], B=lambda t: BATCH[t], executor=executor)
    assert_same_bits(there, run(E=passes, B=batch))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"E": lambda t: 3 - t}, "E must be an int >= 1, got 0 in round 3"),
        ({"E": lambda t: 4 * 0.5**t}, "E must be an int >= 1, got 4.0 in round 0"),
        ({"E": lambda t: None if t else 1}, "E must be an int >= 1, got None in round 1"),
        ({"E": lambda t: t < 3}, "E must be an int >= 1, got True in round 0"),
        ({"B": lambda t: 2 - t}, "B must be an int >= 1, or None for all .* in one batch, got 0 in round 2"),
        ({"B": lambda t: 10 if t < 3 else float("inf")}, "B must be an int >= 1, or None .*, got inf in round 3"),
    ],
)
def test_a_value_that_is_none_is_refused_with_its_round_before_anybody_is_asked(change, sentence):
    asked = []

    def update(model, client, k, order):
        asked.append(k)
        return client_update(model, client, k, order)

    with pytest.raises(ValueError, match=sentence):
        run(update=update, **change)
    assert not asked


@pytest.mark.parametrize("change", [{"E": passes}, {"B": batch}])
def test_flower_takes_numbers_only(change, tmp_path):
    (name,) = change
    settings = dict(rounds=2, C=1.0, K=2, E=1, B=4, lr=0.1, seed=0)
    with pytest.raises(ValueError, match=f"{name} must be an int >= 1, .*got <function"):
        server_app(network(), tmp_path / "w.npz", **(settings | change))


class Killed(BaseException):
    """Nobody catches it."""


@pytest.mark.source("fedavg:decay-local-work")
def test_killed_in_the_third_round_it_goes_on_to_the_same_bits(tmp_path):
    seen = []

    def kill(model):
        seen.append(model)
        if len(seen) == 3:
            raise Killed
        return 0.0

    with pytest.raises(Killed):
        run(E=passes, B=batch, checkpoint=tmp_path, watch={"nothing": kill})
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["round-000001.json", "round-000002.json"]
    rest = run(E=lambda t: PASSES[t], B=lambda t: BATCH[t], checkpoint=tmp_path, watch={"nothing": lambda model: 0.0})
    assert_same_bits(rest, run(E=passes, B=batch, watch={"nothing": lambda model: 0.0}))


@pytest.mark.source("fedavg:decay-local-work")
def test_a_checkpoint_minds_what_was_done_and_not_what_is_to_come(tmp_path):
    run(rounds=3, E=lambda t: 3 if t < 2 else 1, checkpoint=tmp_path)
    for other, now in ((lambda t: 3 if t < 1 else 1, "{'0': 3, '1': 1}"), (lambda t: 3, "3"), (3, "3")):
        with pytest.raises(ValueError, match=f"E was {{'0': 3, '2': 1}}, now it is {now}; choose another folder"):
            run(E=other, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="B was 4, now it is None"):
        run(E=lambda t: 3 if t < 2 else 1, B=lambda t: None, checkpoint=tmp_path)
    later = [3, 3, 1, 6]
    assert_same_bits(run(E=later.__getitem__, checkpoint=tmp_path), run(E=later.__getitem__))


@pytest.mark.source("fedavg:decay-local-work")
def test_a_number_may_become_a_function_on_the_way(tmp_path):
    run(rounds=2, E=3, B=2, checkpoint=tmp_path)
    less = dict(E=lambda t: 3 if t < 2 else 1, B=lambda t: 2 if t < 2 else None)
    assert_same_bits(run(checkpoint=tmp_path, **less), run(**less))
