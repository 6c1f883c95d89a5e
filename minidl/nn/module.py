"""Module: parameters are attributes that are Tensors, children are attributes that are Modules. Nothing is registered.

A call writes the module's path on every node that it records: the caller's path, a dot, and the name under which the
caller holds it. So a layer needs no name of its own, and one that is used in two places has two paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import local
from typing import Any

import numpy as np

from .. import backend
from ..randomness import generator
from ..tape import STATE, Scope, Tensor, touch

__all__ = ["Module"]


class _Watch(local):
    """Where calls are noted while `summary` runs."""

    calls: list | None = None


WATCH = _Watch()


class Module:
    """A function with parameters. Write `forward(self, x, rng=None)`; call the module itself.

        class Residual(Module):
            def __init__(self, inner):
                self.inner = inner

            def forward(self, x, rng=None):
                return x + self.inner(x, rng)

    Attributes: a Tensor that nobody computed is a parameter, a Module is a child, and so are those in a list or tuple.
    buffers: names of attributes that are arrays and belong to the state, such as running statistics.
    settings: names of attributes that `repr` shows.
    training: whether batch statistics are taken from the batch; switched by `train` and `eval`, and nothing else is.
    """

    buffers: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    training: bool = True

    def forward(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """What the module computes. x: array or Tensor; rng: passed on to the children, in the order of their paths."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, x, rng=None)")

    def __call__(self, x: Any, rng: Any = None, **more: Any) -> Any:
        """Run forward under the module's path. Returns a Tensor.

        x: Tensor or array (an array is no leaf: no gradient is computed for it). rng: a Generator or an int makes noise
        layers draw; without it the result is deterministic. more: further arguments of forward.
        """
        if rng is not None and not isinstance(rng, np.random.Generator):
            rng = generator(rng, type(self).__name__)
        above = STATE.layer
        if above is not None:
            return self.call_as(_path_below(above, self), x, rng, more)
        if not isinstance(x, Tensor) and not backend.is_array(x):
            raise TypeError(f"{type(self).__name__}: x must be an array or a Tensor, got {type(x).__name__}")
        y = self.call_as("", x, rng, more)
        return Tensor(y) if backend.is_array(y) else y

    def call_as(self, path: str, x: Any, rng: np.random.Generator | None, more: Mapping[str, Any]) -> Any:
        """Run forward under a given path."""
        before, STATE.layer = STATE.layer, Scope(path, self)
        try:
            y = self.forward(x, **more) if rng is None else self.forward(x, rng=rng, **more)
        finally:
            STATE.layer = before
        if WATCH.calls is not None:
            WATCH.calls.append((path, self, getattr(y, "shape", None)))
        return y

    def where(self) -> str:
        """The path and class of the layer that is running, for the beginning of an error's sentence."""
        layer = STATE.layer
        return str(layer) if layer is not None and layer.module is self else type(self).__name__

    # ---- what belongs to it -------------------------------------------------------------------------------------

    def children(self) -> dict[str, Module]:
        """The modules that this one holds: {name: module}; those of a list are named "list.0", "list.1", ..."""
        return {name: value for name, value in _attributes(self) if isinstance(value, Module)}

    def modules(self) -> dict[str, Module]:
        """This module at path "" and all below it, each once, under its first path."""
        found: dict[Module, str] = {}
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            path, module = stack.pop()
            if module not in found:
                found[module] = path
                stack += [(join(path, name), child) for name, child in reversed(module.children().items())]
        return {path: module for module, path in found.items()}

    def parameters(self) -> dict[str, Tensor]:
        """The distinct parameters: {path: Tensor}. One that is used twice counts once, under its first path."""
        found: dict[Tensor, str] = {}
        for path, module in self.modules().items():
            for name, value in _attributes(module):
                if isinstance(value, Tensor) and value.op is None:
                    found.setdefault(value, join(path, name))
        return {path: tensor for tensor, path in found.items()}

    def leaves(self) -> dict[str, Any]:
        """The arrays of all parameters and buffers themselves, wherever they live: {path: array}."""
        parameters = {path: p.data for path, p in self.parameters().items()}
        return parameters | {
            join(path, name): getattr(m, name) for path, m in self.modules().items() for name in m.buffers
        }

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers as NumPy arrays: {path: array}."""
        return {path: np.array(backend.to_numpy(array)) for path, array in self.leaves().items()}

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Set all parameters and buffers. Everything is checked before anything changes.

        d: {path: array} with the paths, shapes and dtypes of `state_dict`.
        Raises ValueError that names the first leaf that is missing, unexpected, or of another shape or dtype.
        """
        arrays = self.leaves()
        check_leaves(
            {path: (a.shape, a.dtype) for path, a in arrays.items()},
            {path: (a.shape, a.dtype) for path, a in _as_arrays(d, "load_state_dict").items()},
            "load_state_dict",
        )
        brought = {path: bring(d[path], array) for path, array in arrays.items()}
        for path, array in arrays.items():
            array[...] = brought[path]
        touch(self.parameters().values())

    def gather(self) -> dict[str, Any]:
        """One flat array for each dtype, of which every distinct parameter becomes a view: {dtype name: flat array}.

        Averaging, sending and copying a model are then one vector operation. The parameters stay the same Tensors.
        Asked again it returns the same arrays, until a parameter is replaced or the model is moved.
        """
        parameters = list(self.parameters().values())
        known = vars(self).get("_gathered")
        if known and len(known[1]) == len(parameters) and all(p.data is v for p, v in zip(parameters, known[1])):
            return known[0]
        sizes: dict[str, int] = {}
        for p in parameters:
            sizes[p.dtype.name] = sizes.get(p.dtype.name, 0) + p.size
        flat = {dtype: backend.xp(parameters[0].data).empty(size, dtype) for dtype, size in sizes.items()}
        used = dict.fromkeys(flat, 0)
        for p in parameters:
            start = used[p.dtype.name]
            used[p.dtype.name] = stop = start + p.size
            view = flat[p.dtype.name][start:stop].reshape(p.shape)
            view[...] = p.data
            p.data = view
        vars(self)["_gathered"] = (flat, [p.data for p in parameters])
        return flat

    # ---- changing it --------------------------------------------------------------------------------------------

    def train(self) -> Module:
        """Take batch statistics from the batch from now on, in all modules below. Returns the module."""
        return self._switch(True)

    def eval(self) -> Module:
        """Use the running statistics from now on, in all modules below. Returns the module."""
        return self._switch(False)

    def _switch(self, training: bool) -> Module:
        for module in self.modules().values():
            module.training = training
        return self

    def to(self, name: str) -> Module:
        """Move parameters, their gradients and the buffers to a backend, in place. Returns the module.

        Make optimisers afterwards: what they remember lives where the parameters were at the first step.
        """
        backend.load(name)
        for p in self.parameters().values():
            p.data = backend.to(p.data, name)
            p.grad = None if p.grad is None else backend.to(p.grad, name)
        for module in self.modules().values():
            for b in module.buffers:
                vars(module)[b] = backend.to(getattr(module, b), name)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        old = vars(self).get(name)
        if isinstance(old, Tensor) and old.op is None and value is not None:
            if not isinstance(value, Tensor):
                self._copy_into(old.data, value, name)
                touch([old])
                return
            if value.op is not None:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a parameter and cannot become a computed tensor; "
                    f"set its numbers: layer.{name} = tensor.data"
                )
        elif old is not None and name in self.buffers:
            self._copy_into(old, value, name)
            return
        object.__setattr__(self, name, value)

    def _copy_into(self, array: Any, value: Any, name: str) -> None:
        value = value if backend.is_array(value) else np.asarray(value)
        if value.dtype.kind not in "fiub":
            raise TypeError(f"{type(self).__name__}.{name} expects numbers, got {value.dtype}")
        if value.shape != array.shape:
            raise ValueError(f"{type(self).__name__}.{name} expects shape {array.shape}, got {value.shape}")
        array[...] = bring(value, array)

    def __getstate__(self) -> dict[str, Any]:
        # in a copy the views would no longer be views of the copied flat array
        return {name: value for name, value in vars(self).items() if name != "_gathered"}

    # ---- looking at it ------------------------------------------------------------------------------------------

    def summary(self, x: Any) -> str:
        """A table of the layers that x passes: path, layer, output shape, parameters. See `minidl.nn.summary`."""
        from .summary import summary

        return summary(self, x)

    def folded(self) -> Module:
        """A copy whose batch normalisations are part of the layers before them. See `minidl.nn.folding`."""
        from .folding import folded

        return folded(self)

    def __repr__(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in self.settings]
        shown += [f"{name}={child!r}" for name, child in self.children().items()]
        return f"{type(self).__name__}({', '.join(shown)})"


def join(path: str, name: str) -> str:
    """A path one step further down."""
    return f"{path}.{name}" if path else name


def _attributes(module: Module) -> Iterator[tuple[str, Any]]:
    """Names and values, those in lists and tuples one by one."""
    for name, value in vars(module).items():
        if isinstance(value, (list, tuple)):
            if name != "_gathered":
                yield from ((f"{name}.{k}", v) for k, v in enumerate(value))
        else:
            yield name, value


def _path_below(above: Scope, child: Module) -> str:
    """The path of a module called by the one above; one that its caller does not hold goes by its class."""
    if isinstance(above.module, Module):
        if child is above.module:
            return above.path
        for name, value in _attributes(above.module):
            if value is child:
                return join(above.path, name)
    return join(above.path, type(child).__name__)


def bring(value: Any, like: Any) -> Any:
    """The value in the array module of `like`."""
    m = backend.xp(like)
    return value if backend.xp(value) is m else m.asarray(backend.to_numpy(value))


def _as_arrays(d: Mapping[str, Any], caller: str) -> Mapping[str, Any]:
    """d itself; TypeError names the first value that is no array."""
    for path, value in d.items():
        if not backend.is_array(value):
            raise TypeError(f"{caller}: {path} must be an array, got {type(value).__name__}")
    return d


def check_leaves(expected: Mapping[str, tuple], came: Mapping[str, tuple], caller: str) -> None:
    """Compare {path: (shape, dtype)}; ValueError names the first leaf that differs, what came and what was expected."""
    for path, (shape, dtype) in expected.items():
        if path not in came:
            raise ValueError(f"{caller}: {path} is missing, expected {dtype} of shape {shape}")
    for path, (shape, dtype) in came.items():
        if path not in expected:
            raise ValueError(f"{caller}: {path} ({dtype} of shape {shape}) is unexpected, the model has no such leaf")
        if (tuple(shape), np.dtype(dtype)) != (tuple(expected[path][0]), np.dtype(expected[path][1])):
            raise ValueError(
                f"{caller}: {path} is {dtype} of shape {tuple(shape)}, "
                f"expected {expected[path][1]} of shape {tuple(expected[path][0])}"
            )
