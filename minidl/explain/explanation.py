"""The result of every method: scores, and the account of the law that they obey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import to_numpy
from .ledger import row_sums


@dataclass(frozen=True)
class Explanation:
    """Scores for every element of the input, with what the method's law says of their sum.

    scores: shape of x. output: (N,), what was explained. reference_output: (N,), or None without a reference.
    absorbed: (N,), what leaves other than x and the rules kept; absorbed_by: {layer path: {"bias" | "stabiliser" |
    "undefined": (N,)}}. expected: (N,), what scores + absorbed must sum to, or None if the method has no law.
    residual: (N,), expected minus that sum. flow: (N,), the largest sum of |signal| met on the way: rounding errors
    are relative to it.
    Source: lrp:eq1, deeplift:eq1
    """

    scores: Any
    output: Any
    method: str
    reference_output: Any = None
    absorbed: Any = None
    absorbed_by: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    expected: Any = None
    residual: Any = None
    flow: Any = None

    def absorbed_as(self, kind: str) -> np.ndarray:
        """What was absorbed as "bias", "stabiliser" or "undefined", over all layers: (N,)."""
        shares = [to_numpy(kinds[kind]) for kinds in self.absorbed_by.values() if kind in kinds]
        return sum(shares, np.zeros(len(self.output)))

    def law(self, row: int = 0) -> str:
        """The law of one row, as a sum in one line."""
        total = float(to_numpy(self.scores[row]).sum())
        if self.expected is None:
            return f"scores {total:.4g}, output {float(self.output[row]):.4g} ({self.method} promises no sum)"
        terms = [f"scores {total:.4g}"]
        for kind in ("bias", "stabiliser", "undefined"):
            if any(kind in kinds for kinds in self.absorbed_by.values()):
                terms.append(f"{kind} {self.absorbed_as(kind)[row]:.4g}")
        right = f"output {float(self.output[row]):.4g}"
        if self.reference_output is not None:
            right += f" - reference output {float(self.reference_output[row]):.4g}"
        return f"{' + '.join(terms)} = {right} (residual {abs(float(self.residual[row])):.0e})"

    def __str__(self) -> str:
        n, shown = len(self.output), 3
        lines = [f"{self.method} of {n} row{'s' if n != 1 else ''}"] if n > 1 else []
        lines += [self.law(row) for row in range(min(n, shown))]
        if n == 1 and " (" in self.method:
            lines.insert(0, self.method)
        if n > shown:
            worst = "" if self.residual is None else f", largest residual {float(abs(self.residual).max()):.0e}"
            lines.append(f"... {n - shown} more{worst}")
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw the scores as heatmaps; see `minidl.explain.heatmaps.plot`."""
        from .heatmaps import plot

        return plot(self, **options)


def finish(
    method: str, scores: Any, output: Any, ledger: Any, expected: Any, reference_output: Any = None
) -> Explanation:
    """Close the account: what was absorbed, what was expected, what is left."""
    absorbed = ledger.total()
    return Explanation(
        scores=scores,
        output=output,
        method=method,
        reference_output=reference_output,
        absorbed=absorbed,
        absorbed_by=ledger.by_layer(),
        expected=expected,
        residual=None if expected is None else expected - row_sums(scores) - absorbed,
        flow=ledger.flow,
    )
