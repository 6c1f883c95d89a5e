"""Six small regressions of the UCI repository, with the twenty splits on which methods are compared; and a made one.

The grids are those of the experiments with dropout: https://github.com/yaringal/DropoutUncertaintyExps, files
dropout_rates.txt, tau_values.txt, n_hidden.txt and n_epochs.txt of each data set.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..randomness import generator
from . import download as net
from .errors import DataError

MIRRORS = ("https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/master/UCI_Datasets/",)
SPLITS, TRAINING = 20, 0.9
NAME = "data.txt"
DROPOUT, HIDDEN, EPOCHS = (0.005, 0.01, 0.05, 0.1), 50, 40  # the same for all six


class Table(NamedTuple):
    """A data set's one file, as it is delivered: rows, columns (the last is the target), bytes and sha256.

    precisions: the grid of tau, in one over the square of the target's unit.
    """

    rows: int
    columns: int
    size: int
    sha256: str
    precisions: tuple[float, ...] = ()


TABLES = {
    "concrete": Table(
        1030, 9, 57858, "43d290fd2c2a399ad7e62c45cab5337ba94ece69ebdcf5875aa668cb886243de", (0.025, 0.05, 0.075)
    ),
    "energy": Table(
        768, 9, 35309, "7f8bf024cea437267d56be99b7af7bb3faebec8a7bccfbb20d06d52d9372a950", (0.25, 0.5, 0.75)
    ),
    "kin8nm": Table(
        8192, 9, 1187840, "a694ce0c7a21390f2bd2a205c36f2482cd974637a207038696716e22f3bbe810", (150.0, 200.0, 250.0)
    ),
    "power-plant": Table(
        9568, 5, 308680, "daebd20c408dfc5c4979604f240e891be162c3a5d00d662380aa669044a1fb31", (0.05, 0.1, 0.15)
    ),
    "wine-quality-red": Table(
        1599, 12, 84027, "3ba41eaf4ab562088cf47b5c9dca2b4de2a330c3ee38a7920b4527a09574d5c1", (2.5, 3.0, 3.5)
    ),
    "yacht": Table(
        308, 7, 11487, "00dfecc0fc01ddd4c90b558a3ac11b246df8ebcfea130724223475a9a67f0ea1", (0.25, 0.5, 0.75)
    ),
}


class Regression(NamedTuple):
    """Rows of a regression: x float64 (N, D), y float64 (N, 1), in the units of the origin."""

    x: np.ndarray
    y: np.ndarray


def uci(name: str, root: str | os.PathLike[str] | None = None, mirrors: Sequence[str] = MIRRORS) -> Regression:
    """One of the six regressions: concrete, energy, kin8nm, power-plant, wine-quality-red, yacht.

    root: a folder with one folder a data set, each with its data.txt, plain or compressed with gzip; or a folder that
    holds such a folder uci/. Without it, $MINIDL_DATA/uci if there is one, else a cache into which the file is
    downloaded when it is missing. mirrors: addresses of folders like the origin's.
    Raises ValueError for another name, DataError if the file is missing, damaged or another one, or cannot be
    downloaded.
    """
    import gzip

    table = _known(name)
    path = fetch(name, root, mirrors)
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if found != table.sha256:
        raise DataError(
            path,
            f"the data has sha256 {found}",
            f"that of {name}, which is {table.sha256}",
            "delete the file and fetch it again",
        )
    rows = np.array([line.split() for line in raw.decode().splitlines() if line.strip()], float)
    return Regression(rows[:, :-1], rows[:, -1:])


def splits(n: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The twenty splits of n rows into nine tenths for training and a tenth for testing that published results use.

    They are drawn by NumPy's old generator from the seed 1, so that no file of indices is needed.
    Yields pairs (training rows, test rows) of ints.
    """
    rng = np.random.RandomState(1)
    size = round(n * TRAINING)
    for _ in range(SPLITS):
        order = rng.choice(n, n, replace=False)
        yield order[:size], order[size:]


def arm(n: int = 1000, rng: Any = 0, noise: float = 0.05) -> Regression:
    """How far the tip of an arm with eight joints is from a point, given the angles: a made regression like kin8nm.

    Eight links of length 1/8 lie in a plane, each turned against the one before by an angle from -1 to 1 (radians),
    uniformly drawn; the point is (0.1, 0.1), the shoulder (0, 0). noise: the standard deviation of what is added to the
    distance, in the unit of the arm's length; the true precision is 1 / noise^2.
    rng: a Generator or an int. Returns x (n, 8), y (n, 1). Raises ValueError for n below 1 or noise below 0.
    """
    if n < 1 or noise < 0:
        raise ValueError(f"arm: n must be at least 1 and noise at least 0, got {n!r} and {noise!r}")
    rng = generator(rng, "arm")
    angles = rng.uniform(-1, 1, (n, 8))
    heading = angles.cumsum(1)
    across, up = np.cos(heading).mean(1) - 0.1, np.sin(heading).mean(1) - 0.1
    return Regression(angles, (np.hypot(across, up) + noise * rng.standard_normal(n))[:, None])


def fetch(name: str, root: str | os.PathLike[str] | None = None, mirrors: Sequence[str] = MIRRORS) -> Path:
    """The file of a data set; downloads it into the cache if no folder was named. Arguments and errors as for `uci`."""
    table, folder = _known(name), net.local_folder("uci", root)
    if folder is not None:
        return _find(folder / name)
    file = net.RemoteFile(NAME, table.size, table.sha256)
    folder, places = net.cache_path() / "uci" / name, [f"{mirror.rstrip('/')}/{name}/data" for mirror in mirrors]
    return net.download(file, folder, places)


def fetch_all() -> Path:
    """Have all six data sets on this machine; returns the folder of their folders. Errors as for `uci`."""
    return [fetch(name).parent.parent for name in TABLES][-1]


def missing() -> str | None:
    """None if all six can be read without a network, else a sentence that says what to do."""
    try:
        folder = net.local_folder("uci") or net.cache_path() / "uci"
        for name in TABLES:
            _find(folder / name)
    except DataError as error:
        return str(error)
    return None


def _find(folder: Path) -> Path:
    for path in (folder / NAME, folder / f"{NAME}.gz"):
        if path.is_file():
            return path
    raise DataError(
        folder / NAME,
        "there is no such file",
        "the data set's table, plain or compressed with gzip",
        "fetch it with 'minidl data fetch uci', or name the folder that holds uci/ in MINIDL_DATA",
    )


def _known(name: str) -> Table:
    if name not in TABLES:
        raise ValueError(f"uci: name must be one of {', '.join(TABLES)}, got {name!r}")
    return TABLES[name]
