"""Where a rule is chosen: an ordered table of (key, rule), the first match wins."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from ..ops.families import Linear
from ..ops.linear import MatMul
from ..tape import NoRule, Scope, Tape, Tensor


class _Word:
    """A key that is no class and no path."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


ANY, FIRST = _Word("ANY"), _Word("FIRST")


class Table:
    """Rules by layer. A key is a layer class, a glob on the layer's path, ANY, or FIRST.

    A node matches by its own layer, or by the layer whose linear operation feeds it: seen through pooling, moves and
    normalisation, and where several feed it (a residual sum), the first of them. So (Conv2d, rescale()) takes the
    ReLU behind a convolution too. FIRST matches linear operations that no other one feeds: those that read the input.
    """

    def __init__(self, rules: Any, kind: type, method: str):
        """rules: one rule, or a sequence of (key, rule). kind: the class that every rule must have."""
        self.method = method
        self.rows = ((ANY, rules),) if isinstance(rules, kind) else self._checked(rules, kind)

    def _checked(self, rules: Any, kind: type) -> tuple:
        if not isinstance(rules, (tuple, list)):
            raise TypeError(f"{self.method}: rules must be a rule or a table of (key, rule), got {rules!r}")
        for row in rules:
            if not isinstance(row, (tuple, list)) or len(row) != 2:
                raise TypeError(f"{self.method}: each row of rules must be (key, rule), got {row!r}")
            key, rule = row
            if not isinstance(key, (str, type, _Word)):
                raise TypeError(
                    f"{self.method}: a key must be a layer class, a glob on its path, ANY or FIRST, got {key!r}"
                )
            if not isinstance(rule, kind):
                raise TypeError(f"{self.method}: {rule!r} is not one of its rules ({kind.__doc__.splitlines()[0]})")
        return tuple(rules)

    def choose(self, node: Tensor, fed: Feeders) -> Any:
        """The rule of the first row that matches; NoRule if none does."""
        feeder = fed.by.get(node)
        for key, rule in self.rows:
            if key is ANY or (key is FIRST and node in fed.first) or _matches(key, node.layer) or _matches(key, feeder):
                return rule
        raise NoRule(
            f"{self.method}: no row of rules matches {node.op!r} in layer {node.layer or 'none'}; "
            "add a last row (ANY, rule)"
        )


def _matches(key: Any, layer: Scope | None) -> bool:
    if layer is None or isinstance(key, _Word):
        return False
    return isinstance(layer.module, key) if isinstance(key, type) else fnmatchcase(layer.path, key)


class Feeders:
    """by: {node: the layer whose linear operation feeds it}. first: the linear operations that none feeds."""

    def __init__(self, tape: Tape):
        self.by: dict[Tensor, Scope | None] = {}
        self.first: set[Tensor] = set()
        for node in reversed(tape.order):
            below = next((i for i in tape.inputs_of(node) if isinstance(i, Tensor) and i in self.by), None)
            if isinstance(node.op, (Linear, MatMul)):
                self.by[node] = node.layer
                if below is None:
                    self.first.add(node)
            elif below is not None:
                self.by[node] = self.by[below]
