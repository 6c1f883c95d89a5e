"""One run of a chapter: its parameters, the state it resumes from, what it recorded."""

import ast
import functools
import hashlib
import io
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import weakref
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl import backend as backends
from minidl.report.declaration import PACKAGE
from minidl.report.store import write_atomic

SCALES = ("smoke", "quick", "full")
BACKENDS = ("numpy", "cupy")
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
NAME = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-]")
MEANINGLESS = "smoke scale: sizes are cut until the numbers mean nothing"
_current: list["Run"] = []


class Run:
    """What a chapter knows of its run: name, scale, seed, backend, out (a folder or None), versions, results.

    Made by `chapter`, not by hand.
    """

    def __init__(self, name: str, scale: str, seed: int, backend: str, out: Path | None, source: Path | None):
        self.name, self.scale, self.seed, self.backend = name, scale, seed, backend
        self.out, self.source = out, source
        self.results: dict[str, dict] = {}
        self.versions = versions(backend)
        self._started = time.perf_counter()
        self._earlier = 0.0

    def pick(self, *, smoke: Any, quick: Any, full: Any) -> Any:
        """The argument of this run's scale."""
        return {"smoke": smoke, "quick": quick, "full": full}[self.scale]

    @property
    def seconds(self) -> float:
        """Seconds since the chapter began, with those that an earlier, interrupted run spent on steps now loaded."""
        return self._earlier + time.perf_counter() - self._started

    @property
    def state(self) -> Path:
        """The folder for what a killed run resumes from (checkpoints of `fit`, steps of `cached`).

        It belongs to this chapter, scale, seed and backend, and is emptied when the chapter's code, the library or
        NumPy has changed: a resumed run must equal an uninterrupted one. Without an out folder, and in a notebook,
        whose cells may change between two calls, it is a temporary folder.
        """
        if not self._resumable:
            return self._temporary_state
        self._state_folder.mkdir(parents=True, exist_ok=True)
        return self._state_folder

    @functools.cached_property
    def _temporary_state(self) -> Path:
        folder = tempfile.mkdtemp(prefix="minidl-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    @property
    def _resumable(self) -> bool:
        return self.out is not None and self.source is not None

    @property
    def _state_folder(self) -> Path:
        return self.out / "state" / self.name / f"{self.scale}-seed{self.seed}-{self.backend}"

    def prepare_state(self, fresh: bool) -> None:
        """Forget the state of an earlier run if asked to, or if it comes from other code."""
        if not self._resumable:
            return
        folder, key = self._state_folder, self._key
        if folder.is_dir():
            try:
                changed = (folder / "code.txt").read_text() != key
            except OSError:
                changed = True
            if changed and not fresh:
                print(f"{self.name}: the code has changed since the saved state was made; all is computed again")
            if changed or fresh:
                shutil.rmtree(folder)
        write_atomic(folder / "code.txt", key)

    @functools.cached_property
    def _key(self) -> str:
        """A fingerprint of the code whose state may be resumed. Prose and comments of the chapter do not count."""
        code = hashlib.sha256(ast.dump(ast.parse(self.source.read_text(encoding="utf-8"))).encode())
        for path in sorted(PACKAGE.rglob("*.py")):
            # The report and the command line print results; they do not make them.
            if path.relative_to(PACKAGE).parts[0] not in ("report", "chapters", "cli.py", "concordance.py"):
                code.update(path.read_bytes())
        return f"minidl {minidl.__version__}, numpy {np.__version__}, code {code.hexdigest()}\n"

    def cached(self, name: str, function: Callable[[], Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """The arrays that function() returns, computed once: a run after a kill loads them, bit for bit.

        name: letters, digits, `_ . -`, one for each step. In a notebook function() is called each time.
        Raises ValueError for another name, TypeError if function() does not return named arrays of numbers or strings.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"a cached step is named by letters, digits, '_', '.' and '-', got {name!r}")
        path = self.state / f"{name}.npz"
        if path.exists() and self._resumable:
            try:
                arrays, seconds = _unpack(path.read_bytes())
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                print(f"{self.name}: the saved step {name!r} is damaged ({error}); it is computed again")
            else:
                self._earlier += seconds
                print(f"{self.name}: {name!r} resumed from the saved state")
                return arrays
        started = time.perf_counter()
        packed = _pack(name, function(), started)
        if self._resumable:
            write_atomic(path, packed)
        # Return what a resumed run would load, memory layout included: BLAS sums other layouts in another order.
        return _unpack(packed)[0]


def _pack(name: str, arrays: Mapping[str, Any], started: float) -> bytes:
    if not isinstance(arrays, Mapping):
        raise TypeError(f"the cached step {name!r} must return a dict of arrays, got {type(arrays).__name__}")
    members = {}
    for key, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise TypeError(f"the cached step {name!r} must return arrays of numbers or strings, {key!r} holds objects")
        members[f"array.{key}"] = array
    buffer = io.BytesIO()
    np.savez(buffer, seconds=np.float64(time.perf_counter() - started), **members)
    return buffer.getvalue()


def _unpack(packed: bytes) -> tuple[dict[str, np.ndarray], float]:
    with np.load(io.BytesIO(packed), allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("not an npz file")
        return {key.removeprefix("array."): file[key] for key in file.files if key != "seconds"}, float(file["seconds"])


def versions(backend: str = "numpy") -> dict[str, str]:
    """The versions that a result depends on: python, numpy, minidl, with the cupy backend cupy, and the platform."""
    found = {"python": platform.python_version(), "numpy": np.__version__, "minidl": minidl.__version__}
    if backend == "cupy":
        found["cupy"] = backends.load("cupy").__version__
    return found | {"platform": f"{platform.system()}-{platform.machine()}"}


def chapter(
    name: str,
    *,
    minutes: float,
    law: str = "",
    data: Mapping[str, Sequence[str]] | None = None,
    out: str | Path | None = None,
) -> Run:
    """Declare the chapter that is running, and learn how it is to run.

    name: that of its file; minutes to read; the law it obeys, in words; data: {scale: names of data sets} that are not
    part of the package. These arguments must be literals: they are also read without running the chapter.
    Scale, seed and backend come from MINIDL_SCALE, MINIDL_SEED, MINIDL_BACKEND (quick, 0, numpy) as `minidl reproduce`
    sets them; results go to out or MINIDL_OUT, and stay in memory if neither is given.
    Raises ValueError for a bad name or parameter, BackendError if the backend is not there, and FileNotFoundError, with
    the remedy, for missing data.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"a chapter is named like its file, by letters, digits and '_', got {name!r}")
    scale = _one_of("MINIDL_SCALE", "quick", SCALES)
    backend = _one_of("MINIDL_BACKEND", "numpy", BACKENDS)
    seed = os.environ.get("MINIDL_SEED", "0")
    if not (seed.isascii() and seed.isdigit()):
        raise ValueError(f"MINIDL_SEED must be a whole number from 0, got {seed!r}")
    folder = out or os.environ.get("MINIDL_OUT")
    file = sys._getframe(1).f_globals.get("__file__")
    out = Path(folder).absolute() if folder else None
    run = Run(name, scale, int(seed), backend, out, Path(file).resolve() if file else None)
    meaning = f" ({MEANINGLESS})" if scale == "smoke" else ""
    print(f"chapter {name}, scale {scale}, seed {run.seed}, backend {backend}{meaning}")
    if not any(os.environ.get(variable) == "1" for variable in THREAD_VARIABLES):
        print("BLAS threads are not fixed (OPENBLAS_NUM_THREADS=1): the last digits may differ from run to run")
    _refuse_missing_data((data or {}).get(scale, ()))
    run.prepare_state(fresh=os.environ.get("MINIDL_FRESH") == "1")
    _current[:] = [run]
    _let_notebooks_draw()
    return run


def _let_notebooks_draw() -> None:
    """In a notebook a figure that ends a cell is drawn only once pyplot has chosen its backend; choose it now."""
    if "IPython" in sys.modules:
        from matplotlib import pyplot as plt

        plt.switch_backend(plt.get_backend())


def current() -> Run:
    """The run that `chapter` declared last. Raises RuntimeError if there is none."""
    if not _current:
        raise RuntimeError("no chapter is running: call report.chapter(name, minutes=...) first")
    return _current[0]


def running() -> Run | None:
    """The run that `chapter` declared last, None if there is none."""
    return _current[0] if _current else None


def _one_of(variable: str, default: str, allowed: tuple[str, ...]) -> str:
    value = os.environ.get(variable) or default
    if value not in allowed:
        raise ValueError(f"{variable} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def _refuse_missing_data(names: Sequence[str]) -> None:
    if names:
        from minidl.data import registry

        for name in names:
            if sentence := registry.missing(name):
                raise FileNotFoundError(sentence)
