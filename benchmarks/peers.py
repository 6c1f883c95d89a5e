"""The peers, if they are installed; CI runs without them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np


def find(name: str) -> ModuleType | None:
    """The peer's module, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def with_threads(torch: Any, call: Callable[[], object], label: str = "torch") -> dict[str, Callable[[], object]]:
    """The call with one and with two of the peer's threads."""

    def on(threads: int) -> Callable[[], object]:
        def run() -> object:
            torch.set_num_threads(threads)
            return call()

        return run

    return {f"{label}, {n} thread{'s' * (n > 1)}": on(n) for n in (1, 2)}


def same(ours: Any, theirs: Any, what: str, tolerance: float) -> str:
    """A note with the largest difference relative to the largest value; RuntimeError if it is above the tolerance."""
    difference = float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
    if not difference <= tolerance:
        raise RuntimeError(f"{what}: values differ by {difference:.1e} of the largest, so the times say nothing")
    return f"values equal to {difference:.0e}"
