"""Numbers of a report: made plain for JSON, made readable for people, set in a table of text."""

import math
from collections.abc import Sequence
from typing import Any

Plain = bool | int | float | str | None
NOT_GIVEN = "–"


def plain(value: Any) -> Plain:
    """A number, string, bool or None that JSON can hold.

    NumPy scalars are converted, NaN and infinities become strings.
    Raises TypeError for anything else (an array, a list).
    """
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a recorded value must be a number, a string or None, got {type(value).__name__}: {value!r}")


def readable(value: Plain) -> str:
    """A value as a reader wants it: four digits that count, thousands set apart, powers of ten for the very small."""
    if value is None:
        return NOT_GIVEN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        size = abs(value)
        if 1000 <= size < 1e7:
            return f"{value:,.0f}"
        return f"{value:.1e}" if 0 < size < 1e-4 else f"{value:.4g}"
    return value


def pairs(columns: Sequence[str], rows: Sequence[dict]) -> list[tuple[str, str]]:
    """(column, side) of every column that a table needs: "paper" only where some row has the paper's number."""
    needed = []
    for column in columns:
        if any(row["paper"].get(column) is not None for row in rows):
            needed.append((column, "paper"))
        needed.append((column, "ours"))
    return needed


def text_table(columns: Sequence[str], rows: Sequence[dict]) -> str:
    """The rows as lines of text, the paper's numbers beside ours."""
    shown = pairs(columns, rows)
    with_paper = {column for column, side in shown if side == "paper"}
    head = ["", *(f"{column} ({side})" if column in with_paper else column for column, side in shown)]
    lines = [head, *([row["label"], *(readable(row[side].get(column)) for column, side in shown)] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    return "\n".join("  " + _spaced(line, widths) for line in lines)


def _spaced(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The label to the left, the numbers to the right of their columns."""
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:]))
    return "  ".join([cells[0].ljust(widths[0]), *numbers]).rstrip()
