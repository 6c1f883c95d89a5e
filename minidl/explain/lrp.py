"""Layer-wise relevance propagation: the tape walked with relevance, and an account of what was absorbed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import xp
from ..ops.families import Elementwise
from ..tape import BY_TABLE, NoRule, Tape, Tensor, no_rule, raw
from .explanation import Explanation, finish
from .ledger import Ledger
from .rules import LinearRule, epsilon
from .table import Feeders, Table
from .target import Target, trace


def lrp(
    model: Callable[[Tensor], Tensor], x: Any, target: Target = None, *, rules: Any = None, expand: bool = False
) -> Explanation:
    """Relevance of every element of x for the target: scores + what biases and rules absorb = output.

    model: a Module or any function of our operations, (N, ...) to (N, K). x: floats (N, ...). target: see `trace`.
    rules: a relevance rule, or a table ((key, rule), ...); epsilon(1e-6) if not given. expand: explain through
    operations that advise against it (softmax, batch statistics) by their parts.
    Raises NoRule where an operation has no relevance rule, TypeError and ValueError for a bad argument.
    Erratum: lrp, after eq 13: printed sum_i sum_{k: k is input for neuron k}; right: i is input for k.
    Source: lrp:eq1, lrp:eq2, lrp:eq8, lrp:eq13, lrp:eq62, lrp:alg2, lrp:eq63
    """
    table = Table(epsilon() if rules is None else rules, LinearRule, "lrp")
    traced = trace(model, x, target, "lrp")
    output = traced.output
    ledger = Ledger(output)
    scores = relevance(traced.y, traced.x, traced.y.data * traced.weights, table, ledger, expand)
    result = finish("lrp", scores, output, ledger, expected=output)
    gross = float(xp(output).finfo(output.dtype).eps) ** 0.5 * result.flow
    if ledger.ambiguous and not expand and (abs(result.residual) > gross).any():
        raise ValueError(
            f"lrp: what {ledger.ambiguous} absorbed does not fit the rows of the output, so the model does not keep "
            "the rows of x on the first axis there; keep them there, or explain one row at a time"
        )
    return result


def relevance(y: Tensor, x: Tensor, seed: Any, table: Table, ledger: Ledger, expand: bool = False) -> Any:
    """Walk from y to x with relevance, beginning with the seed (y's shape); returns the relevance of x."""
    tape = Tape(y, [x], "relevance", expand=expand)
    fed = Feeders(tape)

    def rule(node, r):
        if node.op.relevance is BY_TABLE:
            ledger.arrive(node, r)
        elif not isinstance(node.op, Elementwise):  # there relevance only passes
            ledger.meet(r)
        values = [raw(i) for i in node.inputs]
        if node.op.relevance is BY_TABLE:
            refuse_live_weights(node, tape, "relevance")
            return table.choose(node, fed)(node.op, r, node.data, *values)
        if node.op.asks_live:
            live = [_is_live(i, tape) for i in node.inputs]
            linear = node.op.linear_in(live, *values)
            if linear is not None:  # x @ W is a linear operation, and its rule is the user's choice
                return linear(table.choose(node, fed), r, node.data, *values)
            return node.op.relevance(r, node.data, *values, live=live)
        return node.op.relevance(r, node.data, *values)

    arrived = tape.walk(seed, rule, ledger.absorb)
    if y not in tape.live:  # all of it is bias
        ledger.absorb(y, 0, seed)
    scores = arrived[x] if x in arrived else x.data * 0
    ledger.meet(scores)
    return scores


def _is_live(i: Any, tape: Tape) -> bool:
    return isinstance(i, Tensor) and i in tape.live


def refuse_live_weights(node: Tensor, tape: Tape, pass_name: str) -> None:
    """Rules of linear operations take the weights as given."""
    if any(_is_live(i, tape) for i in node.inputs[1:]):
        raise NoRule(no_rule(node, pass_name, "its weights depend on the input; explain a part of the model"))
