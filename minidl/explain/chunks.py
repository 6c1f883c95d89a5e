"""Any method, some rows at a time: memory stays that of a chunk, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from ..backend import is_array, xp
from ..tape import Tensor, raw
from .explanation import Explanation
from .target import Target, checked

SETS = {"reference": 0, "fill": 0, "roots": 1}  # options with a row for each row of x, and how many axes may count sets


def in_chunks(
    method: Callable[..., Explanation],
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    rows: int = 100,
    progress: bool = False,
    **options: Any,
) -> Explanation:
    """method(model, x, target, **options) in chunks of so many rows, joined to one Explanation.

    Cut with x are a target of ints (N,) or weights (N, K); a `reference` or `fill` with a row each, also under an
    `axis` of several references; and `roots` with a point each, one set or several. Nothing else is: a rule or an
    option that holds something for each row is refused by the method, for it does not fit the chunks.
    progress: show a bar.
    Raises ValueError for rows below 1 and for what should have as many rows as x, and whatever the method raises.
    """
    if not isinstance(rows, (int, np.integer)) or isinstance(rows, bool) or rows < 1:
        raise ValueError(f"in_chunks: rows must be an int of at least 1, got {rows!r}")
    x, parts = checked(x, "in_chunks"), []
    starts: Any = range(0, len(x), rows)
    if progress:
        from tqdm import tqdm

        starts = tqdm(starts, desc=getattr(method, "__name__", "explain"), unit="chunk")
    for start in starts:
        at = slice(start, start + rows)
        parts.append(method(model, x[at], _cut_target(target, at, len(x)), **_cut_options(options, at, x)))
    return join(parts)


def join(parts: Sequence[Explanation]) -> Explanation:
    """Explanations of rows one after the other as one Explanation of all."""
    nothing = [part.output * 0 for part in parts]
    joined = {f.name: _joined([getattr(part, f.name) for part in parts], nothing) for f in fields(Explanation)}
    return Explanation(**joined)


def _joined(values: list[Any], nothing: list[Any]) -> Any:
    """Arrays one behind the other; tables key by key, nothing where a part lacks a key; other values as they are."""
    first = values[0]
    if first is None or isinstance(first, str):
        return first
    if not isinstance(first, Mapping):
        return xp(first).concatenate(values)
    table: dict[str, Any] = {}
    for key in dict.fromkeys(key for value in values for key in value):
        missing = [{}] * len(values) if any(isinstance(v.get(key), Mapping) for v in values) else nothing
        table[key] = _joined([v.get(key, m) for v, m in zip(values, missing, strict=True)], nothing)
    return table


def _cut_target(target: Target, at: slice, n: int) -> Target:
    if target is None or callable(target) or np.ndim(target) == 0:
        return target
    array = target if hasattr(target, "dtype") else np.asarray(target)
    return _cut(array, 0, at, n, "target") if array.ndim == 2 or array.dtype.kind in "iu" else target


def _cut_options(options: Mapping[str, Any], at: slice, x: Any) -> dict[str, Any]:
    """The options for some rows: what stands in x's place is cut if it has N rows, not if one row stands for all."""
    cut, axis = dict(options), options.get("axis")
    for name in SETS.keys() & options.keys():
        value = raw(options[name])
        if callable(value) or value is None:
            continue
        value = value if is_array(value) else np.asarray(value)
        if name == "reference" and isinstance(axis, (int, np.integer)):
            by_row, lead = value.ndim == x.ndim + 1, int(axis % max(1, value.ndim) == 0)  # where the rows are counted
        else:
            lead = value.ndim - x.ndim
            by_row = 0 <= lead <= SETS[name]
        if by_row and (value.shape[lead] != 1 or name == "roots"):
            cut[name] = _cut(value, lead, at, len(x), name)
    return cut


def _cut(value: Any, axis: int, at: slice, n: int, name: str) -> Any:
    """Some rows of an array that has n of them along an axis; the method would take another number for the chunk's."""
    if value.shape[axis] != n:
        raise ValueError(
            f"in_chunks: {name} must have a row for each of the {n} rows of x, got {value.shape[axis]} along axis "
            f"{axis} of shape {value.shape}"
        )
    return value[(slice(None),) * axis + (at,)]
