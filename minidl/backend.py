"""Where arrays live: NumPy by default, CuPy on request. The only file that imports CuPy.

Operations never ask this module where to compute: they follow their inputs (`xp`). Only code that makes new arrays
(initialisation, data, masks) asks for the current backend.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

_MODULES: dict[type, Any] = {np.ndarray: np}
_LOADED: dict[str, Any] = {"numpy": np}
_CURRENT: contextvars.ContextVar[str | None] = contextvars.ContextVar("minidl_backend", default=None)


class BackendError(RuntimeError):
    """The array module asked for is not installed, has no device, or was mixed with another one."""


def xp(*arrays: Any) -> Any:
    """The array module of the first array among the arguments; numpy if all are Python numbers."""
    for array in arrays:
        module = _MODULES.get(type(array))
        if module is not None:
            return module
    return np


def register(name: str, module: Any, array_type: type) -> None:
    """Make an array module known: its name for `use`, and the type by which `xp` recognises its arrays."""
    _LOADED[name] = module
    _MODULES[array_type] = module


def load(name: str) -> Any:
    """The array module of that name.

    Raises ValueError for an unknown name, BackendError if it is not installed or has no device.
    """
    if name in _LOADED:
        return _LOADED[name]
    if name != "cupy":
        raise ValueError(f"backend must be one of {sorted({*_LOADED, 'cupy'})}, got {name!r}")
    cupy = _import_cupy()
    if not cupy.cuda.is_available():
        raise BackendError("backend 'cupy' is installed but finds no CUDA device; use 'numpy' or check the driver")
    register("cupy", cupy, cupy.ndarray)
    return cupy


def _import_cupy() -> ModuleType:
    try:
        import cupy
    except ImportError as error:
        raise BackendError(
            "backend 'cupy' is not installed; install the extra that fits your driver: minidl[cuda12] or minidl[cuda13]"
        ) from error
    return cupy


def name() -> str:
    """The current backend's name: set by `use`, else by the variable MINIDL_BACKEND, else 'numpy'."""
    return _CURRENT.get() or os.environ.get("MINIDL_BACKEND") or "numpy"


def current() -> Any:
    """The array module in which new arrays are made."""
    return load(name())


@contextlib.contextmanager
def use(name: str) -> Iterator[Any]:
    """Make new arrays in that module inside the block: `with backend.use("cupy"):`."""
    module = load(name)
    token = _CURRENT.set(name)
    try:
        yield module
    finally:
        _CURRENT.reset(token)


def is_array(value: Any) -> bool:
    """Whether value is an array of a known module."""
    return type(value) in _MODULES or isinstance(value, np.ndarray)


def to_numpy(array: Any) -> np.ndarray:
    """A NumPy array with the same numbers; waits for the device if the array lives on one."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def to(array: Any, backend: str) -> Any:
    """The array on another backend; the same array if it is there already."""
    module = load(backend)
    if xp(array) is module:
        return array
    return module.asarray(to_numpy(array))


def refuse_mixture(what: str, values: tuple[Any, ...]) -> None:
    """Raise BackendError if the values are arrays of more than one module: the clear form of a device's TypeError."""
    modules = {m.__name__: True for m in (_MODULES.get(type(v)) for v in values) if m is not None}
    if len(modules) > 1:
        raise BackendError(
            f"{what} got arrays of {' and '.join(modules)}: move the model with model.to(...) "
            "or the data with backend.to(array, ...)"
        )
