"""Laws of the executors: where clients work changes no bit, weights travel once a worker, nothing is left behind."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import product
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest
from federated.deeds import Once, exit, hang, shouted
from federated.fleet import assert_same_bits, fleet, network
from hypothesis import given
from hypothesis import strategies as st

from minidl import losses
from minidl.federated import Faulty, fedavg
from minidl.federated.workers import Workers, dealt, worker_count

SETTINGS = dict(rounds=3, C=0.8, E=2, B=4, lr=0.1, seed=0, progress=False)
SIZES = [3, 8, 5, 1, 17, 6]  # of which C = 0.8 asks five: no multiple of two workers or of three


def run(executor=None, sizes=SIZES, model=None, **changes):
    return fedavg(model or network(noise=0.3), fleet(sizes), executor=executor, **(SETTINGS | changes))


class Here:
    """An executor in this process to which all work and from which all answers travel as bytes; it keeps the work."""

    def __init__(self, num_workers=2):
        self.num_workers, self.sent = num_workers, []

    def map(self, function, items):
        self.sent.append([pickle.dumps(item) for item in items])
        return [pickle.loads(pickle.dumps(function(pickle.loads(item)))) for item in self.sent[-1]]


class Lazily(Here):
    """Works when the answers are asked for, as the builtin map does."""

    def map(self, function, items):
        return map(function, items)


class Backwards(Here):
    def map(self, function, items):
        return [function(item) for item in items[::-1]][::-1]


def pool(start, workers=2):
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(start))


# ---- no bit depends on it -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone():
    return run()


@pytest.mark.source("fedavg:alg1")
@pytest.mark.parametrize(
    "executor",
    [
        pytest.param(lambda: pool("fork"), id="processes, fork"),
        pytest.param(lambda: pool("spawn"), id="processes, spawn"),
        pytest.param(lambda: multiprocessing.get_context("fork").Pool(3), id="multiprocessing.Pool"),
        pytest.param(lambda: ThreadPoolExecutor(3), id="threads"),
        pytest.param(lambda: ThreadPool(2), id="multiprocessing's threads"),
        pytest.param(lambda: ThreadPoolExecutor(9), id="more workers than clients"),
    ],
)
def test_where_clients_work_changes_no_bit(executor, alone):
    with executor() as there:
        assert_same_bits(run(there), alone)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=6),
    C=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    workers=st.sampled_from([1, 2, 3, 8]),
    kind=st.sampled_from([Here, Lazily, Backwards]),
    faulty=st.booleans(),
)
def test_how_clients_are_dealt_out_changes_no_bit(sizes, C, workers, kind, faulty):
    settings = dict(C=C, rounds=2) | ({"update": Faulty(crash=0.2, nan=0.2)} if faulty else {})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fedavg: nobody")
        assert_same_bits(run(kind(workers), sizes, **settings), run(None, sizes, **settings))


@pytest.mark.federated
@pytest.mark.slow
def test_on_a_dask_cluster_no_bit_changes_even_if_a_worker_dies(alone, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs Dask: pip install 'minidl[federated]'")
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path) as cluster:
        with distributed.Client(cluster) as client:
            executor = client.get_executor(pure=False)
            assert worker_count(executor) == 2
            assert_same_bits(run(executor), alone)
            with pytest.raises(TypeError, match=r"got Dask's Client, .* its executor is client.get_executor"):
                run(client)
            dying = Once(tmp_path, exit)
            assert_same_bits(run(executor, update=dying), alone)  # Dask asks another worker
            assert (tmp_path / "pid").exists()


ON_RAY = """
import sys
sys.path[:0] = sys.argv[1:]
import ray
from ray.util.multiprocessing import Pool
from federated.fleet import assert_same_bits
from federated.test_executors import run
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
with Pool(2) as pool:
    pool.num_workers = 2
    assert_same_bits(run(pool), run())
"""


@pytest.mark.federated
@pytest.mark.slow
def test_in_a_pool_of_ray_no_bit_changes():
    pytest.importorskip("ray", reason="needs Ray: pip install 'minidl[federated]'")
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", ON_RAY, str(tests.parent), str(tests)]  # Ray leaves processes open at the end
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_clients_keep_their_ids_and_work_elsewhere():
    with pool("fork") as executor:
        (reason,) = {d.reason for d in run(executor, C=1.0, rounds=1, update=shouted).history.dropped}
    assert reason.startswith("c1 in ") and int(reason.split()[-1]) != os.getpid()


# ---- what travels ---------------------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=30), hands=st.integers(1, 40), seed=st.integers(0, 99))
def test_work_is_dealt_out_evenly_and_everybody_once(sizes, hands, seed):
    chosen = np.flatnonzero(np.random.default_rng(seed).random(len(sizes)) < 0.7).tolist() or [0]
    parts = dealt(chosen, sizes, hands)
    assert sorted(k for part in parts for k in part) == chosen
    assert len(parts) == min(hands, len(chosen)) and all(parts)
    loads = [sum(sizes[k] for k in part) for part in parts]
    assert max(loads) - min(loads) <= max(sizes[k] for k in chosen)


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), hands=st.integers(1, 3))
def test_nobody_works_longer_than_four_thirds_of_the_shortest_time_there_is(sizes, hands):
    """Graham (1969), against all ways to deal out the clients."""

    def longest(owner):
        return np.bincount(owner, sizes, minlength=hands).max()

    shortest = min(longest(owner) for owner in product(range(hands), repeat=len(sizes)))
    parts = dealt(range(len(sizes)), sizes, hands)
    assert max(sum(sizes[k] for k in part) for part in parts) <= (4 / 3 - 1 / (3 * hands)) * shortest + 1e-9


def test_weights_travel_once_a_worker_and_examples_gradients_and_tapes_do_not():
    model, clients = network(), fleet([400] * 10)
    size = sum(p.data.nbytes for p in model.parameters().values())
    losses.cross_entropy(model(clients[0].x), clients[0].y).backward()
    assert model[0].W.grad is not None
    executor = Here(3)
    fedavg(model, clients, executor=executor, **(SETTINGS | dict(C=1.0, E=1)))
    for parcels in executor.sent:
        assert len(parcels) == 3
        for parcel in parcels:
            assert len(parcel) < size + 3000 < clients[0].x.nbytes
        assert len({pickle.loads(parcel).order.round for parcel in parcels}) == 1
    assert all(p.grad is None for p in pickle.loads(executor.sent[0][0]).model.parameters().values())
    assert model[0].W.grad is not None  # the model passed in is as it was


def test_workers_map_the_examples_into_their_memory(tmp_path):
    clients = fleet([5, 7])
    with Workers(network(), clients, Here(), tmp_path) as workers:
        for stored, client in zip(pickle.loads(pickle.dumps(workers.clients)), clients):
            there = stored.client()
            for name in "xy":
                a, b = getattr(there, name), getattr(client, name)
                assert type(a) is np.ndarray and isinstance(a.base, np.memmap) and a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)
            assert there.id == client.id and os.path.isabs(stored.path)


def test_it_knows_how_many_workers_there_are():
    class Dask:
        def nthreads(self):
            return {"tcp://a": 2, "tcp://b": 3}

    class OnDask:
        _client = Dask()

    with ThreadPool(3) as threads:
        assert worker_count(threads) == 3
    assert worker_count(ThreadPoolExecutor(4)) == 4
    assert worker_count(Here(7)) == 7
    assert worker_count(OnDask()) == 5
    assert worker_count(object()) == os.cpu_count()


# ---- what is left behind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_folder_of_examples_is_gone_afterwards(tmp_path, error):
    def combine(answers, *, w, round):
        assert len(list(tmp_path.glob("minidl-clients-*/*.npy"))) == 2 * len(SIZES)
        if error is not None:
            raise error("stop")
        return dict(w)

    if error is None:
        run(Here(), share=tmp_path, combine=combine)
    else:
        with pytest.raises(error, match="stop"):
            run(Here(), share=tmp_path, combine=combine)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_the_folder_is_gone_if_it_could_not_be_filled(tmp_path, monkeypatch, error):
    save, written = np.save, []

    def full(path, *arguments, **more):
        written.append(path)
        save(path, *arguments, **more)
        if len(written) == 3:
            raise error("the disk is full")

    monkeypatch.setattr(np, "save", full)
    expected = "share must be a folder with room for all examples.*the disk is full" if error is OSError else "full"
    with pytest.raises(error, match=expected):
        run(Here(), share=tmp_path)
    assert len(written) == 3 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(2)])
def test_without_other_processes_there_is_no_folder(tmp_path, monkeypatch, executor):
    monkeypatch.setattr(np, "save", lambda *_, **__: pytest.fail("examples were written"))
    run(executor, share=tmp_path)


# ---- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_broken_pool_stops_the_run_which_goes_on_elsewhere_with_the_same_bits(tmp_path, alone):
    """A worker that hangs is ended from outside; the round in which it happens is done again."""
    state = tmp_path / "state"
    update = Once(tmp_path, hang)

    def kill():
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    watcher = threading.Thread(target=kill)
    watcher.start()
    with pool("fork") as executor:
        with pytest.raises(RuntimeError, match=r"executor takes no work any more \(BrokenProcessPool.*with round 1$"):
            run(executor, checkpoint=state, share=tmp_path, update=update)
    watcher.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pid", "state"]
    assert [path.name for path in state.glob("*.json")] == ["round-000001.json"]
    assert_same_bits(run(ThreadPoolExecutor(2), checkpoint=state, update=update), alone)


class Losing(Here):
    """Loses the second parcel of a round, and with it those that come after."""

    def map(self, function, items):
        for k, item in enumerate(items):
            if k == 1:
                raise ConnectionError("node b went down")
            yield function(item)


def test_clients_of_a_worker_that_is_gone_are_named_and_the_round_goes_on():
    executor = Losing(3)
    result = run(executor, C=1.0, rounds=1)
    parts = dealt(range(len(SIZES)), SIZES, 3)
    lost = sorted(parts[1] + parts[2])
    assert [d.client for d in result.history.dropped] == [f"c{k}" for k in lost]
    assert {d.reason for d in result.history.dropped} == {"its worker is gone: ConnectionError: node b went down"}
    assert result.history["returned"][0] == len(SIZES) - len(lost) == len(parts[0])


def test_when_the_executor_ends_those_whose_answers_were_not_back_are_named():
    class Breaking(Here):
        def map(self, function, items):
            yield function(items[0])
            raise BrokenProcessPool("a child process ended")

    first, *others = dealt(range(9), [1] * 9, 3)
    first_few = ", ".join(f"'c{k}'" for k in sorted(others[0] + others[1])[:5])
    with pytest.raises(RuntimeError, match=f"a worker ended, .* not back: {first_few} and 1 more; start"):
        run(Breaking(3), sizes=[1] * 9, C=1.0)
    assert not any(f"'c{k}'" in first_few for k in first)


def test_an_executor_that_ended_before_is_no_clients_fault(tmp_path):
    with pool("fork") as executor:
        for reason in ("a worker ended, at one of .* not back: .*'c1'", r"not usable anymore\); start another one"):
            with pytest.raises(RuntimeError, match=reason):
                run(executor, update=Once(tmp_path, exit, round=0))


def test_work_that_cannot_be_sent_is_said_at_once(tmp_path):
    update = lambda model, client, k, order: None  # noqa: E731
    with pool("fork") as executor:
        with pytest.raises(RuntimeError, match="work does not get to the workers of executor .*able to import"):
            run(executor, update=update)

    class Elsewhere(Here):
        def map(self, function, items):
            for path in Path(tmp_path).glob("*/*.npy"):
                path.unlink()
            return super().map(function, items)

    with pytest.raises(RuntimeError, match=r"FileNotFoundError.*\.npy.*see the folder share"):
        run(Elsewhere(), share=tmp_path)


def test_an_executor_that_was_shut_down_is_refused():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="executor takes no work any more .RuntimeError: cannot schedule"):
        run(executor)


def test_what_is_no_executor_is_refused():
    class DasksClient(Here):
        def get_executor(self):
            return self

    with pytest.raises(TypeError, match="executor must have a method map or be None, got int"):
        run(2)
    with pytest.raises(TypeError, match="got Dask's Client"):
        run(DasksClient())
    with pytest.raises(FileNotFoundError, match="share must be a folder with room for all examples"):
        run(Here(), share="/no/such/folder")
