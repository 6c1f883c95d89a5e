"""DeepLIFT: the tape walked with multipliers, against the values that it takes on a reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import is_array, xp
from ..ops.families import Linear, Move, Winner, by_gradient
from ..ops.rowwise import by_rows
from ..ops.signals import Delta, Pair, constant, split
from ..tape import BY_TABLE, Tape, Tensor, raw, replay
from .explanation import Explanation, finish
from .ledger import Ledger, row_sums
from .lrp import refuse_live_weights
from .rules import NonlinearityRule, Rescale, rescale
from .table import Table, feeders
from .target import Target, trace


def deeplift(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    reference: Any,
    rules: Any = None,
    maxima: str = "secant",
    expand: bool = False,
) -> Explanation:
    """Contributions of every element of x to the target's difference from the reference: scores = y - y0.

    model, x, target, expand: as for `lrp`. reference: a number, or an array that broadcasts to x's shape (one row
    for all, or a row each). rules: rescale() or reveal_cancel(), or a table of them, for the non-linearities;
    rescale() if not given. Biases get nothing. maxima: "secant" shares a maximum's difference among the winners of x
    and those of the reference, exactly; "gradient" sends all to the winners of x, which the text falls back on, and
    breaks the sum.
    Raises NoRule where an operation has no multiplier rule, TypeError and ValueError for a bad argument.
    Erratum: deeplift, section 3.5.2: printed m = -1 "even though dy/dh = 0"; right: there y = 1 - h, so dy/dh = -1, and
    it is the derivative of h that is 0.
    Source: deeplift:eq1, deeplift:eq3, deeplift:bias, deeplift:target-layer
    """
    table = Table(rescale() if rules is None else rules, NonlinearityRule, "deeplift")
    if maxima not in ("secant", "gradient"):
        raise ValueError(f'deeplift: maxima must be "secant" or "gradient", got {maxima!r}')
    traced = trace(model, x, target, "deeplift")
    rest = reference_for(traced.x.data, reference, "deeplift")
    multipliers = Multipliers(traced.y, traced.x, rest, table, expand, maxima)
    ledger = Ledger(traced.output)
    scores = multipliers.contributions(multipliers.walk(traced.weights, ledger), traced.x)
    output, weights = traced.output, traced.weights
    # one replayed row stands for all: broadcast before the weights of each row pick from it
    rest = row_sums(multipliers.reference[traced.y] * weights)
    method = "deeplift" if maxima == "secant" else "deeplift (maxima by gradient, which breaks the sum)"
    return finish(method, scores, output, ledger, expected=output - rest, reference_output=rest)


def reference_for(x: Any, reference: Any, method: str) -> Any:
    """The reference in x's type: one row (1, ...) where it is the same for all, else x's shape."""
    m = xp(x)
    reference = raw(reference)
    if not is_array(reference):
        reference = m.asarray(np.asarray(reference, np.float64))
    one = (1, *x.shape[1:])
    same = reference.ndim < x.ndim or reference.shape[0] == 1
    try:
        reference = m.broadcast_to(reference.astype(x.dtype), one if same else x.shape)
    except ValueError:
        raise ValueError(
            f"{method}: reference must be a number or broadcast to the shape of x, {x.shape}; got {reference.shape}"
        ) from None
    if not m.isfinite(reference).all():
        raise ValueError(f"{method}: reference holds NaN or infinite values")
    return reference


class Multipliers:
    """The multiplier pass from y to x: references of all nodes (eq 4), parts where a rule asks for them, the walk.

    Source: deeplift:eq4, deeplift:eq2
    """

    def __init__(
        self, y: Tensor, x: Tensor, reference: Any, table: Table, expand: bool = False, maxima: str = "secant"
    ):
        self.y, self.x, self.maxima = y, x, maxima
        self.tape = Tape(y, [x], "multiplier", expand=expand)
        self.reference = self._replay(reference)
        self.rules = self._choose(table)
        self.deltas: dict[Tensor, Delta] = self._compare()

    def _replay(self, reference: Any) -> dict[Tensor, Any]:
        """The tape's values on the reference: on one row, if the reference is one and no operation mixes rows."""
        tape, x = self.tape, self.x
        if len(reference) == len(x.data):
            return replay(tape, {x: reference})
        try:
            found = replay(tape, {x: reference})
        except (ValueError, IndexError):  # an operation fixes the number of rows
            found = None
        n = len(x.data)
        if found is not None and all(
            node.shape[:1] == (n,) and found[node].shape == (1, *node.shape[1:]) for node in tape.live
        ):
            return found
        return replay(tape, {x: xp(x.data).broadcast_to(reference, x.shape)})

    def _choose(self, table: Table) -> dict[Tensor, NonlinearityRule]:
        fed, chosen = feeders(self.tape), {}
        for node in self.tape.order:
            if node in self.tape.live and node.op is not None and node not in self.tape.twin:
                if node.op.multiplier is BY_TABLE:
                    rule = table.choose(node, fed.get(node))
                    chosen[node] = rule if node.op.whole_line or not rule.needs_parts else Rescale()
                if isinstance(node.op, Linear) or node in chosen:
                    refuse_live_weights(node, self.tape, "multiplier")
        return chosen

    def _compare(self) -> dict[Tensor, Delta]:
        """Each live node beside its reference, with parts where a RevealCancel above will ask for them."""
        tape, wanted = self.tape, {self.x}
        for node in tape.order:
            if node not in tape.live or node.op is None:
                continue
            if node in tape.twin:
                wanted.update({tape.twin[node]} if node in wanted else ())
            elif (node in self.rules and self.rules[node].needs_parts) or (
                node in wanted and not isinstance(node.op, Linear)  # a linear operation parts the total difference
            ):
                wanted.update(i for i in node.inputs if isinstance(i, Tensor))
        deltas = self.deltas = {}
        for node in reversed(tape.order):
            if node not in tape.live:
                continue
            delta = deltas[node] = Delta(node.data, self.reference[node])
            if node is self.x:
                delta.parts = split(delta.diff)
            elif node in tape.twin:
                delta.parts = deltas[tape.twin[node]].parts
            elif node in wanted:
                inputs = [self._delta(i, parts=True) for i in node.inputs]
                rule = self.rules.get(node)
                delta.parts = rule.parts(node.op, delta, *inputs) if rule else node.op.parts(delta, *inputs)
        if self.x not in deltas:  # y does not depend on x
            deltas[self.x] = Delta(self.x.data, self.reference[self.x])
        return deltas

    def _delta(self, i: Any, parts: bool) -> Delta:
        """An input beside its reference; what does not depend on x is its own."""
        if isinstance(i, Tensor) and i in self.deltas:
            return self.deltas[i]
        return constant(raw(i)) if parts else Delta(raw(i), raw(i))

    def walk(self, seed: Any, ledger: Ledger | None = None) -> Pair:
        """The multipliers of x for y, beginning with the weight of each of y's numbers."""
        deltas = self.deltas

        def rule(node, m):
            delta = deltas[node]
            if ledger is not None and not isinstance(node.op, Move):
                ledger.meet(m, delta, size=self._size)
            inputs = [self._delta(i, parts=False) for i in node.inputs]
            chosen = self.rules.get(node)
            if chosen is not None:
                return (by_rows(lambda m, y, x: chosen.multiplier(node.op, m, y, x, *inputs[1:]), m, delta, inputs[0]),)
            if self.maxima == "gradient" and isinstance(node.op, Winner):
                return by_gradient(node.op, m, delta, *inputs)
            return node.op.multiplier(m, delta, *inputs)

        m = self.tape.walk(Pair(seed, seed), rule).get(self.x)
        if m is None:  # y does not depend on x
            m = Pair(zero := self.x.data * 0, zero)
        if ledger is not None:
            ledger.meet(m, deltas[self.x], size=self._size)
        return m

    @staticmethod
    def _size(m: Pair, d: Delta) -> Any:
        """What the sums at a node are made of: roundings there are relative to it."""
        size = abs(d.value) + abs(d.reference)
        if m.one:
            return abs(m.pos) * size
        if d.parts is None:
            return (abs(m.pos) + abs(m.neg)) * size
        return abs(m.pos) * (size + d.parts.pos) + abs(m.neg) * (size - d.parts.neg)

    def contributions(self, m: Pair, node: Tensor) -> Any:
        """Multiplier times difference: what the node contributes to y - y0."""
        delta = self.deltas[node]
        if m.one:
            return m.pos * delta.diff
        return m.pos * delta.parts.pos + m.neg * delta.parts.neg
