"""Paired timing: ours, the peer with one thread, the peer with two, again and again in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass
class Case:
    """One comparison: a name, the bar that the ratio should stay under, ours and the peer's calls (None: no peer)."""

    name: str
    bar: float
    ours: Callable[[], object]
    peers: dict[str, Callable[[], object]]
    note: str = ""


def seconds(call: Callable[[], object], repeats: int = 1) -> float:
    """Time of a call, the mean over some repeats in a row."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


BLOCK = 0.1  # seconds that a timed block takes at least: a training loop, not one step on somebody else's caches


def measure(case: Case, pairs: int, warmup: int = 2) -> str:
    """Run the case and return its line of the table. Each side runs in blocks of the same number of calls."""
    calls = {"minidl": case.ours, **case.peers}
    once = [min(seconds(call) for _ in range(max(1, warmup))) for call in calls.values()]
    repeats = max(1, int(BLOCK / min(once))) if warmup > 1 else 1
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for k in range(pairs):
        order = list(calls) if k % 2 == 0 else list(calls)[::-1]  # neither side always runs on the other's warm cache
        for name in order:
            taken[name].append(seconds(calls[name], repeats))
    medians = {name: float(np.median(t)) for name, t in taken.items()}
    ours = f"minidl {shown(medians['minidl'])}"
    if not case.peers:
        return f"{case.name:<34} {ours}   peer not installed{_note(case)}"
    best = min(case.peers, key=lambda name: medians[name])
    paired = np.array(taken["minidl"]) / np.array(taken[best])
    low, high = np.quantile(paired, [0.25, 0.75])
    ratio = medians["minidl"] / medians[best]
    return (
        f"{case.name:<34} {ours}   {best} {shown(medians[best])}   ratio {ratio:.2f} "
        f"(quartiles {low:.2f}..{high:.2f}, {pairs} pairs)   "
        f"bar {case.bar:.2f}: {verdict(low, high, case.bar)}{_note(case)}"
    )


def verdict(low: float, high: float, bar: float) -> str:
    """Met or missed only if the middle half of the pairs agrees."""
    return "met" if high <= bar else "missed" if low > bar else "undecided"


def _note(case: Case) -> str:
    return f"   {case.note}" if case.note else ""


def shown(s: float) -> str:
    """Seconds in the unit that reads best."""
    return f"{s:.2f} s" if s >= 1 else f"{s * 1e3:.2f} ms" if s >= 1e-3 else f"{s * 1e6:.1f} us"


def load() -> str:
    """The machine's load, where it says: a crowded machine decides nothing."""
    try:
        return "load " + " ".join(f"{v:.1f}" for v in os.getloadavg()) + f" on {os.cpu_count()} processors"
    except OSError:
        return f"{os.cpu_count()} processors"
