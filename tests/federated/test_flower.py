"""The Flower app: nodes answer as clients do, and with all of them in each round it is `fedavg` up to rounding."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from federated.fleet import examples, fleet, network

from minidl.federated import Faulty, average, client_update, fedavg
from minidl.federated.client import Order
from minidl.federated.flower import client_app, server_app

PAGE = Path(__file__).parents[2] / "docs" / "federated.md"
SIZES = [3, 8, 5, 1, 17]
SETTINGS = dict(rounds=1, C=1.0, E=2, B=4, lr=0.1, seed=3, decay=0.9)


@pytest.fixture(scope="module")
def flwr():
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    pytest.importorskip("flwr", reason="needs Flower: pip install 'minidl[federated]'")
    import flwr.app
    from flwr.supercore.task_identity import TaskIdentity

    # what Flower tells a process that it starts for an app
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    return flwr


class Nodes:
    """Flower's grid without its processes: messages go to the nodes' app here. Nodes have ids of their own."""

    def __init__(self, flwr, app, count):
        self.flwr, self.app, self.asked, self.errors = flwr, app, [], []
        self.partitions = {1000 + 7 * k: k for k in range(count)}

    def get_node_ids(self):
        return list(self.partitions)

    def send_and_receive(self, messages, timeout=None):
        messages = list(messages)
        if messages:
            self.asked.append([self.partitions[m.metadata.dst_node_id] for m in messages])
        return [self.answer(m) for m in messages]

    def answer(self, message):
        k, app = self.partitions[message.metadata.dst_node_id], self.flwr.app
        context = app.Context(0, message.metadata.dst_node_id, {"partition-id": k}, app.RecordDict(), {})
        try:
            return self.app(message, context)
        except Exception as error:
            self.errors.append(str(error))
            return app.Message(app.Error(0, str(error)), reply_to=message)


def under_flower(flwr, path, clients, model=None, update=client_update, **changes):
    """The trained weights, who was asked in each round, and what went wrong at the nodes."""
    model = model or network(noise=0.3)
    nodes = Nodes(flwr, client_app(model, clients, update=update), len(clients))
    server = server_app(model, path, K=len(clients), **(SETTINGS | changes))
    server(nodes, SimpleNamespace())
    return dict(np.load(path)), nodes.asked, nodes.errors


def assert_equal_up_to_rounding(theirs, model, clients, settings):
    """One round of everybody: shares, products and sums are rounded to the weights' type there, K + 1 times in all."""
    seen = []

    def combine(answers, **_):
        seen.extend(w for w, _ in answers)
        return average(answers)

    ours = fedavg(model, clients, combine=combine, progress=False, **settings).weights
    assert theirs.keys() == ours.keys() and len(seen) == len(clients)
    for path, a in ours.items():
        bound = (len(clients) + 2) * np.finfo(a.dtype).eps * np.max([abs(w[path]) for w in seen], 0)
        assert theirs[path].dtype == a.dtype
        assert (abs(theirs[path] - a) <= bound).all()
        assert (abs(a - model.state_dict()[path]) > bound).any()  # it has learned more than that


@pytest.mark.federated
@pytest.mark.source("fedavg:alg1")
def test_one_round_of_everybody_is_fedavg_up_to_rounding(flwr, tmp_path):
    theirs, asked, _ = under_flower(flwr, tmp_path / "w.npz", fleet(SIZES))
    assert sorted(asked[0]) == [0, 1, 2, 3, 4]
    assert_equal_up_to_rounding(theirs, network(noise=0.3), fleet(SIZES), SETTINGS)


@pytest.mark.federated
@pytest.mark.source("fedavg:alg1", "fedavg:lr-decay")
@pytest.mark.parametrize("B", [4, None])
def test_a_single_client_under_flower_is_the_same_to_the_bit(flwr, tmp_path, B):
    theirs, _, _ = under_flower(flwr, tmp_path / "w.npz", fleet([9]), rounds=3, B=B, test=examples(20))
    ours = fedavg(network(noise=0.3), fleet([9]), progress=False, **(SETTINGS | dict(rounds=3, B=B)))
    for path, a in ours.weights.items():
        np.testing.assert_array_equal(theirs[path], a)


@pytest.mark.federated
@pytest.mark.source("fedavg:alg1")
def test_as_many_are_asked_as_in_the_text(flwr, tmp_path):
    nobody_learns = lambda model, client, k, order: client_update(model, client, k, Order(0, 1, None, 1e-9, 0))  # noqa
    for C, m in ((0.0, 1), (0.29, 29), (0.1, 10)):
        _, asked, _ = under_flower(flwr, tmp_path / "w.npz", fleet([1] * 100), update=nobody_learns, C=C)
        assert [len(set(round)) for round in asked] == [m]


@pytest.mark.federated
@pytest.mark.source("fedavg:client-availability")
def test_flower_goes_on_without_those_who_fail(flwr, tmp_path):
    faulty = Faulty(never=0.3, crash=0.3)
    well = [k for k in range(5) if faulty.fault(0, k) is None]
    assert 0 < len(well) < 5
    theirs, _, errors = under_flower(flwr, tmp_path / "w.npz", fleet(SIZES), update=faulty)
    said = {"never": "client {}: no answer", "crash": "the client's machine went down"}
    assert sorted(errors) == sorted(said[faulty.fault(0, k)].format(k) for k in range(5) if k not in well)
    ours = fedavg(network(noise=0.3), fleet(SIZES), update=faulty, progress=False, **SETTINGS)
    assert ours.history["returned"][0] == len(well)
    for path, a in ours.weights.items():
        np.testing.assert_allclose(theirs[path], a, atol=7 * np.finfo(np.float32).eps * max(1, abs(a).max()))
    theirs, _, _ = under_flower(flwr, tmp_path / "w.npz", fleet(SIZES), update=Faulty(never=1.0))
    for path, a in network(noise=0.3).state_dict().items():
        np.testing.assert_array_equal(theirs[path], a)


@pytest.mark.federated
def test_a_node_reads_its_own_client_only(flwr, tmp_path):
    clients, read = fleet(SIZES), []

    class Own:
        def __len__(self):
            return len(SIZES)

        def __call__(self, k):
            read.append(k)
            return clients[k]

    theirs, asked, _ = under_flower(flwr, tmp_path / "w.npz", Own())
    assert read == asked[0]


def block(name):
    """The block of the page that begins with this comment."""
    return next(b for b in re.findall(r"```\w+\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if b.startswith(name))


@pytest.mark.federated
@pytest.mark.slow
def test_the_app_of_the_page_runs_in_flowers_simulation(flwr, tmp_path):
    pytest.importorskip("ray", reason="needs Flower's simulation: pip install 'minidl[federated]'")
    app = block("# app.py").replace("rounds=2", "rounds=1")
    for name, text in (("app.py", app), ("simulate.py", block("# simulate.py"))):
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "FLWR_TELEMETRY_ENABLED": "0"}
    environment["PYTHONPATH"] = str(PAGE.parents[1]) + os.pathsep + str(tmp_path)
    done = subprocess.run(
        [sys.executable, "simulate.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    scope: dict = {}
    exec(app, scope)
    clients = [scope["client_of"](k) for k in range(scope["K"])]
    settings = dict(rounds=1, C=1.0, E=1, B=10, lr=0.1, seed=0)
    assert_equal_up_to_rounding(dict(np.load(tmp_path / "trained.npz")), scope["model"], clients, settings)


def test_settings_that_are_none_are_refused_without_flower(tmp_path):
    for change, sentence in (
        ({"C": 1.5}, "C must lie in"),
        ({"E": 0}, "E must be an int >= 1"),
        ({"K": 0}, "server_app: K must be an int >= 1, the number of clients, got 0"),
        ({"K": 2.5}, "server_app: K must be"),
    ):
        with pytest.raises(ValueError, match=sentence):
            server_app(network(), tmp_path / "w.npz", **(SETTINGS | {"K": 2} | change))
    with pytest.raises(TypeError, match="model must be a Module with parameters, got str"):
        server_app("model", tmp_path / "w.npz", **SETTINGS, K=2)
