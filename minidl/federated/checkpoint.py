"""The state after a round on the disk: whole or not at all, and the one before it in case the disk lies.

A checkpoint is a folder. `round-000012.npz` holds weights, what the server's optimiser remembers, and the columns of
the history; `round-000012.json` holds the settings, the dropped answers, the hash of the other, and one of itself. The
two newest rounds are kept. States of before there was a hash of the record itself are read without it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import threads
from ..nn.serialise import read_arrays, write_arrays
from ..report.store import write_json
from .history import Dropped, History

__all__ = ["State", "read", "write"]

KEPT = 2


class State(NamedTuple):
    """What a run goes on from: weights {path: array}, the server optimiser's memory {path: array}, the history."""

    weights: Mapping[str, np.ndarray]
    memory: Mapping[str, np.ndarray]
    history: History


def write(folder: Path, state: State, settings: Mapping[str, Any]) -> None:
    """Keep the state after the last round of its history, and forget all but the two newest."""
    stem = f"round-{len(state.history):06d}"
    columns = {name: np.array(values) for name, values in state.history.columns.items()}
    parts = {"weights": state.weights, "memory": state.memory, "history": columns}
    arrays = {f"{part}/{name}": a for part, named in parts.items() for name, a in named.items()}
    path = folder / f"{stem}.npz"
    write_arrays(path, arrays)
    record = {
        "settings": dict(settings),
        "sha256": _digest(path),
        "where": _where(),
        "dropped": [list(d) for d in state.history.dropped],
    }
    write_json(folder / f"{stem}.json", record | {"record": _seal(record)})
    states = sorted(folder.glob("round-*.json"))
    newest = [path for path in states if path.stem <= stem][-KEPT:]  # a later one is damaged: the run went on from here
    for old in states:
        if old in newest:
            continue
        old.unlink()
        old.with_suffix(".npz").unlink(missing_ok=True)


def read(folder: Path, settings: Callable[[int], Mapping[str, Any]]) -> State | None:
    """The newest state that is whole, or None if there is none. Names in a warning those that are damaged.

    settings: a function of how many rounds are done, for some settings may change from round to round.
    Raises ValueError, which names the setting, if the state is of a run with other settings. Warns if it was made with
    other versions or on another number of threads: the same bits are then not promised.
    """
    damaged = []
    for path in sorted(folder.glob("round-*.json"), reverse=True):
        try:
            record = dict(json.loads(path.read_text("utf-8")))
            if (seal := record.pop("record", None)) not in (None, found := _seal(record)):
                raise ValueError(f"its record has sha256 {found}, written was {seal}")
            own, where = dict(record["settings"]), dict(record["where"])
            dropped = [Dropped(*d) for d in record["dropped"]]
            if (found := _digest(path.with_suffix(".npz"))) != record["sha256"]:
                raise ValueError(f"its arrays have sha256 {found}, written was {record['sha256']}")
            arrays = read_arrays(path.with_suffix(".npz"))
            columns = {name: values.tolist() for name, values in _below("history/", arrays).items()}
            history = History(columns, dropped)
        except (OSError, ValueError, KeyError, TypeError) as error:
            damaged.append(f"{path} is damaged ({error})")
            continue
        if damaged:
            warnings.warn(f"fedavg: {'; '.join(damaged)}; the round before it is taken, {path.stem}", stacklevel=3)
        for name, now in settings(len(history)).items():
            if own.get(name) != now:
                raise ValueError(
                    f"fedavg: {folder} is the checkpoint of another run: {name} was {own.get(name)}, now it is {now}; "
                    "choose another folder or delete this one"
                )
        if where != (here := _where()):
            changed = [f"{name} {where.get(name)}, now {now}" for name, now in here.items() if where.get(name) != now]
            warnings.warn(
                f"fedavg: {folder} was written elsewhere ({', '.join(changed)}); bits may differ", stacklevel=3
            )
        return State(_below("weights/", arrays), _below("memory/", arrays), history)
    if damaged:
        warnings.warn(f"fedavg: {'; '.join(damaged)}; no other is there, and the run begins anew", stacklevel=3)
    return None


def _seal(record: Mapping[str, Any]) -> str:
    """The hash of a record, the same before it is written and after it is read."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _where() -> dict[str, Any]:
    """What bits may depend on beside the settings."""
    from .. import __version__

    versions = {"python": platform.python_version(), "numpy": np.__version__, "minidl": __version__}
    return versions | {"machine": platform.machine(), "threads": threads.count()}


def _below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
