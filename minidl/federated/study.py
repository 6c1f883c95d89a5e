"""Tables of rounds to a target: each setting at the learning rate that suits it best, and what that will cost."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from math import ceil, inf, isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from .. import blas, losses
from ..nn.module import Module
from ..train import check_numbers, evaluate
from .aggregate import clients_a_round
from .averaging import Pair, fedavg
from .client import Client, Order, client_update
from .history import History
from .targets import rounds_to, tune

__all__ = ["BestRate", "Seconds", "at_best_rate", "measure_seconds", "speedup_table"]

NOT_REACHED, NOT_RUN = "not reached", "not run"


class BestRate(NamedTuple):
    """The best learning rate, its rounds to the target (inf: none reached it), all tried {lr: rounds}, its history.

    In `tried` a rate that was stopped because another had already reached the target has inf.
    """

    lr: float
    rounds: float
    tried: dict[float, float]
    history: History


def at_best_rate(
    model: Module, clients: Sequence[Client], *, target: float, rates: Sequence[float], rounds: int, test: Pair,
    folder: str | os.PathLike | None = None, known: Mapping[float, History] | None = None,
    ended: Callable[[float, History], None] | None = None, parts: int = 3, furthest: int = 6, **settings: Any,
) -> BestRate:  # fmt: skip
    """Rounds of `fedavg` to a target accuracy on test, at the learning rate of a grid that takes the fewest.

    rates, parts, furthest: the grid and how it grows, as for `tune`. rounds: at most so many a rate. settings: what
    else `fedavg` takes. folder: where each rate keeps its checkpoint, so that a study goes on where it was.
    known: histories of rates that an earlier study of the same settings has run; they are not run again. ended(lr,
    history): called when a rate is done.
    Rates are tried from the middle of the grid outwards, and none goes on for longer than the best so far has taken:
    it could not become the best. As in the text, the rate is chosen on the test set.
    Raises what `fedavg` and `tune` raise.
    Source: fedavg:rounds-to-target
    """
    check_numbers("at_best_rate", rounds=(rounds, 1))
    histories: dict[float, History] = {}
    earlier = {rate_name(lr): history for lr, history in (known or {}).items()}
    enough = rounds

    def run(lr: float) -> Any:
        nonlocal enough
        checkpoint = None
        if folder is not None:
            checkpoint = Path(folder) / f"lr-{rate_name(lr)}"
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if (history := earlier.get(rate_name(lr))) is None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "fedavg: nobody's answer counts")  # a rate that is far too large
                history = fedavg(
                    model, clients, lr=lr, rounds=enough, target=target, test=test, checkpoint=checkpoint, **settings
                ).history
            if ended is not None:
                ended(lr, history)
        histories[lr] = history
        curve = history["accuracy"]
        if isfinite(needed := rounds_to(curve, target)):
            enough = min(enough, ceil(needed))
        return curve

    tuned = tune(run, target, rates, parts, furthest)
    return BestRate(*tuned, histories[tuned.lr])


def rate_name(lr: float) -> str:
    """A learning rate in four digits: one of a grid that was made anew differs in its last bits."""
    return f"{lr:.4g}"


class Seconds(NamedTuple):
    """How long a client's pass over its examples takes, and a look at the test set; K: how many clients there are."""

    one_pass: float
    look: float
    K: int

    def a_round(self, C: float, E: int) -> float:
        """Of a round with C and E, if clients work one after another and have as many examples as the measured one."""
        return clients_a_round(C, self.K) * E * self.one_pass + self.look


def measure_seconds(
    model: Module, clients: Sequence[Client], *, B: int | None, test: Pair | None = None,
    loss: Callable[[Any, Any], Any] = losses.cross_entropy,
) -> Seconds:  # fmt: skip
    """One pass of the first client in batches of B and one look at test, timed on this machine.

    Before a table that takes hours: seconds of a round times the rounds that it may need.
    """
    own, start = deepcopy(model), perf_counter()
    with blas.one_thread():
        client_update(own, clients[0], 0, Order(0, 1, B, 1e-3, 0, loss))
        between = perf_counter()
        if test is not None:
            evaluate(own, loss, *test)
    return Seconds(between - start, perf_counter() - between, len(clients))


def speedup_table(
    ours: Mapping[tuple[str, str], float],
    rows: Sequence[str],
    columns: Sequence[str],
    paper: Mapping[tuple[str, str], float] | None = None,
) -> dict[str, list]:
    """Rounds to a target and how many times fewer they are than in the first row: {"columns": ..., "rows": ...}.

    ours, paper: {(row, column): rounds}, inf where the target was not reached; our cells that are missing were not run.
    The result is what `report.record` takes.
    Source: fedavg:table1, fedavg:table2, fedavg:table4
    """
    found = []
    for row in rows:
        sides: dict[str, dict[str, Any]] = {}
        for side, cells in (("paper", paper or {}), ("ours", ours)):
            sides[side] = values = {}
            for column in columns:
                if (row, column) in cells:
                    needed, first = cells[row, column], cells.get((rows[0], column), inf)
                    values[column] = needed if isfinite(needed) else NOT_REACHED
                    if isfinite(first) and isfinite(needed):
                        values[_times(column)] = first / needed
                elif side == "ours":
                    values[column] = NOT_RUN
        found.append({"label": row} | sides)
    return {"columns": [name for column in columns for name in (column, _times(column))], "rows": found}


def _times(column: str) -> str:
    return f"{column}, times fewer"
