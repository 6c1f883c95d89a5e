"""Training on a long text by truncated backpropagation, and what the trained model says about another text.

A window of the text is a sequence: its masks are drawn once, at its beginning. The state is carried on from window to
window as numbers, so that gradients stop where a window begins.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import backend, blas, ops
from .data.text import Streams
from .nn.module import Module
from .nn.recurrent import detach
from .optim import Optimiser
from .randomness import generator, stream
from .tape import raw
from .train import (
    NOISE,
    Bar,
    History,
    Loss,
    check_numbers,
    check_optimiser,
    configured,
    descend,
    evaluating,
    fingerprint,
    run_epochs,
)

__all__ = ["evaluate_sequences", "fit_sequences", "log_probabilities"]


def fit_sequences(
    model: Module,
    loss: Loss,
    text: Streams,
    epochs: int,
    optimiser: Optimiser,
    seed: int,
    validation: Streams | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool = True,
) -> History:
    """Train a model on the windows of a text, in order, in place; leave it in eval mode.

    model: has run(x, state=None, rng=None) -> (output, state), as nn.Stateful and the recurrent layers. loss(output,
    targets) -> one number, a mean over the places of a window. text, validation: from `data.text.streams`. epochs: how
    often the text is gone over in all, each time from a state of zeros. seed: of the noise; the order is the text's.
    The rest, what is returned and what is raised are as for `train.fit`; the history holds no accuracy.
    Source: gal:eq3.21
    """
    check_numbers("fit_sequences", epochs=(epochs, 0), seed=(seed, 0))
    check_optimiser("fit_sequences", model, optimiser)
    check_text("fit_sequences", model, text=text, **({} if validation is None else {"validation": validation}))
    configuration = configured(model, loss, optimiser, seed) | {
        "text": _described(text),
        "validation": None if validation is None else _described(validation),
    }

    def one_epoch(epoch: int, bar: Bar) -> float:
        state, total = None, 0.0
        for k, (x, y) in enumerate(_windows(model, text)):
            optimiser.zero_grad()
            output, state = model.run(x, state, rng=stream(seed, NOISE, epoch * len(text) + k))
            total += descend("fit_sequences", loss(output, y), optimiser, bar, epoch, k) * x.shape[1]
            state = detach(state)
        return total / text.inputs.shape[1]

    evaluated = None if validation is None else lambda: (evaluate_sequences(model, loss, validation), None)
    return run_epochs(
        "fit_sequences", model, optimiser, configuration, epochs, len(text), checkpoint, progress, one_epoch, evaluated
    )


def evaluate_sequences(model: Module, loss: Loss, text: Streams) -> float:
    """Mean loss over all places of a text, its windows in order, without noise."""
    check_text("evaluate_sequences", model, text=text)
    state, total = None, 0.0
    with evaluating(model):
        for x, y in _windows(model, text):
            output, state = model.run(x, state)
            total += loss(output, y).item() * x.shape[1]
    return total / text.inputs.shape[1]


def log_probabilities(model: Module, text: Streams, T: int | None = None, rng: Any = None) -> Any:
    """ln of the probability that each pass gives to each target of a text: (T, B, S), in nats.

    model: as for `fit_sequences`, its outputs logits. T: the number of passes, each with noise of its own, drawn anew
    for each window, and a state of its own that it carries on; None: one pass without noise, (1, B, S). rng: a
    Generator or an int, from which every window of every pass gets a generator: the first 10 of T = 100 passes are
    those of T = 10. The predictive probability is the mean of exp over the passes.
    Raises TypeError for a text that is none and for T without rng, ValueError for T below 1.
    Source: gal:prop2, gal:eq3.21
    """
    check_text("log_probabilities", model, text=text)
    seeds = None
    if T is not None:
        check_numbers("log_probabilities", T=(T, 1))
        seeds = generator(rng, "log_probabilities").integers(2**63, size=(T, len(text)))
    found = []
    with evaluating(model), blas.one_thread():
        for t in range(T or 1):
            state, of_pass = None, []
            for k, (x, y) in enumerate(_windows(model, text)):
                logits, state = model.run(x, state, rng=None if seeds is None else np.random.default_rng(seeds[t, k]))
                logits, m = raw(logits), backend.xp(y)
                of_pass.append(m.take_along_axis(logits, y[..., None], -1)[..., 0] - ops.logsumexp(logits))
            found.append(m.concatenate(of_pass, 1))
    return m.stack(found)


def check_text(caller: str, model: Any, **texts: Any) -> None:
    """TypeError unless the model has a state to run with and the texts are Streams."""
    if not callable(getattr(model, "run", None)):
        raise TypeError(
            f"{caller}: model must have run(x, state, rng), as nn.Stateful and the recurrent layers, "
            f"got {type(model).__name__}"
        )
    for name, text in texts.items():
        if not isinstance(text, Streams):
            raise TypeError(f"{caller}: {name} must be Streams, cut by data.text.streams, got {type(text).__name__}")


def _windows(model: Module, text: Streams):
    """The windows where the model is."""
    m = backend.xp(next(iter(model.parameters().values())).data)
    for x, y in text:
        yield m.asarray(x), m.asarray(y)


def _described(text: Streams) -> list[str]:
    return [*fingerprint((text.inputs, text.targets)), f"{text.steps} steps"]
