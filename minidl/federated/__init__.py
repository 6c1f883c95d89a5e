"""Federated learning: models trained on examples that stay where they are."""

from .aggregate import average, clients_a_round, select
from .averaging import FederatedResult, fedavg
from .baselines import along_the_line, fedsgd, one_shot, sequential_sgd
from .client import Answer, Client, Order, client_update, updates_per_round
from .faults import Faulty
from .history import Dropped, History
from .partition import by_key, clients_of, dirichlet, iid, log_normal, plot_partition, power_law, shards, sized
from .privacy import NoisyMean, secure_average
from .study import BestRate, Seconds, at_best_rate, measure_seconds, speedup_table
from .targets import Tuned, best_so_far, grid, rounds_to, tune

__all__ = [
    "Answer",
    "BestRate",
    "Client",
    "Dropped",
    "Faulty",
    "FederatedResult",
    "History",
    "NoisyMean",
    "Order",
    "Seconds",
    "Tuned",
    "along_the_line",
    "at_best_rate",
    "average",
    "best_so_far",
    "by_key",
    "client_update",
    "clients_a_round",
    "clients_of",
    "dirichlet",
    "fedavg",
    "fedsgd",
    "grid",
    "iid",
    "log_normal",
    "measure_seconds",
    "one_shot",
    "plot_partition",
    "power_law",
    "rounds_to",
    "secure_average",
    "select",
    "sequential_sgd",
    "shards",
    "sized",
    "speedup_table",
    "tune",
    "updates_per_round",
]
