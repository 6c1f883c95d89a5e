"""A model as a table: what x becomes layer by layer, and where the parameters are."""

from __future__ import annotations

from typing import Any

from ..tape import no_grad
from .module import WATCH, Module

__all__ = ["summary"]


def summary(model: Module, x: Any) -> str:
    """The layers in the order in which x passes them: path, layer, output shape, distinct parameters, and the total.

    x: an array that the model accepts; it is run once without noise and without changing running statistics.
    Modules that only hold others are left out; a layer that is used again shows 0 parameters.
    """
    modes = {module: module.training for module in model.modules().values()}
    before, WATCH.calls = WATCH.calls, []
    try:
        with no_grad():
            model.eval()(x)
        calls = WATCH.calls
    finally:
        WATCH.calls = before
        for module, training in modes.items():
            module.training = training
    seen: set = set()
    table = [("path", "layer", "output shape", "parameters")]
    for path, module, shape in calls:
        own = _own(module) - seen
        if module.children() and not own:
            continue
        seen |= own
        table.append((path, type(module).__name__, str(shape), f"{sum(p.size for p in own):,}"))
    total = sum(p.size for p in model.parameters().values())
    table.append(("", "total", "", f"{total:,}"))
    widths = [max(len(row[k]) for row in table) for k in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]:>{widths[3]}}" for row in table
    )


def _own(module: Module) -> set:
    """The parameters that the module holds itself, not through a child."""
    below = {p for child in module.children().values() for p in child.parameters().values()}
    return set(module.parameters().values()) - below
