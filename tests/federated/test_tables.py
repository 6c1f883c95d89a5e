"""The text's tables as cells, and what is on file of them."""

import json
from math import inf

import pytest
from federated.fleet import examples, fleet, network

from minidl.federated import fedavg, rounds_to, tables
from minidl.federated.tables import FIGURE8, PRINTED, Cell, Curve, cells_of, main, read, run
from minidl.report.declaration import find_chapters

TEST = examples(300, 9)
CELL = Cell("2NN", "IID", 0.1, 1, 10)
OF_CELL = dict(C=0.5, E=2, B=5, seed=3, progress=False)


@pytest.fixture
def small(monkeypatch):
    """A few clients in MNIST's place; returns the list of the rates that are run."""
    ran = []

    def setting(cell, seed):
        goal = {"rounds": 4} if isinstance(cell, Curve) else {"rounds": 30, "target": 0.8}
        watch = {"training loss": lambda model: 0.5}
        return dict(
            model=network(), clients=fleet([20] * 6), test=TEST, watch=watch, C=0.5, E=2, B=5, seed=seed, **goal
        )

    def counted(*arguments, **settings):
        ran.append(settings["lr"])
        return fedavg(*arguments, **settings)

    monkeypatch.setattr(tables, "_setting", setting)
    monkeypatch.setattr(tables, "fedavg", counted)
    monkeypatch.setattr("minidl.federated.study.fedavg", counted)
    monkeypatch.setattr(tables, "TARGETS", {"2NN": 0.8, "CNN": 0.8})
    monkeypatch.setattr(tables.registry, "missing", lambda name: None)
    monkeypatch.setattr(tables, "hours", lambda cells, seed=0: dict.fromkeys(cells, 0.5))
    return ran


@pytest.mark.source("fedavg:table1", "fedavg:table2", "fedavg:table4")
def test_the_printed_rounds_are_those_of_the_text_and_agree_with_its_printed_speedups():
    four, two = cells_of(4), cells_of(2)
    assert len(cells_of(1)) == 40 and len(two) == len(four) == 18 and len(PRINTED) == 40 + 18 + 18 - 2 * 2 - 2 * 2
    for cells, net, speedups in (
        (two, "CNN", {(5, None): (3.5, 0.5), (1, 50): (9.6, 0.8), (20, None): (2.7, 0.7), (1, 10): (18.4, 1.4),
                      (5, 50): (21.6, 1.4), (20, 50): (19.6, 1.1), (5, 10): (31.3, 2.1), (20, 10): (34.8, 2.8)}),
        (four, "2NN", {(10, None): (9.4, 1.7), (1, 50): (10.2, 1.5), (20, None): (16.0, 1.9), (1, 10): (16.0, 2.2),
                       (10, 50): (32.6, 2.1), (20, 50): (37.6, 2.2), (10, 10): (43.2, 3.7), (20, 10): (45.9, 2.5)}),
    ):  # fmt: skip
        for (E, B), pair in speedups.items():
            for split, factor in zip(("IID", "non-IID"), pair, strict=True):
                first, rounds = cells[Cell(net, split, 0.1, 1, None)], cells[Cell(net, split, 0.1, E, B)]
                assert first / rounds == pytest.approx(factor, abs=0.051)
    assert sum(rounds == inf for rounds in cells_of(1).values()) == 5
    assert len({cell.name for cell in (*PRINTED, *FIGURE8)}) == len(PRINTED) + len(FIGURE8)


def test_what_is_on_file_is_the_run_itself(tmp_path, small):
    found = run(CELL, tmp_path, seed=3, progress=False)
    assert found.tuned and min(found.tried) < found.lr < max(found.tried)
    history = fedavg(
        network(), fleet([20] * 6), lr=found.lr, rounds=30, target=0.8, test=TEST,
        watch={"training loss": lambda model: 0.5}, **OF_CELL,
    ).history  # fmt: skip
    assert found.rounds == rounds_to(history["accuracy"], 0.8)
    for column in ("accuracy", "training loss", "bytes_up", "bytes_down", "steps", "returned", "round"):
        assert list(found.history[column]) == list(history[column])


def test_a_rate_on_file_is_not_run_again(tmp_path, small):
    first = run(CELL, tmp_path, seed=3, one_rate=True, progress=False)
    assert len(small) == 1 and not first.tuned and list(first.tried) == pytest.approx(small, rel=1e-3)
    whole = run(CELL, tmp_path, seed=3, progress=False)
    assert len(small) == len(whole.tried) == len({f"{lr:.4g}" for lr in small})
    again = run(CELL, tmp_path, seed=3, progress=False)
    assert len(small) == len(whole.tried) and again[:3] == whole[:3]
    assert run(CELL, tmp_path, seed=3, one_rate=True, progress=False)[:3] == whole[:3]


def test_a_cell_that_is_killed_between_two_rates_comes_to_the_same_file(tmp_path, small, monkeypatch):
    whole = run(CELL, tmp_path / "whole", seed=3, progress=False)
    writes = iter([tables.write_json] * 2)

    def killed(*arguments):
        next(writes, None) or pytest.fail("killed")
        tables_write(*arguments)

    tables_write = tables.write_json
    monkeypatch.setattr(tables, "write_json", killed)
    with pytest.raises(pytest.fail.Exception):
        run(CELL, tmp_path / "killed", seed=3, progress=False)
    monkeypatch.setattr(tables, "write_json", tables_write)
    resumed = run(CELL, tmp_path / "killed", seed=3, progress=False)
    assert resumed[:3] == whole[:3]


@pytest.mark.source("fedavg:fig8")
def test_a_curve_has_all_its_rounds_whatever_the_accuracy(tmp_path, small):
    found = run(FIGURE8[0], tmp_path, progress=False)
    assert len(found.history) == 4 and found.lr == FIGURE8[0].lr == small[0]
    assert read(FIGURE8[0], tmp_path)[:3] == found[:3] and len(small) == 1


def test_the_command_runs_what_the_patterns_name_and_says_what_is_there(tmp_path, small, capsys):
    arguments = "2NN-IID-C0.1-E1-B10", "--folder", str(tmp_path), "--seed", "3"
    assert main([*arguments, "--list"]) == 0
    assert "2NN-IID-C0.1-E1-B10" in (said := capsys.readouterr().out) and "not on file" in said and not small
    assert main([*arguments, "--one-rate"]) == 0 and len(small) == 1
    assert "the best is at an edge" in capsys.readouterr().out
    assert main(arguments) == 0 and len(small) > 1
    n = len(small)
    assert main(arguments) == 0 and len(small) == n
    with pytest.raises(SystemExit, match="2"):
        main(["2NM*"])
    assert "no cell fits 2NM*" in capsys.readouterr().err


def edge(**_):
    raise ValueError("tune: still at the edge")


def test_a_cell_that_cannot_be_run_does_not_keep_the_others_from_it(tmp_path, small, capsys, monkeypatch):
    other = Cell("2NN", "IID", 0.1, 1, 50)
    (tmp_path / f"{CELL.name}.json").write_text("{}")
    arguments = CELL.name, other.name, "--folder", str(tmp_path), "--seed", "3"
    assert main([*arguments, "--one-rate"]) == 1
    said = capsys.readouterr()
    assert "is no file of a cell" in said.err and other.name in said.out and len(small) == 1
    assert main([*arguments[1:3], str(tmp_path), "--seed", "4"]) == 1  # on file with another seed
    assert "was run with seed 3, asked for is 4" in capsys.readouterr().err
    monkeypatch.setattr(tables, "at_best_rate", edge)
    assert main(arguments[1:]) == 1
    assert f"{other.name}: tune: still at the edge" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong, said",
    [
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--folder", "a file"], "--folder must be a folder that can be written"),
    ],
)
def test_what_the_command_cannot_use_is_refused_first(tmp_path, small, capsys, monkeypatch, wrong, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        main(wrong)
    assert said in capsys.readouterr().err


def test_without_mnist_the_command_says_how_to_get_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match="3"):
        main(["--list"])
    assert "MINIDL_DATA" in capsys.readouterr().err


def test_a_damaged_file_or_one_of_another_seed_is_refused(tmp_path, small):
    run(CELL, tmp_path, seed=3, one_rate=True, progress=False)
    with pytest.raises(ValueError, match="was run with seed 3, asked for is 4"):
        run(CELL, tmp_path, seed=4, progress=False)
    path = tmp_path / f"{CELL.name}.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match="is no file of a cell .* delete it"):
        read(CELL, tmp_path)
    for rates in ({}, {"0.1": 5}, {"0.1": {"accuracy": [], "seconds": 1}}):
        path.write_text(json.dumps({"rates": rates, "seed": 3, "versions": {}}))
        with pytest.raises(ValueError, match="is no file of a cell"):
            read(CELL, tmp_path)


def test_every_file_that_is_kept_is_of_a_cell_and_reached_its_target_at_the_rate_that_it_names():
    folder = find_chapters() / "results" / "cells"
    by_name = {cell.name: cell for cell in (*PRINTED, *FIGURE8)}
    for path in folder.glob("*.json"):
        cell = by_name.pop(path.stem)
        found = read(cell, folder)
        accuracy = found.history["accuracy"]
        if isinstance(cell, Curve):
            assert len(accuracy) == cell.rounds and found.lr == cell.lr
        else:
            target = tables.TARGETS[cell.net]
            assert found.rounds == inf or max(accuracy[:-1], default=0) < target <= accuracy[-1]


def test_the_real_setting_of_a_cell_fits_its_network(monkeypatch):
    """With a few pictures in MNIST's place."""
    from minidl import data

    class Few:
        train_images, train_labels = np_images(400)
        test_images, test_labels = np_images(20)

    monkeypatch.setattr(data, "mnist", lambda: Few)
    tables._mnist.cache_clear()
    for cell in (Cell("2NN", "non-IID", 0.1, 1, None), Cell("CNN", "IID", 0.0, 5, 10), FIGURE8[0]._replace(rounds=1)):
        setting = tables._setting(cell, 0) | {"rounds": 1, "target": None, "progress": False}
        if cell.net == "CNN":
            setting["C"] = 0.0
        history = fedavg(**setting, lr=0.1).history
        assert history["examples"][0] == 4 * max(round(setting["C"] * 100), 1)
        assert ("training loss" in history.columns) == (cell.net == "CNN")
    tables._mnist.cache_clear()


def np_images(n):
    import numpy as np

    rng = np.random.default_rng(n)
    return rng.random((n, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, n)
