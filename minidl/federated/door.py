"""What the federated loop refuses, in one sentence each, before anything is trained."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass
from functools import partial
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from .. import train
from ..nn.module import Module
from .client import Client
from .history import COLUMNS, Dropped


def checked(
    model: Any, clients: Any, rounds: Any, C: Any, E: Any, B: Any, lr: Any, seed: Any, decay: Any, target: Any = None,
    test: Any = None, extra: Any = 0.0, deadline: Any = None,
) -> tuple[list[Client], Any]:  # fmt: skip
    """The clients and the test set, floating-point examples in the model's dtype. E, B: also functions of the round."""
    check_settings(model, rounds, C, lr, seed, decay, target, test, extra, deadline)
    if callable(E) or callable(B):
        for t in range(rounds):
            check_work(*in_round(t, E, B), f" in round {t}")
    else:
        check_work(E, B)
    return _clients(model, clients), None if test is None else train.checked("fedavg", model, test, "test")


def check_settings(
    model: Any, rounds: Any, C: Any, lr: Any, seed: Any, decay: Any, target: Any = None, test: Any = None,
    extra: Any = 0.0, deadline: Any = None,
) -> None:  # fmt: skip
    """Refuse what cannot be the settings of a run, whoever its clients are."""
    _descent("fedavg", model, lr, decay)
    for name, value in (("rounds", rounds), ("seed", seed)):
        if not _whole(value, 0):
            raise ValueError(f"fedavg: {name} must be an int >= 0, got {value!r}")
    for name, value, low, high in (("C", C, 0, 1), ("extra", extra, 0, float("inf"))):
        if not _number(value) or not low <= value <= high:
            raise ValueError(f"fedavg: {name} must lie in [{low}, {high:g}], got {value!r}")
    if deadline is not None and not (_number(deadline) and deadline >= 0):
        raise ValueError(f"fedavg: deadline must be a number of seconds >= 0 or None, got {deadline!r}")
    if target is not None:
        if test is None:
            raise ValueError("fedavg: target is an accuracy on test, so test=(x, y) is needed beside it")
        if not _number(target) or not 0 < target <= 1:
            raise ValueError(f"fedavg: target, an accuracy, must lie in (0, 1], got {target!r}")


def check_work(E: Any, B: Any, where: str = "") -> None:
    """Refuse what cannot be a client's passes over its examples and their batch size in a round."""
    if not _whole(E, 1):
        raise ValueError(f"fedavg: E must be an int >= 1, got {E!r}{where}")
    if B is not None and not _whole(B, 1):
        hint = "or None for all examples of a client in one batch"
        raise ValueError(f"fedavg: B must be an int >= 1, {hint}, got {B!r}{where}")


def check_watch(watch: Any) -> None:
    """Refuse measures whose names the history needs for its own columns."""
    for name in watch or {}:
        if not isinstance(name, str) or name in COLUMNS:
            taken = ", ".join(COLUMNS)
            raise ValueError(f"fedavg: watch needs names, each a str, other than the history's {taken}; got {name!r}")


def in_round(t: int, E: Any, B: Any) -> tuple[int, int | None]:
    """E and B in round t, where each may be a function of the round."""
    return tuple(value(t) if callable(value) else value for value in (E, B))


def so_far(name: str, value: Any, rounds: int) -> Any:
    """E or B in the rounds that are done, as JSON: a number, or {round: number} where it changes.

    By name two functions of the round could not be told apart, for most of them are called `<lambda>`.
    Raises ValueError if the function does not know one of these rounds.
    """
    if not callable(value):
        return _json(value)
    values = []
    for t in range(rounds):
        try:
            values.append(_json(value(t)))
        except Exception as error:
            raise ValueError(
                f"fedavg: {rounds} rounds are done in the checkpoint, and {name} must be what it was in each of them; "
                f"in round {t} it fails: {type(error).__name__}: {error}"
            ) from error
    changes = {str(t): now for t, now in enumerate(values) if t == 0 or now != values[t - 1]}
    return changes["0"] if len(changes) == 1 else changes


def _clients(model: Module, clients: Any) -> list[Client]:
    if not isinstance(clients, Sequence) or not clients:
        raise ValueError(f"fedavg: clients must be a list of at least one Client, got {type(clients).__name__}")
    seen, found = set(), []
    for client in clients:
        if not isinstance(client, Client):
            raise TypeError(f"fedavg: clients must hold Clients, got {type(client).__name__}")
        name = client.id.item() if isinstance(client.id, np.generic) else client.id
        if not isinstance(name, (int, str)):
            raise TypeError(f"fedavg: the id of client {name!r} must be an int or a str, got {type(name).__name__}")
        if name in seen:
            raise ValueError(f"fedavg: two clients have the id {name!r}")
        seen.add(name)
        if hasattr(client.x, "__len__") and not len(client.x):
            raise ValueError(f"fedavg: client {name!r} has no examples; leave it out")
        arrays = train.checked("fedavg", model, (client.x, client.y), f"client {name!r}")
        found.append(Client(name, *arrays))
    return found


def check_fit(caller: str, model: Module, loss: Callable, clients: Sequence[Client], test: Any = None) -> None:
    """Refuse examples that the model and the loss do not take, before a whole run does nothing but report them.

    Tried are two rows of the first client, of each other one whose labels lie further out, and of test.
    """
    tried = None
    for client in clients:
        low, high = (client.y.min(), client.y.max()) if client.y.dtype.kind in "iu" else (0, 0)
        if tried is None or low < tried[0] or high > tried[1]:
            try_out(caller, model, loss, f"client {client.id!r}", client.x, client.y, rng=0)
            tried = (low, high) if tried is None else (min(low, tried[0]), max(high, tried[1]))
    if test is not None:
        try_out(caller, model, loss, "test", *test)


def try_out(caller: str, model: Module, loss: Callable, name: str, x: Any, y: Any, **noise: Any) -> None:
    """Two rows through a copy of the model and the loss: those with the least and the largest label, if y has labels.

    The model is in eval mode, without a tape. Raises ValueError with what the model or the loss said.
    """
    labels = y.dtype.kind in "iu"
    rows = [int(k) // (y.size // len(y)) for k in (y.argmin(), y.argmax())] if labels else [0, min(1, len(x) - 1)]
    x, y, own = x[rows], y[rows], deepcopy(model)
    try:
        with train.evaluating(own):
            loss(own(x, **noise), y).item()
    except Exception as error:
        between = f" from {y.min()} to {y.max()}" if labels else ""
        raise ValueError(
            f"{caller}: {name} does not fit the model and the loss; of two of its rows, x {x.dtype} {x.shape} and "
            f"y {y.dtype} {y.shape}{between}, they say: {type(error).__name__}: {error}"
        ) from error


def check_plain(
    model: Any, loss: Callable, x: Any, y: Any, steps: Any, B: Any, lr: Any, seed: Any, every: Any, decay: Any,
    test: Any,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """x, y and test of plain descent, floating-point ones in the model's dtype, if they and the numbers are sound."""
    caller = "sequential_sgd"
    _descent(caller, model, lr, decay)
    train.check_numbers(caller, steps=(steps, 0), B=(B, 1), seed=(seed, 0), every=(every, 1))
    x, y = train.checked(caller, model, (x, y), "the examples")
    if B > len(x):
        raise ValueError(f"{caller}: B must be at most the number of examples, {len(x)}, got {B}")
    try_out(caller, model, loss, "the set of examples", x, y, rng=0)
    if test is not None:
        test = train.checked(caller, model, test, "test")
        try_out(caller, model, loss, "test", *test)
    return x, y, test


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
    """What must be the same for a run to go on, as JSON: {name: value}. Rounds and target are not among it.

    Functions are known by their names, partials by their function and arguments, objects by their class, and by their
    fields if it is a dataclass or by what they print if that is their own. No address is among it, which would be
    another in the next process.
    """
    return {
        "model": repr(model),
        "start": _digest(model.state_dict().values()),
        "clients": len(clients),
        "data": _digest(a for c in clients for a in (c.x, c.y)),
        "test": None if test is None else _digest(test),
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
    if isinstance(value, float) and not isfinite(value):
        return repr(float(value))  # JSON has none of these
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.integer, np.floating)):
        return _json(value.item())
    if isinstance(value, dict):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, partial):
        named = {name: _json(item) for name, item in value.keywords.items()}
        return {"partial": _json(value.func), "arguments": _json(value.args), "named": named}
    if isinstance(value, Callable) and hasattr(value, "__qualname__"):
        return value.__qualname__
    if is_dataclass(value):
        return {"is": type(value).__qualname__} | {f.name: _json(getattr(value, f.name)) for f in fields(value)}
    return type(value).__qualname__ if type(value).__repr__ is object.__repr__ else repr(value)


def _digest(arrays: Iterable[Any]) -> str:
    """One checksum of the fingerprints of many arrays."""
    return f"{zlib.crc32(repr(train.fingerprint(arrays)).encode()):08x}"


def _descent(caller: str, model: Any, lr: Any, decay: Any) -> None:
    if not isinstance(model, Module) or not model.parameters():
        raise TypeError(f"{caller}: model must be a Module with parameters, got {type(model).__name__}")
    if not _number(lr) or lr <= 0:
        raise ValueError(f"{caller}: lr must be a finite number above 0, got {lr!r}")
    if not _number(decay) or not 0 <= decay <= 1:
        raise ValueError(f"{caller}: decay must lie in [0, 1], got {decay!r}")


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
