"""Where a rule is chosen: an ordered table of (key, rule), the first match wins."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from ..ops.families import Linear
from ..tape import NoRule, Scope, Tape, Tensor


class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()


class Table:
    """Rules by layer. A key is a layer class, a glob on the layer's path, or ANY.

    A node matches by its own layer, or by the layer whose linear operation feeds it: seen through pooling, moves and
    normalisation, and where several feed it (a residual sum), the first of them. So (Conv2d, rescale()) takes the
    ReLU behind a convolution too.
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
            if key is not ANY and not isinstance(key, (str, type)):
                raise TypeError(f"{self.method}: a key must be a layer class, a glob on its path or ANY, got {key!r}")
            if not isinstance(rule, kind):
                raise TypeError(f"{self.method}: {rule!r} is not one of its rules ({kind.__doc__.splitlines()[0]})")
        return tuple(rules)

    def choose(self, node: Tensor, feeder: Scope | None) -> Any:
        """The rule of the first row that matches; NoRule if none does."""
        for key, rule in self.rows:
            if key is ANY or _matches(key, node.layer) or _matches(key, feeder):
                return rule
        raise NoRule(
            f"{self.method}: no row of rules matches {node.op!r} in layer {node.layer or 'none'}; "
            "add a last row (ANY, rule)"
        )


def _matches(key: Any, layer: Scope | None) -> bool:
    if layer is None:
        return False
    return isinstance(layer.module, key) if isinstance(key, type) else fnmatchcase(layer.path, key)


def feeders(tape: Tape) -> dict[Tensor, Scope | None]:
    """For each node the layer whose linear operation feeds it."""
    fed: dict[Tensor, Scope | None] = {}
    for node in reversed(tape.order):
        if isinstance(node.op, Linear):
            fed[node] = node.layer
            continue
        for i in tape.inputs_of(node):
            if isinstance(i, Tensor) and i in fed:
                fed[node] = fed[i]
                break
    return fed
