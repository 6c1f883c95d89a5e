"""A run that was killed goes on with the same bits; a state on the disk that is not whole is never taken for one."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from federated.fleet import assert_same_bits, examples, fleet, network

from minidl import losses, optim
from minidl.federated import Faulty, average, by_key, client_update, clients_of, fedavg, secure_average

SETTINGS = dict(C=0.5, E=2, B=4, lr=0.1, seed=0, progress=False)


def momentum(parameters):
    return optim.SGD(parameters, 1.0, momentum=0.9)


def run(rounds, folder=None, **changes):
    return fedavg(network(noise=0.2), fleet([3, 8, 5, 6]), rounds=rounds, checkpoint=folder, **(SETTINGS | changes))


def newest(folder):
    return sorted(folder.glob("round-*.json"))[-1]


@pytest.mark.filterwarnings("ignore:fedavg. nobody")
@pytest.mark.parametrize("changes", [{}, {"server": momentum}, {"update": Faulty(never=0.3, nan=0.3), "seed": 4}])
def test_in_two_parts_it_is_the_run_in_one(tmp_path, changes):
    run(2, tmp_path, **changes)
    run(3, tmp_path, **changes)
    assert_same_bits(run(5, tmp_path, **changes), run(5, **changes))


def test_more_rounds_and_another_target_go_on_and_nothing_is_done_twice(tmp_path):
    run(3, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    run(3, tmp_path)
    assert before == {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


@pytest.mark.filterwarnings("ignore:fedavg. nobody")
def test_what_a_client_does_is_a_setting_that_another_process_recognises(tmp_path):
    run(1, tmp_path, update=Faulty(never=0.5))
    record = newest(tmp_path).read_text()
    assert " at 0x" not in record and '"never": 0.5' in record
    with pytest.raises(ValueError, match="update was .*'never': 0.5.*, now it is .*'never': 0.6"):
        run(2, tmp_path, update=Faulty(never=0.6))


ANOTHER_PROCESS = """
import sys
sys.path[:0] = sys.argv[3:]
from federated.test_resume import HOW, run
run(int(sys.argv[2]), __import__("pathlib").Path(sys.argv[1]), **HOW)
"""


def noted(model, client, k, order, note):
    return client_update(model, client, k, order)


class Noted:
    def __call__(self, model, client, k, order):
        return client_update(model, client, k, order)


HOW = {
    "combine": partial(secure_average, bits=24),
    "update": Faulty(late=0.5, delay=float("inf"), seed=1, update=partial(noted, note=[Noted(), client_update])),
    "loss": partial(losses.cross_entropy, ignore=-1),
    "deadline": 9.0,
}


@pytest.mark.filterwarnings("ignore:fedavg. nobody")
@pytest.mark.parametrize("how", [HOW, {"update": Noted()}], ids=["partials", "an object"])
def test_partials_and_objects_that_can_be_called_go_on_in_another_process(tmp_path, how):
    run(1, tmp_path, **how)
    assert " at 0x" not in newest(tmp_path).read_text()
    if how is HOW:
        tests = Path(__file__).parents[1]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])}
        command = [sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path), "2", str(tests)]
        subprocess.run(command, env=environment, check=True)
        assert newest(tmp_path).stem == "round-000002"
    keep = Noted()  # so that another one has another address
    again = how if how is HOW else {"update": Noted()}
    assert again["update"] is not keep
    assert_same_bits(run(3, tmp_path, **again), run(3, **how))


def test_a_partial_with_other_arguments_is_another_setting(tmp_path):
    run(1, tmp_path, combine=partial(secure_average, bits=24))
    for combine in (partial(secure_average, bits=25), secure_average, partial(average)):
        with pytest.raises(ValueError, match="combine was .*secure_average.*'bits': 24.*, now it is"):
            run(2, tmp_path, combine=combine)


@pytest.mark.filterwarnings("ignore:fedavg. nobody")
@pytest.mark.parametrize("ids", [np.arange(4), np.array(list("abcd")), [("play", k) for k in range(4)]])
def test_clients_named_by_keys_of_any_kind_are_the_same_after_a_break(tmp_path, ids):
    x, y = examples(16)
    clients = clients_of(x, y, by_key([key for key in ids for _ in range(4)]))

    def part(rounds, folder=None):
        return fedavg(
            network(), clients, rounds=rounds, checkpoint=folder, update=Faulty(never=0.4, seed=1), **SETTINGS
        )

    assert part(2, tmp_path).history.dropped
    assert_same_bits(part(4, tmp_path), part(4))


def test_only_the_two_newest_rounds_are_kept(tmp_path):
    run(4, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "round-000003.json", "round-000003.npz", "round-000004.json", "round-000004.npz",
    ]  # fmt: skip


@pytest.mark.parametrize("which", ["npz", "json", "npz gone", "json cut", "lr", "where", "null", "old and null"])
def test_a_damaged_state_is_said_and_the_one_before_it_taken(tmp_path, which):
    expected = run(4)
    run(3, tmp_path)
    path = newest(tmp_path)
    if which == "npz":
        arrays = path.with_suffix(".npz")
        data = bytearray(arrays.read_bytes())
        data[len(data) // 2] ^= 1
        arrays.write_bytes(data)
    elif which == "npz gone":
        path.with_suffix(".npz").unlink()
    elif which == "json cut":
        path.write_bytes(path.read_bytes()[:100])
    elif which == "lr":
        path.write_text(path.read_text().replace('"lr": 0.1', '"lr": 0.9'))
    elif which == "where":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"where": None}))
    elif which == "null":
        path.write_text("null")
    elif which == "old and null":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"where": None, "record": None}))
    else:
        path.write_text(json.dumps({"settings": {}}))
    with pytest.warns(UserWarning, match=r"round-000003.json is damaged .*the round before it is taken"):
        assert_same_bits(run(4, tmp_path), expected)


def test_if_no_state_is_whole_the_run_begins_anew_and_what_it_writes_stays(tmp_path):
    run(6, tmp_path)
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:50])
    kept = []

    def look(model):
        kept.append(sorted(path.stem for path in tmp_path.glob("*.json")))
        return 0.0

    with pytest.warns(UserWarning, match="6.json is damaged .*5.json is damaged .*no other is there, .* begins anew"):
        again = run(4, tmp_path, watch={"nothing": look})
    assert_same_bits(again, run(4, watch={"nothing": lambda model: 0.0}))
    assert kept[1:] == [["round-000001"], ["round-000001", "round-000002"], ["round-000002", "round-000003"]]
    assert sorted(path.stem for path in tmp_path.glob("*.npz")) == ["round-000003", "round-000004"]


def test_two_damaged_states_are_named_and_the_one_before_both_is_taken(tmp_path):
    run(2, tmp_path)
    older = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    run(4, tmp_path)
    for path in tmp_path.glob("*.json"):
        path.write_text("{}")
    for name, data in older.items():
        (tmp_path / name).write_bytes(data)
    with pytest.warns(UserWarning, match="4.json is damaged .*3.json is damaged .*before it is taken, round-000002"):
        assert_same_bits(run(5, tmp_path), run(5))


def test_fewer_rounds_than_are_done_are_all_that_is_done_if_e_is_known_in_each(tmp_path):
    whole = run(4, tmp_path, E=[2, 2, 1, 1].__getitem__)
    assert_same_bits(run(2, tmp_path, E=[2, 2, 1, 1].__getitem__), whole)
    with pytest.raises(
        ValueError, match="4 rounds are done .* E must be what it was .* in round 2 it fails: IndexError"
    ):
        run(2, tmp_path, E=[2, 2].__getitem__)


def test_a_changed_setting_is_refused_by_name(tmp_path):
    run(2, tmp_path)
    for change, name in (({"lr": 0.2}, "lr was 0.1, now it is 0.2"), ({"B": 3}, "B was 4"), ({"seed": 1}, "seed was")):
        with pytest.raises(ValueError, match=name):
            run(3, tmp_path, **change)
    with pytest.raises(ValueError, match="data was"):
        fedavg(network(noise=0.2), fleet([3, 8, 5, 6], seed=1), rounds=3, checkpoint=tmp_path, **SETTINGS)
    with pytest.raises(ValueError, match="start was"):
        fedavg(network(1, noise=0.2), fleet([3, 8, 5, 6]), rounds=3, checkpoint=tmp_path, **SETTINGS)


def test_another_number_of_threads_or_version_is_a_warning(tmp_path):
    run(2, tmp_path)
    record = json.loads(newest(tmp_path).read_text())
    record["where"] |= {"numpy": "1.0", "threads": 77}
    del record["record"]  # as it was written before there was a hash of it
    newest(tmp_path).write_text(json.dumps(record))
    with pytest.warns(UserWarning, match="numpy 1.0, now .*threads 77, now"):
        run(3, tmp_path)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OSError, match="checkpoint .*file.* must be a folder that can be written"):
        run(1, file)
    with pytest.raises(FileNotFoundError, match="must be a folder"):
        run(1, tmp_path / "no" / "such")


SCRIPT = """
import sys
sys.path[:0] = sys.argv[2:]
from federated.test_resume import run
run(400, __import__("pathlib").Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_at_any_moment_it_resumes_to_the_same_bits(tmp_path):
    folder = tmp_path / "state"
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", SCRIPT, str(folder), str(tests)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])}
    wait, kills = np.random.default_rng(0), 0
    while kills < 4:
        with subprocess.Popen(command, env=environment) as process:
            deadline, before = time.monotonic() + 60, len(list(folder.glob("*"))) and newest(folder).name
            while process.poll() is None and time.monotonic() < deadline:  # until it has got on, then any moment
                if list(folder.glob("round-*.json")) and newest(folder).name != before:
                    break
                time.sleep(0.002)
            time.sleep(wait.uniform(0, 0.05))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            kills += 1
    assert kills
    done = int(newest(folder).stem.removeprefix("round-"))
    assert 0 < done < 400
    assert_same_bits(run(done + 2, folder), run(done + 2))
