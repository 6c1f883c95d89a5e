"""The result of every method: scores, and the account of the law that they obey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import to_numpy
from .ledger import row_sums

KINDS = ("bias", "stabiliser", "undefined")


@dataclass(frozen=True, eq=False)
class Explanation:
    """Scores for every element of the input, with what the method's law says of their sum.

    scores: shape of x. output: (N,), what was explained. reference_output: (N,), or None without a reference.
    absorbed: (N,), what leaves other than x and the rules kept; absorbed_by: {layer path: {"bias" | "stabiliser" |
    "undefined": (N,)}}. expected: (N,), what scores + absorbed must sum to, or None if the method has no law.
    residual: (N,), expected minus that sum. flow: (N,), the largest sum of |signal| met on the way: rounding errors
    are relative to it. arrived: {layer path: (N,)}, the relevance that arrived at layers which pass it on by a rule of
    the table. multipliers: shape of x, scores over differences from the reference. hypothetical: shape of x, what each
    letter of a one-hot input would do in its place. These are empty or None where a method has nothing of the kind.
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
    arrived: Mapping[str, Any] = field(default_factory=dict)
    multipliers: Any = None
    hypothetical: Any = None

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
        for kind in KINDS:
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

    def layers(self, row: int = 0) -> str:
        """The way of one row's relevance as a table, from the output down: what arrives at a layer, who keeps what.

        What a layer passes on is what arrives less what it keeps; on a way without branches that arrives at the next.
        Uses under one name (a module that calls a child twice, operations outside of modules) are added up in one line.
        """
        kinds = [k for k in KINDS if any(k in kept for kept in self.absorbed_by.values())]
        lines = [("layer", "arrives", *kinds, "passes on")]
        for path in dict.fromkeys([*self.arrived, *self.absorbed_by]):
            kept = [float(self.absorbed_by.get(path, {}).get(k, self.output * 0)[row]) for k in kinds]
            comes = float(self.arrived[path][row]) if path in self.arrived else None
            lines.append((path, comes, *kept, None if comes is None else comes - sum(kept)))
        sums = [float(self.absorbed_as(k)[row]) for k in kinds]
        lines.append(("input", float(to_numpy(self.scores[row]).sum()), *sums, None))
        cells = [["" if c is None else c if isinstance(c, str) else f"{c:.4g}" for c in line] for line in lines]
        widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
        return "\n".join(
            "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths))).rstrip()
            for line in cells
        )

    def plot(self, **options: Any) -> Any:
        """Draw the scores as heatmaps; see `minidl.explain.heatmaps.plot`."""
        from .heatmaps import plot

        return plot(self, **options)


def scores_of(explanation: Any, caller: str, name: str = "scores") -> np.ndarray:
    """The scores of an Explanation, or scores as they are, as NumPy; ValueError if some are not finite."""
    scores = to_numpy(getattr(explanation, "scores", explanation))
    if not np.isfinite(scores).all():
        raise ValueError(f"{caller}: {name} hold{'' if name[-1] == 's' else 's'} NaN or infinite values")
    return scores


def finish(
    method: str, scores: Any, output: Any, ledger: Any, expected: Any, reference_output: Any = None, **more: Any
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
        arrived=ledger.arrived,
        **more,
    )
