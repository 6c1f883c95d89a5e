"""One tape, three backward passes: record, order, walk.

A Tensor remembers the operation and the inputs that made it. A pass is a function from (node, signal from above) to
one share of the signal for each input; `Tape.walk` sends a seed from the end to the sources with it. Gradient,
relevance and multiplier are three such functions. Nothing here knows an operation, and no operation knows the walk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import local
from typing import Any

import numpy as np

from . import backend

__all__ = ["BY_TABLE", "NoRule", "Op", "Tape", "Tensor", "grad", "no_grad", "raw", "record", "replay"]


class _State(local):
    recording = True
    layer: Scope | None = None


class Scope:
    """The module call during which a node was recorded: its path in the model and the module itself."""

    __slots__ = ("module", "path")

    def __init__(self, path: str, module: Any):
        self.path, self.module = path, module

    def __str__(self) -> str:
        return f"{self.path} {type(self.module).__name__}".strip()


STATE = _State()
BY_TABLE = "by table"  # stands where an operation leaves its rule to the user's choice
_UPDATES = [0]  # in-place updates of parameters so far, see `touch`


class NoRule(TypeError):
    """An operation has no rule for the pass that reached it."""


class Op:
    """An operation: forward and its rules for the three passes, one under the other.

    forward(*inputs)               arrays -> array
    gradient(g, y, *inputs)        one share for each input (or None, or a function that returns it)
    relevance(r, y, *inputs)       likewise, then what the rule kept: stabiliser, undefined; None: no rule here
    multiplier(m, y, *inputs)      likewise, on pairs (m+, m-) and on values beside their references
    parts(y, *inputs)              the output's positive and negative difference from the reference
    simple(*inputs)                the composed function that a fused operation equals: its twin

    A rule that is None is missing; BY_TABLE means that the user's table chooses it. Gradient rules are written with
    plain operators and our own functions, so that they run on arrays and, for second derivatives, on tensors;
    a `fused` operation has array rules only and is replaced by its twin there. `advice` is what to do instead of
    explaining the operation; its twin is then used only on request.
    """

    fused = False
    asks_live = False  # its relevance rule wants to know which inputs depend on what is explained
    gradient = relevance = multiplier = parts = simple = advice = None

    def __repr__(self) -> str:
        return type(self).__name__


class Tensor:
    """An array that remembers how it was made.

    data: a floating-point array (lists and numbers are converted to float64; integer arrays are refused).
    """

    __slots__ = ("__weakref__", "data", "grad", "inputs", "layer", "op", "stamp")
    __array_ufunc__ = None  # so that array * Tensor calls Tensor.__rmul__

    def __init__(self, data: Any, op: Op | None = None, inputs: tuple = (), layer: Scope | None = None):
        if op is None:
            data = _as_data(data)
        self.data, self.op, self.inputs, self.layer = data, op, inputs, layer
        self.grad = None
        self.stamp = 0 if op is None else _UPDATES[0]

    shape = property(lambda self: self.data.shape, doc="Shape of the data.")
    ndim = property(lambda self: self.data.ndim, doc="Number of axes.")
    size = property(lambda self: self.data.size, doc="Number of elements.")
    dtype = property(lambda self: self.data.dtype, doc="Type of the elements.")

    def item(self) -> float:
        """The only element as a Python number."""
        return self.data.item()

    def backward(self, upstream: Any = None) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf it was made from.

        upstream: gradient from above, of this tensor's shape; may be left out for a single number.
        """
        if self.op is None:
            raise ValueError("backward: this tensor has no tape; it is a leaf, or was computed in no_grad")
        seed = raw(_seed(self, upstream, "backward"))
        found = Tape(self, None, "gradient").walk(seed, gradient_on_arrays)
        for leaf, share in zip(found, _own(found.values(), seed), strict=True):
            leaf.grad = share if leaf.grad is None else leaf.grad + share

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "assignment into a tensor would break its tape; build a new one with where(mask, value, x) or concat, "
            "or set a parameter as a whole: layer.W = array"
        )

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("a Tensor is not an array: use its .data for the numbers, or minidl's own functions")

    def __len__(self) -> int:
        return len(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def __bool__(self) -> bool:
        return bool(self.data)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        made = f", made by {self.op!r}" if self.op else ""
        return f"Tensor({np.array2string(backend.to_numpy(self.data), precision=4, threshold=20)}{made})"

    def _repr_svg_(self) -> str | None:
        from .draw import LIMIT, to_svg

        return to_svg(self) if len(topological(self, lambda n: n.inputs)) <= LIMIT else None


def _as_data(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.data
    if not backend.is_array(data) and not isinstance(data, np.generic):
        data = np.asarray(data)
        if data.dtype.kind in "iub":  # a list of Python numbers
            data = data.astype(np.float64)
    if data.dtype.kind != "f":
        raise TypeError(f"data of a Tensor must be floating point, got {data.dtype}; use .astype('float64')")
    return data


def raw(x: Any) -> Any:
    """The array inside a Tensor, or x itself."""
    return x.data if isinstance(x, Tensor) else x


def record(op: Op, *inputs: Any) -> Any:
    """Run op on the inputs' arrays; with any Tensor among them, remember it and return a Tensor, else the array."""
    values = [i.data if isinstance(i, Tensor) else i for i in inputs]
    try:
        y = op.forward(*values)
    except TypeError:
        backend.refuse_mixture(repr(op), (*values, *vars(op).values()))  # its constants too
        raise
    for i in inputs:
        if isinstance(i, Tensor):
            return Tensor(y, op, inputs, STATE.layer) if STATE.recording else Tensor(y)
    return y


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Inside the block operations compute, and record nothing."""
    before, STATE.recording = STATE.recording, False
    try:
        yield
    finally:
        STATE.recording = before


@contextlib.contextmanager
def scope(layer: Scope | None) -> Iterator[None]:
    """Nodes recorded inside the block carry this layer."""
    before, STATE.layer = STATE.layer, layer
    try:
        yield
    finally:
        STATE.layer = before


def touch(leaves: Iterable[Tensor]) -> None:
    """Say that the data of these leaves was changed in place: tapes that read the old numbers refuse to go backward."""
    _UPDATES[0] += 1
    for leaf in leaves:
        leaf.stamp = _UPDATES[0]


def topological(end: Tensor, inputs_of: Callable[[Tensor], Sequence[Any]]) -> list[Tensor]:
    """Every node above the leaves and the leaves, end first, each once and after all of its consumers."""
    waiting, below, stack = {end: 0}, {}, [end]
    while stack:
        node = stack.pop()
        below[node] = tensors = [i for i in inputs_of(node) if isinstance(i, Tensor)]
        for i in tensors:
            if i in waiting:
                waiting[i] += 1
            else:
                waiting[i] = 1
                stack.append(i)
    ready, order = [end], []
    while ready:
        node = ready.pop()
        order.append(node)
        for i in below[node]:
            waiting[i] -= 1
            if not waiting[i]:
                ready.append(i)
    return order


class Tape:
    """The nodes between sources and end, ready for one pass.

    end: the tensor to start from. sources: leaves or inner nodes to reach; None means every leaf.
    pass_name: which rule of the operations the pass uses. expand: also replace operations that advise against it.
    A fused operation without that rule is expanded: its twin is recorded onto the same inputs.
    """

    def __init__(
        self,
        end: Tensor,
        sources: Iterable[Tensor] | None,
        pass_name: str,
        *,
        on_tensors: bool = False,
        expand: bool = False,
    ):
        self.end, self.pass_name, self.on_tensors, self.expand = end, pass_name, on_tensors, expand
        self.sources = None if sources is None else frozenset(sources)
        self.twin: dict[Tensor, Tensor] = {}
        self.order = topological(end, self.inputs_of)
        self.live, self.stops = self._reaching()

    def _reaching(self) -> tuple[set[Tensor], set[Tensor]]:
        """The nodes that depend on a source, and the sources that depend on no other: there the walk stops."""
        if self.sources is None:
            return set(self.order), {node for node in self.order if node.op is None}
        live, stops = set(self.sources), set()
        for node in reversed(self.order):
            if any(isinstance(i, Tensor) and i in live for i in self.inputs_of(node)):
                live.add(node)
            elif node in live:
                stops.add(node)
        return live, stops

    def inputs_of(self, node: Tensor) -> Sequence[Any]:
        """The node's inputs for this pass: its twin where it has no rule of its own."""
        op = node.op
        if op is None or not (op.fused if self.on_tensors else getattr(op, self.pass_name) is None):
            return node.inputs
        if node not in self.twin:
            if not self._depends(node):
                return ()
            if op.simple is None or (op.advice and not self.expand and not self.on_tensors):
                raise NoRule(no_rule(node, self.pass_name, op.advice))
            recording, STATE.recording = STATE.recording, True
            try:
                with scope(node.layer):
                    self.twin[node] = op.simple(*node.inputs)
            finally:
                STATE.recording = recording
        return (self.twin[node],)

    def _depends(self, node: Tensor) -> bool:
        """Whether a source lies below the node; asked only about nodes without a rule, so a search each is fine."""
        if self.sources is None:
            return True
        seen, stack = set(), [node]
        while stack:
            for i in stack.pop().inputs:
                if isinstance(i, Tensor) and i not in seen:
                    if i in self.sources:
                        return True
                    seen.add(i)
                    stack.append(i)
        return False

    def walk(
        self,
        seed: Any,
        rule: Callable[[Tensor, Any], Sequence[Any]],
        absorb: Callable[[Tensor, int, Any], None] | None = None,
    ) -> dict[Tensor, Any]:
        """Send the seed from the end to the sources; return the signal that arrived at each.

        rule(node, signal): one share for each input; a share may be None or a function called only if it is wanted.
        absorb(node, k, share): told of shares for inputs that are not live, and of what the rule kept itself
        (k = number of inputs and up), before any broadcasting is undone.
        """
        flow, ours, arrived = {self.end: seed}, set(), {}
        live, stops, sources = self.live, self.stops, self.sources or ()
        for node in self.order:
            signal = flow.pop(node, None)
            if signal is None or node not in live:
                continue
            if node in stops:
                arrived[node] = signal
                continue
            if node in sources:
                arrived[node] = signal
            if node.stamp < _UPDATES[0]:
                _refuse_stale(node)
            if node in self.twin:
                inputs, shares = (self.twin[node],), (signal,)
            else:
                inputs, shares = node.inputs, rule(node, signal)
                if shares is None:
                    raise NoRule(no_rule(node, self.pass_name, node.op.advice))
            for k, share in enumerate(shares):
                if share is None:
                    continue
                i = inputs[k] if k < len(inputs) else None
                if not isinstance(i, Tensor) or i not in live:
                    if absorb is not None:
                        absorb(node, k, share() if callable(share) else share)
                    continue
                if callable(share):
                    share = share()
                if share.shape != i.data.shape:
                    share = unbroadcast(share, i.data.shape)
                have = flow.get(i)
                if have is None:
                    flow[i] = share
                elif i in ours:  # the sum is the walk's own array: nobody else sees it change
                    have += share
                    flow[i] = have
                else:
                    flow[i] = have + share
                    ours.add(i)
        return arrived


def _refuse_stale(node: Tensor) -> None:
    """Rules read parameters at backward time: an update in between would silently give a wrong signal."""
    stack = list(node.inputs)
    while stack:
        i = stack.pop()
        if not isinstance(i, Tensor):
            continue
        if i.stamp > node.stamp:
            raise RuntimeError(
                f"a parameter changed after {node.op!r} used it, so this tape is out of date: "
                "compute the output again before going backward"
            )
        if i.op is not None and getattr(i.data, "base", None) is not None:
            stack += i.inputs  # a view, perhaps of a parameter


def no_rule(node: Tensor, pass_name: str, advice: str | None) -> str:
    """The sentence that names the operation, the pass and the layer."""
    where = f" in layer {node.layer}" if node.layer is not None else ""
    return f"{node.op!r}{where} has no {pass_name} rule" + (f": {advice}" if advice else "")


def unbroadcast(signal: Any, shape: tuple[int, ...]) -> Any:
    """Sum over the axes along which an input of that shape was broadcast. The only place where this is done."""
    lead = signal.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(k + lead for k, n in enumerate(shape) if n == 1 and signal.shape[k + lead] != 1)
    if axes:
        signal = signal.sum(axes, keepdims=True)
    return signal.reshape(shape)


def replay(tape: Tape, values: dict[Tensor, Any]) -> dict[Tensor, Any]:
    """The values that the tape's nodes take when its sources take others. values: {source: array}."""
    found = dict(values)
    for node in reversed(tape.order):
        if node in found:
            continue
        if node not in tape.live or node.op is None:
            found[node] = node.data
        elif node in tape.twin:
            found[node] = found[tape.twin[node]]
        else:
            found[node] = node.op.forward(*[found[i] if isinstance(i, Tensor) else i for i in node.inputs])
    return found


def gradient_on_arrays(node: Tensor, g: Any) -> Sequence[Any]:
    return node.op.gradient(g, node.data, *[raw(i) for i in node.inputs])


def _seed(y: Tensor, upstream: Any, caller: str) -> Any:
    if upstream is None:
        if y.data.size != 1:
            raise ValueError(
                f"{caller} of {y.data.size} numbers (shape {y.shape}) needs upstream=, an array of that shape; "
                "or reduce y to one number, for example with .sum()"
            )
        return backend.xp(y.data).ones_like(y.data)
    if not isinstance(upstream, Tensor) and not backend.is_array(upstream):
        upstream = backend.xp(y.data).asarray(upstream, y.dtype)
    if raw(upstream).shape != y.shape:
        raise ValueError(f"{caller}: upstream has shape {raw(upstream).shape}, expected that of y, {y.shape}")
    backend.refuse_mixture(caller, (y.data, raw(upstream)))
    return upstream


def _own(shares: Iterable[Any], seed: Any) -> list[Any]:
    """The shares, copied where two, or one and the seed, are the same memory, or one element stands for many."""
    seen, result = {id(_memory(seed))}, []
    for share in shares:
        memory = share if getattr(share, "base", None) is None else _memory(share)
        if (id(memory) in seen or memory.size < share.size) and backend.is_array(share):
            share = share.copy()
        seen.add(id(memory))
        result.append(share)
    return result


def _memory(array: Any) -> Any:
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def grad(y: Tensor, inputs: Any, upstream: Any = None, create_graph: bool = False) -> Any:
    """Gradients of y with respect to the inputs: dy/dx summed with the weights `upstream`.

    y: a tensor; of one number, or upstream must have its shape. inputs: a Tensor or a sequence of them (leaves or
    inner nodes). Returns an array for each (a Tensor with create_graph=True, to be differentiated again), of its
    shape and dtype; zeros where y does not depend on it. A single input gives a single result.
    Raises ValueError for several numbers without upstream, or an upstream of another shape.
    Source: lrp:eq53
    """
    if not isinstance(y, Tensor):
        raise TypeError(f"grad: y must be a Tensor, got {type(y).__name__}")
    wanted = [inputs] if (single := isinstance(inputs, Tensor)) else list(inputs)
    for k, i in enumerate(wanted):
        if not isinstance(i, Tensor):
            raise TypeError(f"grad: inputs[{k}] must be a Tensor, got {type(i).__name__}")
    seed = _seed(y, upstream, "grad")
    tape = Tape(y, wanted, "gradient", on_tensors=create_graph)
    if create_graph:
        seed = seed if isinstance(seed, Tensor) else Tensor(seed)
        found = tape.walk(seed, lambda node, g: node.op.gradient(g, node, *node.inputs))
        result = [found[i] if i in found else Tensor(backend.xp(i.data).zeros_like(i.data)) for i in wanted]
    else:
        seed = raw(seed)
        found = tape.walk(seed, gradient_on_arrays)
        zeros = [found[i] if i in found else backend.xp(i.data).zeros_like(i.data) for i in wanted]
        result = _own(zeros, seed)
    return result[0] if single else result
