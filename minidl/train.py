"""Training: `fit` goes over the data in batches, and can be killed at any time and started again."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from . import backend, blas, threads
from .nn.module import Module
from .nn.serialise import read_arrays, write_arrays
from .optim import Optimiser
from .randomness import stream
from .tape import Tensor, no_grad

__all__ = ["History", "evaluate", "fit"]

SHUFFLE, NOISE = 0, 1  # streams of random numbers: default_rng([seed, stream, epoch or step])
ROWS = 500  # rows evaluated at once
Loss = Callable[[Tensor, Any], Tensor]


@dataclass
class History:
    """What happened, one number an epoch: floats only, so that it is JSON as it stands (`as_dict`).

    train_loss: mean over the rows while they were trained on, noise included. validation_loss, validation_accuracy:
    afterwards, without noise; empty without validation data, the accuracy also if targets are no class labels.
    lr: the learning rate of the epoch's last step.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, list[float]]:
        """{name: [a number an epoch]}."""
        return asdict(self)

    @property
    def epochs(self) -> int:
        """How many epochs have been completed."""
        return len(self.train_loss)


def fit(
    model: Module,
    loss: Loss,
    data: tuple[Any, Any],
    epochs: int,
    batch_size: int,
    optimiser: Optimiser,
    seed: int,
    validation: tuple[Any, Any] | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool = True,
) -> History:
    """Train a model in place, and leave it in eval mode.

    model: its forward takes x and rng. loss(output, y) -> one number, a mean over the rows. data, validation: (x, y),
    arrays with the rows on their first axis; floating-point x and y are brought to the model's dtype, both to its
    backend. epochs: how often all rows are gone over, in all, resumed ones included. batch_size: rows a step (the last
    batch of an epoch may be smaller). optimiser: made on model.parameters(). seed: of the order of rows and of the
    noise. checkpoint: a file written after every epoch; if it exists, model, optimiser and history continue from it,
    with the same bits as without interruption (same machine, library versions). progress: show a bar.

    Runs with one BLAS thread. Raises ValueError or TypeError for bad arguments, for NaN or infinite data, and for a
    checkpoint of another configuration; FloatingPointError if the loss becomes NaN or infinite.
    """
    check_numbers("fit", epochs=(epochs, 0), batch_size=(batch_size, 1), seed=(seed, 0))
    check_optimiser("fit", model, optimiser)
    x, y = checked("fit", model, data, "data")
    held_out = None if validation is None else checked("fit", model, validation, "validation")
    configuration = configured(model, loss, optimiser, seed) | {
        "batch_size": int(batch_size),
        "data": fingerprint(data),
        "validation": fingerprint(validation),
    }
    steps = -(-len(x) // batch_size)

    def one_epoch(epoch: int, bar: Bar) -> float:
        order, total = backend.xp(x).asarray(stream(seed, SHUFFLE, epoch).permutation(len(x))), 0.0
        for k in range(steps):
            rows = order[k * batch_size : (k + 1) * batch_size]
            optimiser.zero_grad()
            value = loss(model(x[rows], rng=stream(seed, NOISE, epoch * steps + k)), y[rows])
            total += descend("fit", value, optimiser, bar, epoch, k) * len(rows)
        return total / len(x)

    evaluated = None if held_out is None else lambda: evaluate(model, loss, *held_out)
    return run_epochs("fit", model, optimiser, configuration, epochs, steps, checkpoint, progress, one_epoch, evaluated)


def run_epochs(
    caller: str,
    model: Module,
    optimiser: Optimiser,
    configuration: Mapping[str, Any],
    epochs: int,
    steps: int,
    checkpoint: str | os.PathLike | None,
    progress: bool,
    one_epoch: Callable[[int, Bar], float],
    evaluated: Callable[[], tuple[float, float | None]] | None,
) -> History:
    """Epoch after epoch, each with its line in the history and its checkpoint: what all ways of training share.

    one_epoch(epoch, bar) takes the steps of an epoch and returns its mean loss; evaluated() -> the loss and the
    accuracy afterwards. configuration: what must be the same for a run to continue. The rest is as for `fit`.
    """
    history = History()
    if checkpoint is not None and not Path(checkpoint).resolve().parent.is_dir():
        raise FileNotFoundError(f"{caller}: the folder of checkpoint {str(checkpoint)!r} does not exist; make it first")
    if checkpoint is not None and Path(checkpoint).exists():
        history = _resume(caller, Path(checkpoint), model, optimiser, configuration, epochs)
    threads.keep_memory()
    with blas.one_thread(), Bar(caller if progress else None, epochs * steps, history.epochs * steps) as bar:
        try:
            for epoch in range(history.epochs, epochs):
                model.train()
                history.train_loss.append(one_epoch(epoch, bar))
                if evaluated is not None:
                    value, accuracy = evaluated()
                    history.validation_loss.append(value)
                    if accuracy is not None:
                        history.validation_accuracy.append(accuracy)
                history.lr.append(bar.rate)
                if checkpoint is not None:
                    _write(Path(checkpoint), model, optimiser, configuration, history)
        finally:
            model.eval()
    return history


def descend(caller: str, value: Any, optimiser: Optimiser, bar: Bar, epoch: int, step: int) -> float:
    """One step down the gradient of a loss; returns the loss as a number."""
    if not isinstance(value, Tensor) or value.size != 1:
        raise TypeError(f"{caller}: loss must return a Tensor of one number, got {getattr(value, 'shape', value)!r}")
    number = value.item()
    if not isfinite(number):
        raise FloatingPointError(
            f"{caller}: the loss became {number} in epoch {epoch}, step {step}; try a smaller learning rate"
        )
    value.backward()
    rate = optimiser.rate
    optimiser.step()
    bar.advance(number, rate)
    return number


def evaluate(model: Module, loss: Loss, x: Any, y: Any) -> tuple[float, float | None]:
    """Mean loss over the rows, and the share of rows whose largest output is the label, without noise.

    The accuracy is None if y holds no class labels (integers for an output with one more axis). Labels below 0 mark
    places that do not count, for a loss that ignores them; the mean is then over those that do. Runs in eval mode, in
    batches, and restores the mode of every module.
    """
    total, counted, right, labels = 0.0, 0, 0, False
    with evaluating(model):
        for start in range(0, len(x), ROWS):
            rows = slice(start, start + ROWS)
            output = model(x[rows])
            weight = len(x[rows])
            if y.dtype.kind in "iu" and output.shape[:-1] == y[rows].shape:
                labels, weight = True, int((y[rows] >= 0).sum())
                right += int((output.data.argmax(-1) == y[rows]).sum())
            total += loss(output, y[rows]).item() * weight
            counted += weight
    return total / counted, right / counted if labels else None


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Eval mode and no tape inside the block; afterwards every module has the mode that it had."""
    modes = {module: module.training for module in model.modules().values()}
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


class Bar:
    """A progress bar of that name, None for no bar; it also remembers the last step's learning rate."""

    def __init__(self, name: str | None, total: int, done: int):
        self.rate, self.bar = 0.0, None
        if name is not None:
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, unit="step", desc=name)

    def advance(self, loss: float, rate: float) -> None:
        self.rate = rate
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()


# ---- the door -------------------------------------------------------------------------------------------------------


def check_numbers(caller: str, **numbers: tuple[Any, int]) -> None:
    """name=(value, least): ValueError unless the value is an int and no smaller."""
    for name, (value, least) in numbers.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise ValueError(f"{caller}: {name} must be an int >= {least}, got {value!r}")


def check_optimiser(caller: str, model: Module, optimiser: Any) -> None:
    """An optimiser of another model would train nothing."""
    if not isinstance(optimiser, Optimiser):
        raise TypeError(f"{caller}: optimiser must be an Optimiser such as optim.SGD, got {type(optimiser).__name__}")
    own = set(model.parameters().values())
    if not own.issuperset(optimiser.parameters.values()):
        raise ValueError(
            f"{caller}: optimiser holds tensors that are no parameters of the model; make it on its parameters()"
        )


def checked(caller: str, model: Module, data: Any, name: str) -> tuple[Any, Any]:
    """The arrays of a pair (x, y) where the model is, in its dtype if they are floating point. name: what they are."""
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"{caller}: {name} must be a pair of arrays (x, y), got {type(data).__name__}")
    like = next(iter(model.parameters().values())).data
    m, arrays = backend.xp(like), []
    for part, values in zip("xy", data):
        if not backend.is_array(values) or values.ndim == 0 or values.dtype.kind not in "fiu":
            raise TypeError(f"{caller}: {part} of {name} must be an array of numbers, got {_described(values)}")
        if values.dtype.kind == "f" and not backend.xp(values).isfinite(values).all():
            raise ValueError(f"{caller}: {part} of {name} holds NaN or infinite values")
        values = values if backend.xp(values) is m else m.asarray(backend.to_numpy(values))
        arrays.append(values.astype(like.dtype, copy=False) if values.dtype.kind == "f" else values)
    if len(arrays[0]) != len(arrays[1]) or not len(arrays[0]):
        raise ValueError(
            f"{caller}: x and y of {name} need the same number of rows, got {len(arrays[0])}, {len(arrays[1])}"
        )
    return arrays[0], arrays[1]


def _described(values: Any) -> str:
    return f"{values.dtype} of shape {values.shape}" if backend.is_array(values) else type(values).__name__


# ---- checkpoints ----------------------------------------------------------------------------------------------------


def configured(model: Module, loss: Loss, optimiser: Optimiser, seed: int) -> dict[str, Any]:
    """What must be the same for a run to continue, as JSON, besides the data. The number of epochs may grow."""
    return {
        "model": repr(model),
        "optimiser": repr(optimiser),
        "loss": getattr(loss, "__qualname__", type(loss).__qualname__),
        "seed": int(seed),
    }


def fingerprint(data: Any) -> list[str] | None:
    """Type, shape and checksum of some arrays."""
    if data is None:
        return None
    arrays = [np.ascontiguousarray(backend.to_numpy(a)) for a in data]
    return [f"{a.dtype} {a.shape} crc {zlib.crc32(a.data.cast('B') if a.size else b''):08x}" for a in arrays]


def _write(path: Path, model: Module, optimiser: Optimiser, configuration: Mapping, history: History) -> None:
    text = json.dumps({"configuration": configuration, "history": history.as_dict()})
    write_arrays(
        path,
        {
            "run": np.frombuffer(text.encode(), np.uint8),
            **{f"model/{name}": array for name, array in model.state_dict().items()},
            **{f"optimiser/{name}": array for name, array in optimiser.state_dict().items()},
        },
    )


def _resume(
    caller: str, path: Path, model: Module, optimiser: Optimiser, configuration: Mapping, epochs: int
) -> History:
    """Bring model and optimiser to where the checkpoint was written; returns its history."""
    arrays = read_arrays(path)
    try:
        run = json.loads(arrays.pop("run").tobytes())
        history, before = History(**run["history"]), run["configuration"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{caller}: {path} is not a checkpoint of fit: {error!r}") from error
    for name, now in configuration.items():
        if before.get(name) != now:
            raise ValueError(
                f"{caller}: {path} is the checkpoint of another run: {name} was {before.get(name)}, now it is {now}; "
                "choose another file or delete this one"
            )
    if history.epochs > epochs:
        raise ValueError(f"{caller}: {path} already holds {history.epochs} epochs, more than epochs={epochs}")
    model.load_state_dict(_below("model/", arrays))
    optimiser.load_state_dict(_below("optimiser/", arrays))
    return history


def _below(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
