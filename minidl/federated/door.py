"""What the federated loop refuses, in one sentence each, before anything is trained."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from ..nn.module import Module
from .client import Client
from .history import Dropped


def checked(
    model: Any, clients: Any, rounds: Any, C: Any, E: Any, B: Any, lr: Any, seed: Any, decay: Any, target: Any,
    test: Any, extra: Any, deadline: Any,
) -> list[Client]:  # fmt: skip
    """The clients, their floating-point examples in the model's dtype."""
    check_settings(model, rounds, C, E, B, lr, seed, decay, target, test, extra, deadline)
    return _clients(model, clients)


def check_settings(
    model: Any, rounds: Any, C: Any, E: Any, B: Any, lr: Any, seed: Any, decay: Any, target: Any = None,
    test: Any = None, extra: Any = 0.0, deadline: Any = None,
) -> None:  # fmt: skip
    """Refuse what cannot be the settings of a run, whoever its clients are."""
    if not isinstance(model, Module) or not model.parameters():
        raise TypeError(f"fedavg: model must be a Module with parameters, got {type(model).__name__}")
    for name, value, least in (("rounds", rounds, 0), ("E", E, 1), ("B", B, 1), ("seed", seed, 0)):
        if name == "B" and value is None:
            continue
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            hint = ", or None for all examples of a client in one batch" if name == "B" else ""
            raise ValueError(f"fedavg: {name} must be an int >= {least}{hint}, got {value!r}")
    for name, value, low, high in (("C", C, 0, 1), ("decay", decay, 0, 1), ("extra", extra, 0, float("inf"))):
        if not _number(value) or not low <= value <= high:
            raise ValueError(f"fedavg: {name} must lie in [{low}, {high:g}], got {value!r}")
    if not _number(lr) or not 0 < lr < float("inf"):
        raise ValueError(f"fedavg: lr must be a finite number above 0, got {lr!r}")
    if deadline is not None and not (_number(deadline) and deadline >= 0):
        raise ValueError(f"fedavg: deadline must be a number of seconds >= 0 or None, got {deadline!r}")
    if target is not None:
        if test is None:
            raise ValueError("fedavg: target is an accuracy on test, so test=(x, y) is needed beside it")
        if not _number(target) or not 0 < target <= 1:
            raise ValueError(f"fedavg: target, an accuracy, must lie in (0, 1], got {target!r}")


def _clients(model: Module, clients: Any) -> list[Client]:
    if not isinstance(clients, Sequence) or not clients:
        raise ValueError(f"fedavg: clients must be a list of at least one Client, got {_described(clients)}")
    dtype, seen, found = next(iter(model.parameters().values())).dtype, set(), []
    for client in clients:
        if not isinstance(client, Client):
            raise TypeError(f"fedavg: clients must hold Clients, got {type(client).__name__}")
        if client.id in seen:
            raise ValueError(f"fedavg: two clients have the id {client.id!r}")
        seen.add(client.id)
        arrays = []
        for name in "xy":
            a = getattr(client, name)
            if not isinstance(a, np.ndarray) or a.ndim == 0 or a.dtype.kind not in "fiu":
                raise TypeError(f"fedavg: {name} of client {client.id!r} must be a NumPy array of numbers, got "
                                f"{_described(a)}")  # fmt: skip
            if a.dtype.kind == "f" and not np.isfinite(a).all():
                raise ValueError(f"fedavg: {name} of client {client.id!r} holds NaN or infinite values")
            arrays.append(a.astype(dtype, copy=False) if a.dtype.kind == "f" else a)
        if len(arrays[0]) != len(arrays[1]):
            raise ValueError(
                f"fedavg: x and y of client {client.id!r} need the same number of rows, got {len(arrays[0])} and "
                f"{len(arrays[1])}"
            )
        if not len(arrays[0]):
            raise ValueError(f"fedavg: client {client.id!r} has no examples; leave it out")
        found.append(Client(client.id, *arrays))
    return found


def folder(checkpoint: str | os.PathLike | None) -> Path | None:
    """The checkpoint's folder, made if its parent is there. Raises OSError in one sentence if it cannot be written."""
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    try:
        path.mkdir(exist_ok=True)
        probe = path / f".{os.getpid()}.part"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise type(error)(f"fedavg: checkpoint {str(path)!r} must be a folder that can be written: {error}") from error
    return path


def settings(model: Module, clients: Sequence[Client], test: Any, **given: Any) -> dict[str, Any]:
    """What must be the same for a run to go on, as JSON: {name: value}. Rounds and target are not among it."""
    return {
        "model": repr(model),
        "start": _fingerprint(model.state_dict().values()),
        "clients": len(clients),
        "data": _fingerprint(a for c in clients for a in (c.x, c.y)),
        "test": None if test is None else _fingerprint(test),
    } | {name: _json(value) for name, value in given.items()}


def nobody(round: int, dropped: Sequence[Dropped]) -> None:
    """Say that a round had no answer that counts."""
    first = dropped[0]
    warnings.warn(
        f"fedavg: nobody's answer counts in round {round}, the model stays as it is; client {first.client!r}: "
        f"{first.reason}",
        stacklevel=3,
    )


def _json(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.integer, np.floating)):
        return value.item()
    if isinstance(value, dict):
        return sorted(value)
    if is_dataclass(value):
        return {"is": type(value).__qualname__} | {f.name: _json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Callable) and hasattr(value, "__qualname__"):
        return value.__qualname__
    return repr(value)


def _fingerprint(arrays: Any) -> str:
    """A checksum of the arrays' bytes, shapes and types."""
    crc = 0
    for a in arrays:
        a = np.ascontiguousarray(a)
        crc = zlib.crc32(f"{a.dtype} {a.shape}".encode(), crc)
        crc = zlib.crc32(a.data.cast("B") if a.size else b"", crc)
    return f"{crc:08x}"


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def _described(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
