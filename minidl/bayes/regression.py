"""Regression with dropout in the units of the data, and several candidates for p and tau trained side by side.

Rows are standardised by the training rows: inputs column by column, targets centred and divided by one number s. The
network sees y / s, whose noise has the precision s^2 tau; so tau times s^2 is what goes into the weight decay, and what
eq 3.17 gives is divided by s^2. Outside, everything is in the units of y: draws, tau (one over the square of the unit
of y), errors.

Networks of one shape that differ in p and in weight decay alone are one network whose weights have a leading axis. They
start from the same weights and meet the same batches and the same uniform numbers in their masks, so what becomes of a
candidate does not depend on which others stand beside it, and candidates differ by their settings, not by luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import backend, ops
from ..backend import is_array, to_numpy, xp
from ..nn import Dense, Dropout, Module, ReLU, Sequential
from ..nn.noise import bernoulli
from ..optim import Adam
from ..tape import Tensor, raw
from ..train import fit
from . import door
from .predict import mc_predict
from .scales import precision, weight_decay
from .uncertainty import predictive_log_likelihood, predictive_mean
from .variational import euclidean_error

__all__ = ["Candidate", "DropoutRegression", "Score", "dropout_regressions"]


@dataclass(frozen=True)
class Candidate:
    """What is chosen before training: p, the length-scale, and either the precision or the weight decay.

    p: the probability of dropping, in [0, 1). tau: the precision, in one over the square of the unit of y; the weight
    decay follows by eq 3.14. weight_decay: lambda, for standardised targets; the precision follows by eq 3.17.
    length_scale: l, in standard deviations of the inputs.
    Raises ValueError for numbers outside their ranges, and unless exactly one of tau and weight_decay is given.
    Source: gal:grid-search
    """

    p: float
    tau: float | None = None
    weight_decay: float | None = None
    length_scale: float = 0.01

    def __post_init__(self):
        door.dropping("Candidate", self.p, "scaled")
        given = {name: value for name in ("tau", "weight_decay") if (value := getattr(self, name)) is not None}
        if len(given) != 1:
            raise ValueError(f"Candidate: give either tau or weight_decay, got {' and '.join(given) or 'neither'}")
        door.above_zero("Candidate", length_scale=self.length_scale, **given)

    def settled(self, n: int, s: float) -> tuple[float, float]:
        """(tau, weight decay) for n data points whose targets are divided by s.

        The convention is that of `dropout_regressions`: masks scaled, the error with the 1/2.
        Source: gal:eq3.14, gal:eq3.17
        """
        if self.tau is not None:
            return self.tau, weight_decay(self.length_scale, self.p, self.tau * s**2, n, masks="scaled")
        return precision(self.weight_decay, self.length_scale, self.p, n, masks="scaled") / s**2, self.weight_decay


class Score(NamedTuple):
    """How well rows are predicted: log_likelihood, the mean over the rows in nats; rmse, in the unit of y."""

    log_likelihood: float
    rmse: float


@dataclass(frozen=True)
class DropoutRegression:
    """A trained network that takes x and answers in the units of y.

    model: the network between standardised rows. candidate: what it was trained for. tau: the precision, in one over
    the square of the unit of y. weight_decay: lambda, on the network's weights but not on its biases.
    x_mean, x_size (n_in,), y_mean (D,), y_size (a number): what the training rows are standardised by.
    """

    model: Sequential
    candidate: Candidate
    tau: float
    weight_decay: float
    x_mean: Any
    x_size: Any
    y_mean: Any
    y_size: float

    def draws(self, x: Any, T: int, rng: Any, *, progress: bool = False) -> Any:
        """T draws of the function's values at x (N, n_in), without the observation noise: (T, N, D), in y's units.

        In the type of the network. rng, progress and errors as for `mc_predict`.
        Source: gal:prop2
        """
        z = _standardised(raw(x), self.x_mean, self.x_size, self.y_mean.dtype)
        f = mc_predict(self.model, z, T, rng, progress=progress)
        f *= self.y_size
        f += self.y_mean
        return f

    def score(self, x: Any, y: Any, T: int, rng: Any, *, progress: bool = False) -> Score:
        """Log likelihood by eq 3.18 and root mean squared error of the mean over the same T passes: y (N, D).

        Raises ValueError for a y of another shape, and as `draws`.
        Source: gal:eq3.18, gal:prop2
        """
        f = self.draws(x, T, rng, progress=progress)
        likelihood = predictive_log_likelihood(f, y, self.tau)
        error = predictive_mean(f) - y
        return Score(float(likelihood.mean()), float((error**2).mean()) ** 0.5)


class _SharedDropout(Module):
    """Dropout in K networks side by side: x (N, n) or (K, N, n) to (K, N, n), by one draw of N n uniform numbers."""

    def __init__(self, p: Sequence[float], dtype: Any):
        self.p = np.array(p, dtype)[:, None, None]  # in the type of the numbers it is compared with: twice as fast

    def forward(self, x, rng=None):
        return x if rng is None else ops.multiply(x, bernoulli(rng, x.shape[-2:], self.p, True, x))


def dropout_regressions(
    x: Any,
    y: Any,
    candidates: Sequence[Candidate],
    *,
    hidden: Sequence[int] = (50,),
    epochs: int = 400,
    batch_size: int = 128,
    rate: float = 0.001,
    seed: int = 0,
    dtype: Any = "float32",
    progress: bool = False,
) -> list[DropoutRegression]:
    """Train one network for each of the candidates, all of them side by side; returns them in this order.

    x: (N, n_in), y: (N, D), in any units. hidden: units of the ReLU layers; dropout stands before every layer of
    weights, that is on the inputs too. Weights start from Glorot's uniform distribution. They are trained by Adam of
    this rate on batches of batch_size rows, for so many epochs, on the error with the 1/2 plus each candidate's weight
    decay, which biases are free of. seed: of the first weights, the order of rows and the noise, the same for all.
    dtype: of the networks, which live where x does.
    Memory: a batch passes all candidates at once; a dozen of them with 50 units take a fifth of the time that they
    take one after another.
    Raises ValueError for other shapes, for targets that are all equal, or without candidates, and as `fit`.
    Source: gal:grid-search, gal:alg2
    """
    x, y = _rows(x, y)
    if not candidates or not all(isinstance(c, Candidate) for c in candidates):
        raise ValueError(f"dropout_regressions: candidates must be at least one Candidate, got {candidates!r}")
    m, still = xp(x), (x == x[:1]).all(0)  # a column that does not vary becomes 0 exactly, at the kinks of ReLUs too
    x_mean, x_size = m.where(still, x[0], x.mean(0)), m.where(still, 1, x.std(0))
    y_mean = y.mean(0)
    s = float(((y - y_mean) ** 2).mean()) ** 0.5
    if (y == y[:1]).all():
        raise ValueError("dropout_regressions: y must vary over the rows, got one value in each column")
    settled = [c.settled(len(x), s) for c in candidates]
    widths = [x.shape[1], *hidden, y.shape[1]]

    def network(noise: Any) -> Sequential:
        with backend.use(m.__name__):
            return _network(widths, noise, seed, dtype)

    together = network(lambda: _SharedDropout([c.p for c in candidates], dtype))
    layers = _with_weights(together)
    for layer in layers:
        layer.W, layer.b = (Tensor(m.repeat(a[None], len(candidates), 0)) for a in (layer.W.data, layer.b.data))
    decay = m.asarray(np.array([d for _, d in settled], dtype))

    def loss(f: Tensor, t: Any) -> Tensor:  # the sum over candidates: each gets its own gradient
        penalties = (ops.total(ops.total(layer.W * layer.W, (1, 2)) * decay) for layer in layers)
        return ops.total(euclidean_error(f, t)) / len(t) + sum(penalties)

    data = _standardised(x, x_mean, x_size, dtype), _standardised(y, y_mean, s, dtype)
    fit(together, loss, data, epochs, batch_size, Adam(together.parameters(), rate), seed, progress=progress)
    found = []
    for k, (candidate, (tau, lam)) in enumerate(zip(candidates, settled, strict=True)):
        model = network(lambda p=candidate.p: Dropout(p)).eval()
        for layer, source in zip(_with_weights(model), layers, strict=True):
            layer.W, layer.b = source.W.data[k], source.b.data[k]
        found.append(DropoutRegression(model, candidate, tau, lam, x_mean, x_size, y_mean.astype(dtype), s))
    return found


def _network(widths: Sequence[int], noise: Any, seed: int, dtype: Any) -> Sequential:
    """Noise and a layer of weights, one after the other, with ReLUs between them."""
    rng, layers = np.random.default_rng(seed), []
    for n_in, n_out in zip(widths, widths[1:]):
        layers += [noise(), Dense(n_in, n_out, rng=rng, dtype=dtype), ReLU()]
    return Sequential(*layers[:-1])


def _with_weights(model: Sequential) -> list[Dense]:
    return [layer for layer in model if isinstance(layer, Dense)]


def _standardised(a: Any, mean: Any, size: Any, dtype: Any) -> Any:
    return ((a - mean) / size).astype(dtype, copy=False)


def _rows(x: Any, y: Any) -> tuple[Any, Any]:
    """Both as arrays; TypeError or ValueError unless they are numbers (N, n_in) and (N, D), of at least two rows."""
    x, y = (a if is_array(a) else to_numpy(a) for a in (raw(x), raw(y)))
    if x.dtype.kind != "f" or y.dtype.kind != "f":
        raise TypeError(f"dropout_regressions: x and y must be floating-point numbers, got {x.dtype} and {y.dtype}")
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise ValueError(
            "dropout_regressions: x must be (N, n_in) and y (N, D) with the same N of at least 2, "
            f"got {x.shape} and {y.shape}"
        )
    return x, y
