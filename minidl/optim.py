"""Optimisers: they read the gradients and change the parameters in place, so that every view of them sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

import numpy as np

from . import backend
from .nn.module import bring, check_leaves
from .ops import fast
from .tape import Tensor, touch

__all__ = ["Adam", "ExponentialDecay", "Optimiser", "RMSprop", "SGD", "StepDecay"]

Rate = float | Callable[[int], float]


@dataclass(frozen=True)
class StepDecay:
    """A learning rate that is multiplied by `factor` after every `every` steps."""

    lr: float
    factor: float
    every: int

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True)
class ExponentialDecay:
    """A learning rate that falls smoothly: by `factor` over `every` steps."""

    lr: float
    factor: float
    every: int = 1

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step / self.every)


class Optimiser:
    """The loop over parameters; a subclass writes `update` and names the arrays that it remembers for each.

    parameters: {path: Tensor} from `model.parameters()`. lr: the learning rate, or a function of the number of steps
    taken so far, such as StepDecay. weight_decay: this times the parameter is added to its gradient (the gradient of
    weight_decay / 2 times the sum of squares).
    Raises TypeError and ValueError for parameters that are no leaves and for rates outside their range.
    """

    memory: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("weight_decay",)

    def __init__(self, parameters: Mapping[str, Tensor], lr: Rate, weight_decay: float = 0.0):
        name = type(self).__name__
        if not isinstance(parameters, Mapping) or not parameters:
            raise TypeError(f"{name}: parameters must be the dict from model.parameters(), got {parameters!r}")
        for path, p in parameters.items():
            if not isinstance(p, Tensor) or p.op is not None:
                raise TypeError(f"{name}: parameter {path} must be a Tensor that nobody computed, got {p!r}")
        if not callable(lr) and not (isinstance(lr, (int, float)) and isfinite(lr) and lr >= 0):
            raise ValueError(f"{name}: lr must be a finite number >= 0 or a function of the step, got {lr!r}")
        self._fraction("weight_decay", weight_decay, top=float("inf"))
        self.parameters, self.lr, self.weight_decay = dict(parameters), lr, weight_decay
        self.steps = 0
        self._remembered: dict[str, dict[str, Any]] = {}

    def _fraction(self, what: str, value: Any, top: float = 1.0) -> None:
        if not isinstance(value, (int, float)) or not 0 <= value < top:
            raise ValueError(f"{type(self).__name__}: {what} must lie in [0, {top:g}), got {value!r}")

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.lr(self.steps)) if callable(self.lr) else self.lr

    def step(self) -> None:
        """Change every parameter that has a gradient, in place. Tapes recorded before refuse to go backward.

        Raises RuntimeError if no parameter has a gradient.
        """
        rate, changed = self.rate, []
        for path, p in self.parameters.items():
            g = p.grad
            if g is None:
                continue
            if self.weight_decay:
                g = g + p.data * self.weight_decay
            memory = self._of(path)
            if p.ndim:
                self.update(p.data, g, rate, **memory)
            else:  # a single number: an array of one, so that it can be changed in place
                memory = {name: array.reshape(1) for name, array in memory.items()}
                self.update(p.data.reshape(1), g.reshape(1), rate, **memory)
            changed.append(p)
        if not changed:
            raise RuntimeError(
                f"{type(self).__name__}: no parameter has a gradient; call loss.backward() before step()"
            )
        touch(changed)
        self.steps += 1

    def update(self, p: Any, g: Any, rate: float, **memory: Any) -> None:
        """Change one parameter's array p by its gradient g, in place; memory: its remembered arrays, of p's shape."""
        raise NotImplementedError(f"{type(self).__name__} must define update")

    def _of(self, path: str) -> dict[str, Any]:
        """What is remembered of a parameter; zeros in the beginning."""
        if path not in self._remembered:
            p = self.parameters[path].data
            self._remembered[path] = {name: backend.xp(p).zeros_like(p) for name in self.memory}
        return self._remembered[path]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters.values():
            p.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """What a resumed run needs: the number of steps and all remembered arrays, flat, as NumPy copies."""
        remembered = {
            f"{name}/{path}": np.array(backend.to_numpy(self._of(path)[name]))
            for path in self.parameters
            for name in self.memory
        }
        return {"steps": np.array(self.steps, np.int64), **remembered}

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`; all is checked before anything changes. ValueError names the leaf."""
        expected = {name: (a.shape, a.dtype) for name, a in self.state_dict().items()}
        check_leaves(expected, {name: (a.shape, a.dtype) for name, a in d.items()}, type(self).__name__)
        arrays = {f"{name}/{path}": array for path in self.parameters for name, array in self._of(path).items()}
        brought = {name: bring(d[name], array) for name, array in arrays.items()}
        self.steps = int(d["steps"])
        for name, array in arrays.items():
            array[...] = brought[name]

    def __repr__(self) -> str:
        settings = "".join(f", {name}={getattr(self, name)!r}" for name in self.settings)
        return f"{type(self).__name__}(lr={_described(self.lr)}{settings})"


def _described(lr: Rate) -> str:
    """A rate as text that is the same in the next process; a plain function shows values that it takes."""
    if not callable(lr) or type(lr).__repr__ is not object.__repr__ and not hasattr(lr, "__code__"):
        return repr(lr)
    values = ", ".join(f"{float(lr(step)):.6g}" for step in (0, 1, 10, 100, 1000))
    return f"{getattr(lr, '__name__', type(lr).__name__)}({values}, ...)"


class SGD(Optimiser):
    """Stochastic gradient descent: v = momentum v + g; p = p - lr v."""

    memory = ("velocity",)
    settings = ("momentum", "weight_decay")

    def __init__(self, parameters: Mapping[str, Tensor], lr: Rate, momentum: float = 0.0, weight_decay: float = 0.0):
        super().__init__(parameters, lr, weight_decay)
        self._fraction("momentum", momentum)
        self.momentum = momentum
        if not momentum:
            self.memory = ()

    def update(self, p, g, rate, velocity=None):
        if velocity is not None:
            velocity *= self.momentum
            velocity += g
            g = velocity
        fast.descend(p, g, rate)


class RMSprop(Optimiser):
    """The gradient over its running root mean square: s = decay s + (1 - decay) g^2; p = p - lr g / (sqrt(s) + eps)."""

    memory = ("square",)
    settings = ("decay", "eps", "weight_decay")

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        lr: Rate = 0.001,
        decay: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr, weight_decay)
        self._fraction("decay", decay)
        self._fraction("eps", eps)
        self.decay, self.eps = decay, eps

    def update(self, p, g, rate, square):
        work = g * g
        work *= 1 - self.decay
        square *= self.decay
        square += work
        backend.xp(p).sqrt(square, out=work)
        work += self.eps
        backend.xp(p).divide(g, work, out=work)
        work *= rate
        p -= work


class Adam(Optimiser):
    """Running means of g and g^2, both corrected for their start at 0.

    m = beta1 m + (1 - beta1) g; s = beta2 s + (1 - beta2) g^2; with m^ = m / (1 - beta1^t), s^ = s / (1 - beta2^t) at
    step t: p = p - lr m^ / (sqrt(s^) + eps).
    """

    memory = ("mean", "square")
    settings = ("beta1", "beta2", "eps", "weight_decay")

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        lr: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr, weight_decay)
        for what, value in (("beta1", beta1), ("beta2", beta2), ("eps", eps)):
            self._fraction(what, value)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def update(self, p, g, rate, mean, square):
        t = self.steps + 1
        work = g * (1 - self.beta1)
        mean *= self.beta1
        mean += work
        backend.xp(p).multiply(g, g, out=work)
        work *= 1 - self.beta2
        square *= self.beta2
        square += work
        backend.xp(p).sqrt(square, out=work)
        work *= 1 / sqrt(1 - self.beta2**t)
        work += self.eps
        backend.xp(p).divide(mean, work, out=work)
        work *= rate / (1 - self.beta1**t)
        p -= work
