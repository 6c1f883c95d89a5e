"""Rounds of `fedavg` against Flower's simulation, on the same client code: `python -m benchmarks.flower [--smoke]`.

Not among the others, for Flower starts processes of its own and takes half a minute to do so. A round of Flower is the
time between two calls of its server's evaluation, from its second round on, when its workers are there. Both sides have
as many workers as the machine has processors.
"""

from __future__ import annotations

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before NumPy is imported, here and in Flower's workers
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import argparse  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from concurrent.futures import ProcessPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from minidl.federated import Client, fedavg  # noqa: E402
from minidl.federated.models import mnist_2nn  # noqa: E402

from . import peers  # noqa: E402
from .timing import load, shown, verdict  # noqa: E402

BAR = 0.5
RATE = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flower", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one pair: only shows that it runs")
    parser.add_argument("--pairs", type=int, default=5, help="paired simulations (default 5)")
    arguments = parser.parse_args()
    smoke, pairs = arguments.smoke, 1 if arguments.smoke else arguments.pairs
    count, n, rounds = (2, 20, 2) if smoke else (10, 600, 8)
    rng = np.random.default_rng(0)
    clients = [Client(k, rng.random((n, 784), dtype=np.float32), rng.integers(0, 10, n)) for k in range(count)]
    print(load())
    ours, theirs = [], []
    for _ in range(pairs):
        ours.append(np.median(own_rounds(clients, rounds)))
        if peers.find("flwr") is not None:
            theirs.append(np.median(rounds_of_flower(clients, rounds)))
    name = f"FedAvg round, {count} clients of {n}"
    if not theirs:
        print(f"{name}   minidl {shown(np.median(ours))}   peer not installed")
        return 0
    low, high = np.quantile(np.divide(ours, theirs), [0.25, 0.75])
    print(
        f"{name}   minidl {shown(np.median(ours))}   Flower's simulation {shown(np.median(theirs))}   "
        f"ratio {np.median(ours) / np.median(theirs):.2f} (quartiles {low:.2f}..{high:.2f}, {pairs} pairs)   "
        f"bar {BAR:.2f}: {verdict(low, high, BAR)}\n{load()}"
    )
    return 0


def own_rounds(clients: list[Client], rounds: int) -> np.ndarray:
    """Seconds of each of our rounds but the first, (rounds - 1,)."""
    settings = dict(C=1.0, E=1, B=10, lr=RATE, seed=0, progress=False)
    with ProcessPoolExecutor() as executor:
        return fedavg(mnist_2nn(), clients, rounds=rounds, executor=executor, **settings).history["seconds"][1:]


def rounds_of_flower(clients: list[Client], rounds: int) -> np.ndarray:
    """Seconds of each of Flower's rounds but the first, (rounds - 1,), with a processor for each of its workers."""
    from flwr.app import ConfigRecord, MetricRecord
    from flwr.serverapp import ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    from minidl.federated.flower import _record, client_app

    model, server, K = mnist_2nn(), ServerApp(), len(clients)
    settings = {"E": 1, "B": 10, "lr": RATE, "decay": 1.0, "seed": 0}
    with tempfile.TemporaryDirectory() as folder:
        clock = Path(folder, "clock")

        def evaluated(round: int, arrays: object) -> MetricRecord:
            with open(clock, "a", encoding="ascii") as file:
                print(time.perf_counter(), file=file)
            return MetricRecord({"round": round})

        @server.main()
        def run(grid, context):
            strategy = FedAvg(1.0, 0.0, min_train_nodes=K, min_available_nodes=K)
            start = _record(model.state_dict())
            strategy.start(grid, start, rounds, train_config=ConfigRecord(settings), evaluate_fn=evaluated)

        resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
        run_simulation(server, client_app(model, clients), num_supernodes=K, backend_config=resources)
        return np.diff([float(line) for line in clock.read_text().split()])[1:]  # the first look is before round 1


if __name__ == "__main__":
    sys.exit(main())
