"""A minidl model as a Flower app: Flower moves the messages and keeps the connections, minidl trains.

Needs `flwr`, which comes with `pip install 'minidl[federated]'`. In a file that Flower is told of:

    server = server_app(model, "trained.npz", rounds=50, C=0.1, K=100, E=1, B=10, lr=0.1, seed=0)
    client = client_app(model, clients)

Unlike `fedavg`, Flower draws the clients of a round itself, from no seed, and sums their models as they arrive, in the
models' own precision: with all clients in each round the result is that of `fedavg` up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from math import nan
from typing import TYPE_CHECKING, Any

from .. import blas, losses, threads
from ..nn import save
from ..nn.module import Module
from ..train import evaluate
from . import door
from .aggregate import clients_a_round
from .averaging import Pair
from .client import Client, Loss, Order, client_update
from .workers import Update

if TYPE_CHECKING:
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp

__all__ = ["client_app", "server_app"]


def client_app(
    model: Module,
    clients: Sequence[Client] | Callable[[int], Client],
    *,
    loss: Loss = losses.cross_entropy,
    update: Update = client_update,
) -> ClientApp:
    """What a node does when it is asked to train: `update` on its own examples, from the server's weights.

    model: of the same shapes as the server's. clients: the list, or a function from k to client k, which then is all
    that a node needs to read; k is the node's `partition-id`, which Flower's simulation numbers from 0 and a real node
    is given by `--node-config`. E, B, the learning rate and the seed come from the server with each round.
    Source: fedavg:alg1
    """
    from flwr.app import Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        k, asked = int(context.node_config["partition-id"]), message.content["config"]
        t = asked["server-round"] - 1  # Flower counts from 1
        order = Order(t, asked["E"], asked.get("B"), asked["lr"] * asked["decay"] ** t, asked["seed"], loss)
        own = deepcopy(model)
        own.load_state_dict(_arrays(message.content["arrays"]))
        with blas.one_thread(), threads.alone():
            answer = update(own, clients(k) if callable(clients) else clients[k], k, order)
        if answer.weights is None:
            raise RuntimeError(f"client {k}: {answer.error}")  # Flower reports it, and goes on without this client
        mean = nan if answer.loss is None else answer.loss
        numbers = MetricRecord({"num-examples": answer.n, "steps": answer.steps, "loss": mean})
        return Message(RecordDict({"arrays": _record(answer.weights), "metrics": numbers}), reply_to=message)

    return app


def server_app(
    model: Module,
    path: str | os.PathLike,
    *,
    rounds: int,
    C: float,
    K: int,
    E: int,
    B: int | None,
    lr: float,
    seed: int,
    decay: float = 1.0,
    test: Pair | None = None,
    loss: Loss = losses.cross_entropy,
) -> ServerApp:
    """Flower's strategy of federated averaging with the text's settings; the trained model is saved to `path`.

    K: the number of clients, for which the server waits before it begins. The others, and test, are those of `fedavg`;
    seed: of the clients' batches and noise. E and B are numbers here, not functions of the round.
    Flower rounds C K down and does not train at all for C = 0, where the text means one client. Here max(round(C K), 1)
    is handed to it as the smallest number of clients that it may ask.
    Raises ValueError or TypeError for bad arguments.
    Source: fedavg:alg1
    """
    door.check_settings(model, rounds, C, lr, seed, decay)
    door.check_work(E, B)
    if not isinstance(K, int) or K < 1:
        raise ValueError(f"server_app: K must be an int >= 1, the number of clients, got {K!r}")
    from flwr.app import ConfigRecord, Context, MetricRecord
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg

    m = clients_a_round(C, K)
    settings = {"E": int(E), "lr": float(lr), "decay": float(decay), "seed": int(seed)}
    settings |= {} if B is None else {"B": int(B)}
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        own = deepcopy(model)

        def measured(round: int, arrays: Any) -> MetricRecord:
            own.load_state_dict(_arrays(arrays))
            value, accuracy = evaluate(own, loss, *test)
            return MetricRecord({"loss": value} | ({} if accuracy is None else {"accuracy": accuracy}))

        strategy = FedAvg(C or 1e-9, 0.0, min_train_nodes=m, min_available_nodes=K)
        result = strategy.start(
            grid, _record(model.state_dict()), rounds, train_config=ConfigRecord(settings),
            evaluate_fn=None if test is None else measured,
        )  # fmt: skip
        if result.arrays:  # none if nobody ever answered
            own.load_state_dict(_arrays(result.arrays))
        save(path, own)

    return app


def _record(weights: Any) -> Any:
    """{path: array} as Flower sends it."""
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({path: Array(a) for path, a in weights.items()})


def _arrays(record: Any) -> dict[str, Any]:
    """{path: array} of what Flower brought."""
    return {path: a.numpy() for path, a in record.items()}
