"""Layers over sequences, one after the other, whose recurrent ones hand their states on to the next call."""

from __future__ import annotations

from typing import Any

from ..tape import STATE
from .module import Module, join
from .recurrent import Recurrent
from .sequential import Sequential

__all__ = ["Stateful"]


class Stateful(Sequential):
    """A Sequential with a state: Stateful(Embedding(64, 8), LSTM(8, 256), LSTM(256, 256), Dense(256, 64)).

    Call: model(x, rng=None) -> outputs, from states of zeros; model.run(x, state=None, rng=None) -> (outputs, state).
    state: one for each recurrent layer, in order, as these have it; from an earlier `run`, or None for zeros. It holds
    the history of what made it, which `detach` cuts off.
    Raises ValueError for another number of states than there are recurrent layers.
    """

    def run(self, x: Any, state: tuple | None = None, rng: Any = None) -> tuple[Any, tuple]:
        """The outputs, and the states to go on with."""
        return Module.__call__(self, x, rng, state=state, both=True)

    def forward(self, x, rng=None, state=None, both=False):
        if not both:
            return super().forward(x, rng)
        path = STATE.layer.path if STATE.layer is not None else ""
        recurrent = [layer for layer in self if isinstance(layer, Recurrent)]
        if state is not None and (not isinstance(state, tuple) or len(state) != len(recurrent)):
            came = f"{len(state)} of them" if isinstance(state, tuple) else type(state).__name__
            raise ValueError(f"{self.where()} expects a tuple of {len(recurrent)} states, one a layer, got {came}")
        before, after = iter(state or (None,) * len(recurrent)), []
        for name, layer in self.children().items():
            if isinstance(layer, Recurrent):
                x, last = layer.call_as(join(path, name), x, rng, {"state": next(before), "both": True})
                after.append(last)
            else:
                x = layer.call_as(join(path, name), x, rng, {})
        return x, tuple(after)
