"""The text's tables of rounds on MNIST and its figure 8, and the runs behind them. A cell is one number of a table.

    python -m minidl.federated.tables --list                     the cells, the paper's rounds, what is on file
    python -m minidl.federated.tables '2NN-IID-*' --folder DIR   run some of them, the cheapest first

Each has a file of its own in the folder, so several processes and machines can share the work. A killed run goes on
where it was. What is on file is not run again.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from math import inf, isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import losses
from ..data import registry
from ..report.run import versions
from ..report.store import write_json
from ..train import evaluate
from .averaging import fedavg
from .client import Client
from .history import History
from .models import mnist_2nn, mnist_cnn
from .partition import clients_of, iid, shards
from .study import at_best_rate, measure_seconds, rate_name
from .targets import best_so_far, grid, rounds_to

__all__ = ["FIGURE8", "PRINTED", "TARGETS", "Cell", "Curve", "Measured", "cells_of", "hours", "read", "run"]

SPLITS = "IID", "non-IID"
TARGETS = {"2NN": 0.97, "CNN": 0.99}


class Cell(NamedTuple):
    """A setting of the tables: the network, 2NN or CNN; the partition, IID or non-IID; C, E and B of algorithm 1."""

    net: str
    split: str
    C: float
    E: int
    B: int | None

    @property
    def name(self) -> str:
        """The cell in one word, which is also its file's name."""
        return f"{self.net}-{self.split}-C{self.C:g}-E{self.E}-B{self.B or 'inf'}"


# {C: rounds for IID B = inf, IID B = 10, non-IID B = inf, non-IID B = 10}; inf: a dash, the target was not reached
TABLE1 = {
    ("2NN", 1): {0.0: (1455, 316, 4278, 3275), 0.1: (1474, 87, 1796, 664), 0.2: (1658, 77, 1528, 619),
                 0.5: (inf, 75, inf, 443), 1.0: (inf, 70, inf, 380)},
    ("CNN", 5): {0.0: (387, 50, 1181, 956), 0.1: (339, 18, 1100, 206), 0.2: (337, 18, 978, 200),
                 0.5: (164, 18, 1067, 261), 1.0: (246, 16, inf, 97)},
}  # fmt: skip
# {(E, B): rounds for IID, non-IID}, C = 0.1
TABLE2 = {
    (1, None): (626, 483), (5, None): (179, 1000), (1, 50): (65, 600), (20, None): (234, 672), (1, 10): (34, 350),
    (5, 50): (29, 334), (20, 50): (32, 426), (5, 10): (20, 229), (20, 10): (18, 173),
}  # fmt: skip
TABLE4 = {
    (1, None): (1468, 1817), (10, None): (156, 1100), (1, 50): (144, 1183), (20, None): (92, 957), (1, 10): (92, 831),
    (10, 50): (45, 881), (20, 50): (39, 835), (10, 10): (34, 497), (20, 10): (32, 738),
}  # fmt: skip


def cells_of(table: int) -> dict[Cell, float]:
    """The cells of table 1, 2 (its CNN) or 4, with the rounds that the paper prints; inf for a dash.

    Erratum: fedavg, table 1: the scan has rows of table 2 in its place; right: the rounds of the published text.
    Erratum: fedavg, table 4, second row: printed B = 8; right: B = inf, for its u is 10.
    Source: fedavg:table1, fedavg:table2, fedavg:table4
    """
    if table == 1:
        return {
            Cell(net, split, C, E, B): rounds
            for (net, E), by_fraction in TABLE1.items()
            for C, four in by_fraction.items()
            for (split, B), rounds in zip([(s, B) for s in SPLITS for B in (None, 10)], four, strict=True)
        }
    net, by_work = {2: ("CNN", TABLE2), 4: ("2NN", TABLE4)}[table]
    return {
        Cell(net, split, 0.1, E, B): rounds
        for (E, B), pair in by_work.items()
        for split, rounds in zip(SPLITS, pair, strict=True)
    }


class Curve(NamedTuple):
    """A curve of figure 8: so many rounds of the CNN at a fixed rate, whatever the accuracy."""

    split: str
    E: int
    lr: float
    rounds: int
    net: str = "CNN"
    C: float = 0.1
    B: int | None = 10

    @property
    def name(self) -> str:
        """The curve in one word, which is also its file's name."""
        return f"figure8-{self.split}-E{self.E}"


# The picture names 0.215 for IID clients; the rate for the others, and E, cannot be read in the scan.
FIGURE8 = [
    Curve(split, E, lr, rounds)
    for split, lr in (("IID", 0.215), ("non-IID", 0.1))
    for E, rounds in ((1, 30), (5, 20), (25, 5))
]

# a cell that two tables share has two numbers: the larger one says how far to run
PRINTED: dict[Cell, float] = {}
for _cells in (cells_of(1), cells_of(2), cells_of(4)):
    PRINTED |= {cell: max(rounds, PRINTED.get(cell, 0)) for cell, rounds in _cells.items()}

# exponents k of the rates 10^(k/3) to begin with, by partition and B
MIDDLES = {"IID": {None: -1, 50: -2, 10: -2}, "non-IID": {None: -2, 50: -3, 10: -4}}


class Measured(NamedTuple):
    """What is on file of a cell: BestRate's values, with how many seconds all its rates took, and with what versions.

    tuned: whether a smaller and a larger rate than the best have been tried. seed: of all its random numbers.
    """

    lr: float
    rounds: float
    tried: dict[float, float]
    history: History
    tuned: bool
    seconds: float
    versions: dict[str, str]
    seed: int


def read(cell: Cell | Curve, folder: Path) -> Measured | None:
    """The cell or curve as measured, None if the folder does not have it. Raises ValueError for a damaged file."""
    path = folder / f"{cell.name}.json"
    if not path.exists():
        return None
    record = _read(path)
    histories = {float(lr): _unpacked(kept) for lr, kept in record["rates"].items()}
    tried = {lr: rounds_to(h["accuracy"], TARGETS[cell.net]) for lr, h in sorted(histories.items())}
    best = min(tried, key=lambda lr: (tried[lr], -best_so_far(histories[lr]["accuracy"])[-1]))
    tuned = min(tried) < best < max(tried)
    seconds = sum(kept["seconds"] for kept in record["rates"].values())
    of = record["versions"], record["seed"]
    return Measured(best, tried[best], tried, histories[best], tuned, seconds, *of)


def run(cell: Cell | Curve, folder: Path, *, seed: int = 0, one_rate: bool = False, progress: bool = True) -> Measured:
    """Run a cell or a curve on MNIST; what is on file is not run again, and a killed run goes on.

    A cell: rounds to the target at the best rate of a grid, for at most twice the rounds that the paper prints. folder:
    of its file, and of the state. one_rate: try the rate in the middle of the grid alone; it is kept for the grid.
    Raises FileNotFoundError if MNIST is not there, and ValueError for a file of another seed.
    Source: fedavg:table1, fedavg:table2, fedavg:table4, fedavg:fig8
    """
    path, state = folder / f"{cell.name}.json", folder / "state" / cell.name
    record = {"cell": cell.name, "seed": seed, "versions": versions(), "rates": {}}
    if path.exists():
        record = _read(path)
        if record["seed"] != seed:
            raise ValueError(f"tables: {path} was run with seed {record['seed']}, asked for is {seed}")
    state.mkdir(parents=True, exist_ok=True)

    def ended(lr: float, history: History) -> None:
        record["rates"][rate_name(lr)] = _packed(history)
        write_json(path, record)

    settings = _setting(cell, seed) | {"progress": progress}
    known = {float(lr): _unpacked(kept) for lr, kept in record["rates"].items()}
    if isinstance(cell, Curve) or one_rate:
        lr = cell.lr if isinstance(cell, Curve) else _middle(cell)
        if rate_name(lr) not in record["rates"]:
            ended(lr, fedavg(**settings, lr=lr, checkpoint=state / f"lr-{rate_name(lr)}").history)
    else:
        at_best_rate(**settings, rates=grid(_middle(cell), 3), known=known, ended=ended, folder=state)
    return read(cell, folder)


def _middle(cell: Cell) -> float:
    return 10 ** (MIDDLES[cell.split][cell.B] / 3)


def _setting(cell: Cell | Curve, seed: int) -> dict[str, Any]:
    """What `fedavg` takes for it, beside the rate."""
    fleet, test, probe = _mnist(cell.net, cell.split, seed)
    watch, goal = None, {"rounds": cell.rounds} if isinstance(cell, Curve) else {
        "rounds": int(2 * PRINTED[cell]) if isfinite(PRINTED[cell]) else 2000, "target": TARGETS[cell.net],
    }  # fmt: skip
    if cell.net == "CNN":
        watch = {"training loss": lambda model: evaluate(model, losses.cross_entropy, *probe)[0]}
    model = {"2NN": mnist_2nn, "CNN": mnist_cnn}[cell.net](rng=seed)
    setting = {"model": model, "clients": fleet, "test": test, "watch": watch, "seed": seed}
    return setting | goal | {"C": cell.C, "E": cell.E, "B": cell.B}


@functools.cache
def _mnist(net: str, split: str, seed: int) -> tuple[Sequence[Client], tuple[Any, Any], tuple[Any, Any]]:
    from ..data import mnist

    m = mnist()
    x, test_x = m.train_images, m.test_images
    if net == "2NN":
        x, test_x = x.reshape(len(x), -1), test_x.reshape(len(test_x), -1)
    parts = iid(len(x), 100, seed) if split == "IID" else shards(m.train_labels, 100, seed)
    some = np.random.default_rng(seed).permutation(len(x))[:5000]
    return clients_of(x, m.train_labels, parts), (test_x, m.test_labels), (x[some], m.train_labels[some])


def hours(cells: Sequence[Cell | Curve], seed: int = 0) -> dict[Cell | Curve, float]:
    """How long each would take here at one rate, if it took as many rounds as the paper prints; inf for a dash.

    Roughly, by one client's pass over its examples and one look at the test set.
    """
    clocks = {}
    for cell in cells:
        if (key := (cell.net, cell.B)) not in clocks:
            settings = _setting(cell, seed)
            few = {name: settings[name] for name in ("model", "clients", "test")}
            clocks[key] = [measure_seconds(**few, B=cell.B) for _ in range(2)][1]
    rounds = {cell: cell.rounds if isinstance(cell, Curve) else PRINTED[cell] for cell in cells}
    return {c: rounds[c] * clocks[c.net, c.B].a_round(c.C, c.E) / 3600 for c in cells}


def _packed(history: History) -> dict[str, Any]:
    """A history as JSON that stays small: columns that never change as one number, seconds as their sum."""
    left_out = "round", "seconds", "loss", "test_loss"  # the last two are long, and no table needs them
    columns = {
        name: [v if isfinite(v) else None for v in values] if len(set(values)) > 1 or name == "accuracy" else values[0]
        for name, values in history.columns.items()
        if name not in left_out
    }
    return {"rounds run": len(history), "seconds": round(sum(history.columns["seconds"]), 1), **columns}


def _unpacked(kept: Mapping[str, Any]) -> History:
    n, columns = kept["rounds run"], {}
    for name, values in kept.items():
        if name not in ("rounds run", "seconds"):
            columns[name] = [np.nan if v is None else v for v in values] if isinstance(values, list) else [values] * n
    return History({"round": list(range(n)), **columns})


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["seed"], record["versions"]
        rates = record["rates"].values()
        if not rates or not all(kept["accuracy"] and kept["seconds"] >= 0 for kept in rates):
            raise ValueError("it has no rate with an accuracy by rounds")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"tables: {path} is no file of a cell ({error}); delete it to run the cell again") from error
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m minidl.federated.tables", description=__doc__.splitlines()[0])
    parser.add_argument(
        "patterns", nargs="*", metavar="PATTERN", help="cells by name, such as '2NN-IID-*' (default: all)"
    )
    parser.add_argument("--folder", type=Path, default=Path("minidl-cells"), help="where results and state are kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one-rate", action="store_true", help="try the rate in the middle of the grid alone")
    parser.add_argument("--list", action="store_true", help="say what there is, and how long it would take here")
    options = parser.parse_args(arguments)
    patterns = options.patterns or ["*"]
    chosen = [cell for cell in (*PRINTED, *FIGURE8) if any(fnmatch(cell.name, pattern) for pattern in patterns)]
    if not chosen:
        parser.error(f"no cell fits {' '.join(patterns)}; --list shows all")
    if sentence := registry.missing("mnist"):
        parser.exit(3, f"{sentence}\n")
    if options.seed < 0:
        parser.error(f"--seed must be at least 0, got {options.seed}")
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--folder must be a folder that can be written: {error}")
    times, failed = hours(chosen, options.seed), 0
    for cell in sorted(chosen, key=times.get):
        try:
            found = read(cell, options.folder)
            enough = found and (found.tuned or options.one_rate or isinstance(cell, Curve))
            if not options.list and not (enough and found.seed == options.seed):
                found = run(cell, options.folder, seed=options.seed, one_rate=options.one_rate)
            print(_line(cell, found, times[cell]), flush=True)
        except ValueError as error:  # the others can be run all the same
            print(f"{cell.name}: {error}", file=sys.stderr, flush=True)
            failed = 1
    return failed


def _line(cell: Cell | Curve, found: Measured | None, hours: float) -> str:
    paper = "" if isinstance(cell, Curve) else f"paper {PRINTED[cell]:6g} rounds, "
    ours = "not on file"
    if found:
        rates = ", ".join(f"{lr:.3g}: {rounds:.1f}" for lr, rounds in found.tried.items())
        edge = "" if found.tuned or isinstance(cell, Curve) else "; the best is at an edge"
        ours = f"{found.rounds:.1f} rounds by rate {found.lr:.3g} ({rates}{edge}), {found.seconds:.0f} s"
    return f"{cell.name:28} {paper}{hours:6.2f} h a rate here; {ours}"


if __name__ == "__main__":
    raise SystemExit(main())
