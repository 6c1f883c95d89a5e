"""The account of a pass: what did not arrive at the input, row by row, and how large the signals grew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import xp
from ..ops.rowwise import by_rows
from ..tape import Tensor

KEPT = ("stabiliser", "undefined")


class Ledger:
    """Absorbed shares by layer and kind, each (N,), and the flow, the largest sum of |signal| at any node."""

    def __init__(self, output: Any):
        """output: (N,), an array of the type and length that every entry will have."""
        self.n, self.zero = len(output), output * 0
        self.flow = self.zero
        self.ambiguous = ""  # a layer that absorbed something where another axis is as long as the rows' is
        self.entries: dict[str, dict[str, Any]] = {}
        self.arrived: dict[str, Any] = {}

    def absorb(self, node: Tensor, k: int, share: Any) -> None:
        """Enter a share that goes to no explained input: to a bias or constant (k < inputs), or kept by the rule."""
        kind = "bias" if k < len(node.inputs) else KEPT[k - len(node.inputs)]
        kinds = self.entries.setdefault(name_of(node), {})
        kinds[kind] = kinds.get(kind, self.zero) + self.rows(share, node)

    def meet(self, *signal: Any, size: Callable[..., Any] = abs) -> None:
        """Keep the largest sum of size(*signal) for each row."""
        if signal[0].shape[:1] == (self.n,):
            rows = by_rows(lambda *s: row_sums(size(*s)), *signal)
        else:
            rows = size(*signal).sum()
        self.flow = xp(self.flow).maximum(self.flow, rows)

    def arrive(self, node: Tensor, signal: Any) -> None:
        """Note the sum of a signal for each row, under the layer's path; `meet` is part of it."""
        if signal.shape[:1] != (self.n,):
            return self.meet(signal)
        size, rows = by_rows(lambda s: (row_sums(abs(s)), row_sums(s)), signal)
        self.flow = xp(self.flow).maximum(self.flow, size)
        name = name_of(node)
        self.arrived[name] = self.arrived[name] + rows if name in self.arrived else rows

    def rows(self, share: Any, node: Tensor) -> Any:
        """Sums of a share over all axes but the rows', before any broadcasting is undone."""
        if self.n == 1:
            return share.sum().reshape(1)
        if share.shape[:1] != (self.n,):
            share = xp(share).broadcast_to(share, node.shape)
        if share.shape[:1] != (self.n,):
            raise ValueError(
                f"{node.op!r} in layer {name_of(node)} has shape {node.shape}: its first axis is not the {self.n} rows "
                "of the input, so what it absorbs belongs to no row; keep rows on the first axis"
            )
        if self.n in node.shape[1:]:
            self.ambiguous = self.ambiguous or name_of(node)
        return row_sums(share)

    def total(self) -> Any:
        """Everything absorbed: (N,)."""
        return sum((share for kinds in self.entries.values() for share in kinds.values()), self.zero)

    def by_layer(self) -> dict[str, dict[str, Any]]:
        """{layer path: {kind: (N,)}}, without entries that are zero everywhere."""
        kept = {path: {k: s for k, s in kinds.items() if (s != 0).any()} for path, kinds in self.entries.items()}
        return {path: kinds for path, kinds in kept.items() if kinds}


def row_sums(a: Any) -> Any:
    """Sums over all axes but the first, wherever the first lies in memory: (N, ...) to (N,)."""
    return a.sum(tuple(range(1, a.ndim)))


def name_of(node: Tensor) -> str:
    """The path of the layer that recorded the node; the module's class, or the operation, where it has none."""
    if node.layer is None:
        return repr(node.op)
    return node.layer.path or type(node.layer.module).__name__
