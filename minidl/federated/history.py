"""What happened in each round: numbers as arrays, reasons as words."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

__all__ = ["COLUMNS", "Dropped", "History"]

# what a round of `fedavg` writes down, the last two with a test set only
COLUMNS = (
    "round", "lr", "selected", "returned", "lost", "examples", "steps", "bytes_down", "bytes_up", "seconds", "loss",
    "accuracy", "test_loss",
)  # fmt: skip


class Dropped(NamedTuple):
    """An answer that did not count: the round, the client's id, and why."""

    round: int
    client: int | str
    reason: str


@dataclass
class History:
    """One entry a round in each of `columns`, as an array; which answers did not count in `dropped`.

    Columns: round (from 0), lr, selected, returned and lost (numbers of clients), examples (of those who returned),
    steps (taken by them), bytes_down and bytes_up, seconds, loss (the mean over the returned clients' training, by
    their examples), and what was measured after the round: accuracy and test_loss with a test set, and what the
    functions in `watch` gave. Not measured is NaN.
    """

    columns: dict[str, list[float]] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.columns.get("round", ()))

    def __getitem__(self, name: str) -> np.ndarray:
        """A column, (rounds,). Raises KeyError that names those there are."""
        if name not in self.columns:
            raise KeyError(f"there is no column {name!r}; there are {', '.join(self.columns)}")
        return np.array(self.columns[name])

    def add(self, numbers: Mapping[str, float]) -> None:
        """Append a round."""
        for name, number in numbers.items():
            self.columns.setdefault(name, []).append(number)

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the columns to a file of comma-separated values, one line a round."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow(self.columns)
            lines.writerows(zip(*self.columns.values(), strict=True))

    def plot(self, column: str = "accuracy", ax: Any = None, **line: Any) -> Any:
        """Draw a column against the number of rounds done; returns the axes."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(5, 3.2), layout="constrained").subplots()
        ax.plot(self["round"] + 1, self[column], **line)
        ax.set(xlabel="rounds of communication", ylabel=column.replace("_", " "))
        return ax
