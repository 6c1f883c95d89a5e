"""Any method, some rows at a time: memory stays that of a chunk, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from ..backend import xp
from ..tape import Tensor
from .explanation import Explanation
from .target import Target


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

    What has a number or an array for each row is cut with x: a target of ints (N,) or weights (N, K), and a `reference`
    or `fill` with a row each, also under an `axis` of several references. progress: show a bar.
    Raises ValueError for rows below 1, and whatever the method raises.
    """
    if not isinstance(rows, (int, np.integer)) or isinstance(rows, bool) or rows < 1:
        raise ValueError(f"in_chunks: rows must be an int of at least 1, got {rows!r}")
    n, parts = len(x), []
    starts: Any = range(0, max(n, 1), rows)
    if progress:
        from tqdm import tqdm

        starts = tqdm(starts, desc=getattr(method, "__name__", "explain"), unit="chunk")
    for start in starts:
        at = slice(start, start + rows)
        parts.append(method(model, x[at], _cut_target(target, at, n), **_cut_options(options, at, x)))
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
    return array[at] if array.ndim == 2 or array.dtype.kind in "iu" else target


def _cut_options(options: Mapping[str, Any], at: slice, x: Any) -> dict[str, Any]:
    """The options for some rows: what stands in x's place is cut if it has N rows, not if one row stands for all."""
    cut = dict(options)
    for name in {"reference", "fill"} & options.keys():
        value, axis = options[name], options.get("axis") if name == "reference" else None
        if not hasattr(value, "shape") or value.ndim != x.ndim + (axis is not None):
            continue
        lead = 0 if axis is None else int(axis % value.ndim == 0)  # where the rows are counted
        if value.shape[lead] == len(x):
            cut[name] = value[(slice(None),) * lead + (at,)]
    return cut
