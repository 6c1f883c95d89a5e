"""The multiplier pass: the tape replayed on a reference, and walked with pairs of multipliers."""

from __future__ import annotations

from typing import Any

from ..backend import xp
from ..ops.families import Linear, Move, Winner, by_gradient
from ..ops.rowwise import by_rows
from ..ops.signals import Delta, Pair, choose, constant, split
from ..tape import BY_TABLE, Tape, Tensor, raw, replay
from .ledger import Ledger
from .lrp import refuse_live_weights
from .rules.nonlinear import NonlinearityRule, Rescale
from .table import Feeders, Table


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
        fed, chosen = Feeders(self.tape), {}
        for node in self.tape.order:
            if node in self.tape.live and node.op is not None and node not in self.tape.twin:
                if node.op.multiplier is BY_TABLE:
                    rule = table.choose(node, fed)
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

    def of_input(self, m: Pair) -> Any:
        """The one multiplier of each element of x: that of the part which its difference has, their mean at 0."""
        if m.one:
            return m.pos
        d = self.deltas[self.x].diff
        return choose(d > 0, m.pos, choose(d < 0, m.neg, (m.pos + m.neg) * 0.5))
