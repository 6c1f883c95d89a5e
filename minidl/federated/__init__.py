"""Federated learning: models trained on examples that stay where they are."""

from .aggregate import average, clients_a_round, select
from .averaging import FederatedResult, fedavg
from .client import Answer, Client, Order, client_update, updates_per_round
from .history import Dropped, History

__all__ = [
    "Answer",
    "Client",
    "Dropped",
    "FederatedResult",
    "History",
    "Order",
    "average",
    "client_update",
    "clients_a_round",
    "fedavg",
    "select",
    "updates_per_round",
]
