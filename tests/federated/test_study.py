"""Tables of rounds to a target, and the picture of a partition."""

from math import inf

import numpy as np
import pytest
from federated.fleet import examples, fleet, network

from minidl.federated import (
    at_best_rate,
    fedavg,
    grid,
    measure_seconds,
    plot_partition,
    rounds_to,
    speedup_table,
    study,
    tune,
)

SETTINGS = dict(C=0.5, E=2, B=5, seed=3, progress=False)
TEST = examples(300, 9)


def curve(lr, rounds=30):
    return fedavg(network(), fleet([20] * 6), rounds=rounds, lr=lr, test=TEST, **SETTINGS).history["accuracy"]


@pytest.mark.source("fedavg:rounds-to-target")
def test_stopping_the_slower_rates_changes_neither_the_best_rate_nor_its_rounds(tmp_path):
    whole = tune(curve, 0.8, grid(0.1, 3))
    best = at_best_rate(
        network(), fleet([20] * 6), target=0.8, rates=grid(0.1, 3), rounds=30, test=TEST, folder=tmp_path, **SETTINGS
    )
    assert (best.lr, best.rounds) == (whole.lr, whole.rounds)
    assert best.rounds < inf and best.tried.keys() == whole.tried.keys()
    for lr, rounds in best.tried.items():
        assert rounds in (whole.tried[lr], inf)
    assert rounds_to(best.history["accuracy"], 0.8) == best.rounds


def test_a_study_goes_on_from_its_folder_to_the_same_table(tmp_path, monkeypatch):
    arguments = dict(target=0.8, rates=grid(0.1, 3), rounds=30, test=TEST, folder=tmp_path / "cell", **SETTINGS)
    first = at_best_rate(network(), fleet([20] * 6), **arguments)
    assert len(list((tmp_path / "cell").glob("lr-*"))) == len(first.tried)
    monkeypatch.setattr("minidl.federated.averaging.select", None)  # no round is done again
    again = at_best_rate(network(), fleet([20] * 6), **arguments)
    assert again[:3] == first[:3]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_rate_at_which_all_models_break_is_a_bad_rate_and_no_error():
    best = at_best_rate(
        network(), fleet([20] * 6), target=0.8, rates=[0.1, 0.3, 1e30], rounds=30, test=TEST, **SETTINGS
    )
    assert best.lr < 1e30 and best.tried[1e30] == inf


def test_a_study_without_rounds_is_refused():
    with pytest.raises(ValueError, match="^at_best_rate: rounds must be an int >= 1, got 0"):
        at_best_rate(network(), fleet([20]), target=0.8, rates=grid(0.1, 3), rounds=0, test=TEST, **SETTINGS)


@pytest.mark.source("fedavg:table4", "fedavg:table1")
def test_speedups_are_those_that_the_text_prints():
    """Rows of table 4, IID and not, with their printed factors."""
    printed = {
        "FedSGD": (1468, 1817, 1.0, 1.0),
        "E = 10, B = inf": (156, 1100, 9.4, 1.7),
        "E = 1, B = 10": (92, 831, 16.0, 2.2),
        "E = 10, B = 10": (34, 497, 43.2, 3.7),
    }
    cells = {(row, side): rounds for row, (a, b, *_) in printed.items() for side, rounds in (("IID", a), ("not", b))}
    table = speedup_table({}, list(printed), ["IID", "not"], paper=cells)
    assert table["columns"] == ["IID", "IID, times fewer", "not", "not, times fewer"]
    for row in table["rows"]:
        a, b, c, d = printed[row["label"]]
        assert list(row["paper"].values()) == pytest.approx([a, c, b, d], abs=0.05)
        assert row["ours"] == {"IID": "not run", "not": "not run"}


def test_a_target_that_was_not_reached_has_no_speedup():
    ours = {("a", "x"): 10.0, ("b", "x"): inf, ("c", "x"): 5.0, ("a", "y"): inf, ("b", "y"): 3.0}
    rows = speedup_table(ours, ["a", "b", "c"], ["x", "y"])["rows"]
    assert [row["ours"] for row in rows] == [
        {"x": 10.0, "x, times fewer": 1.0, "y": "not reached"},
        {"x": "not reached", "y": 3.0},
        {"x": 5.0, "x, times fewer": 2.0, "y": "not run"},
    ]
    assert all(row["paper"] == {} for row in rows)


def test_the_seconds_of_a_round_grow_with_clients_and_passes_beside_one_look_at_the_test_set(monkeypatch):
    clock = [0.0]
    asked = []

    def update(model, client, k, order):
        asked.append((client.id, order.E, order.B))
        clock[0] += 2.0

    def look(model, loss, x, y):
        clock[0] += 3.0

    monkeypatch.setattr(study, "client_update", update)
    monkeypatch.setattr(study, "evaluate", look)
    monkeypatch.setattr(study, "perf_counter", lambda: clock[0])
    seconds = measure_seconds(network(), fleet([5] * 10), B=2, test=TEST)
    assert seconds == (2.0, 3.0, 10)
    assert seconds.a_round(C=0.5, E=4) == 5 * 4 * 2.0 + 3.0
    assert measure_seconds(network(), fleet([5] * 10), B=None).a_round(C=0, E=1) == 2.0
    assert asked == [("c0", 1, 2), ("c0", 1, None)]


@pytest.mark.source("fedavg:mnist-partitions")
def test_a_bar_of_the_picture_is_as_high_as_the_client_has_rows_of_that_label():
    labels = np.array([0, 0, 1, 2, 2, 2, 1])
    parts = [np.array([0, 3, 4]), np.array([1, 2, 5, 6])]
    ax = plot_partition(labels, parts, classes=3)
    drawn = np.array([[bar.get_height() for bar in label] for label in ax.containers])
    np.testing.assert_array_equal(drawn, [[1, 1], [0, 2], [2, 1]])
    np.testing.assert_array_equal([bar.get_y() + bar.get_height() for bar in ax.containers[-1]], [3, 4])
