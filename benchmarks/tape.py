"""What one recorded operation costs in Python."""

from __future__ import annotations

import numpy as np

from minidl import Tensor

from .timing import seconds, shown

TARGET = 10e-6


def overhead(length: int, repeats: int) -> str:
    """A chain of y = y * a + b on shape (1,), forward and backward, less the bare NumPy calls, per operation."""
    a, b = np.array([1.0001]), np.array([0.001])

    def taped() -> None:
        x, ta, tb = Tensor(np.ones(1)), Tensor(a), Tensor(b)
        y = x
        for _ in range(length):
            y = y * ta + tb
        y.backward()

    def bare() -> None:
        y, values = np.ones(1), []
        for _ in range(length):
            values.append(y)
            y = y * a + b
        g, ga, gb = np.ones(1), 0, 0
        for value in reversed(values):
            gb, ga, g = gb + g, ga + g * value, g * a

    each = [(seconds(taped) - seconds(bare)) / (2 * length) for _ in range(repeats)]
    median, low, high = np.median(each), *np.quantile(each, [0.25, 0.75])
    state = "met" if high <= TARGET else "missed" if low > TARGET else "undecided"
    return (
        f"{'tape: overhead of an operation':<34} minidl {shown(median)} (quartiles {shown(low)}..{shown(high)}, "
        f"{repeats} runs)   target {shown(TARGET)}: {state}"
    )
