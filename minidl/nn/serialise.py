"""Arrays in `.npz` files without pickle: names, shapes, dtypes and sizes are checked before numbers are read."""

from __future__ import annotations

import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .module import Module, check_leaves

__all__ = ["load", "read_arrays", "read_headers", "save", "write_arrays"]

Headers = dict[str, tuple[tuple[int, ...], np.dtype]]
# what NumPy and zipfile raise on bytes that are no array, no archive, or cut short
BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, ValueError, EOFError, OSError, KeyError,
    RuntimeError, SyntaxError,
)  # fmt: skip


def save(path: str | os.PathLike, model: Module) -> None:
    """Write all parameters and buffers to an `.npz` file, in one step: the old file stays until the new one is whole.

    The model is not moved and not changed; `numpy.load` reads the file too.
    """
    write_arrays(path, model.state_dict())


def load(path: str | os.PathLike, model: Module) -> Module:
    """Set a model's parameters and buffers from a file made by `save`; returns the model.

    Names, shapes and dtypes are compared from the file's headers before anything is allocated, and nothing changes
    unless all of them fit. Raises FileNotFoundError, or ValueError that names the file and the leaf.
    """
    path = Path(path)
    wanted = {leaf: (a.shape, a.dtype) for leaf, a in model.leaves().items()}
    check_leaves(wanted, read_headers(path), f"load {path.name}")
    model.load_state_dict(read_arrays(path))
    return model


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to an uncompressed `.npz`: to a file beside it, which then takes its name."""
    path = Path(path)
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{path.name}: {name} holds Python objects, which would need pickle")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            _write_zip(file, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _write_zip(file: Any, arrays: Mapping[str, np.ndarray]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def read_headers(path: str | os.PathLike) -> Headers:
    """{name: (shape, dtype)} of an `.npz`, without reading the numbers.

    Raises ValueError in one sentence if the file is no `.npz`, is cut short, needs pickle, or declares sizes that its
    bytes do not have; FileNotFoundError if there is none.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return {_name(info): _header(archive, info) for info in archive.infolist()}
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except BROKEN as error:
        raise ValueError(f"{path} is not a readable .npz file of arrays: {error}") from error


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays of an `.npz`; headers first. Raises as `read_headers`, and ValueError for damaged bytes."""
    headers = read_headers(path)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for name in headers:
                with archive.open(f"{name}.npy") as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
                    member.read()  # to the end, where the checksum is compared
            return arrays
    except BROKEN as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _name(info: zipfile.ZipInfo) -> str:
    if not info.filename.endswith(".npy"):
        raise ValueError(f"it holds {info.filename}, which is no .npy array")
    return info.filename.removesuffix(".npy")


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        start = member.tell()
    if dtype.hasobject:
        raise ValueError(f"{_name(info)} holds Python objects, which would need pickle")
    declared = start + prod(shape) * dtype.itemsize
    if declared != info.file_size:
        raise ValueError(f"{_name(info)} declares {declared} bytes, the file holds {info.file_size}")
    return tuple(shape), dtype
