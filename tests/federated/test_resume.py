"""A run that was killed goes on with the same bits; a state on the disk that is not whole is never taken for one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from federated.fleet import assert_same_bits, fleet, network

from minidl import optim
from minidl.federated import Faulty, fedavg

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


def test_only_the_two_newest_rounds_are_kept(tmp_path):
    run(4, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "round-000003.json", "round-000003.npz", "round-000004.json", "round-000004.npz",
    ]  # fmt: skip


@pytest.mark.parametrize("which", ["npz", "json", "npz gone", "json cut"])
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
    else:
        path.write_text(json.dumps({"settings": {}}))
    with pytest.warns(UserWarning, match=r"round-000003.json is damaged .*the round before it is taken"):
        assert_same_bits(run(4, tmp_path), expected)


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
