"""MNIST from its four original files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import download as net
from .errors import DataError
from .idx import read_idx

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)


@dataclass(frozen=True)
class IdxFile:
    """One file of the data set: as it is delivered, and the array that it holds (sha256 of its bytes)."""

    remote: net.RemoteFile
    shape: tuple[int, ...]
    data_sha256: str


def _file(name: str, size: int, shape: tuple[int, ...], sha256: str, data_sha256: str) -> IdxFile:
    return IdxFile(net.RemoteFile(name, size, sha256), shape, data_sha256)


FILES = (
    _file(
        "train-images-idx3-ubyte.gz",
        9912422,
        (60000, 28, 28),
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    ),
    _file(
        "train-labels-idx1-ubyte.gz",
        28881,
        (60000,),
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    ),
    _file(
        "t10k-images-idx3-ubyte.gz",
        1648877,
        (10000, 28, 28),
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    ),
    _file(
        "t10k-labels-idx1-ubyte.gz",
        4542,
        (10000,),
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ),
)


class Mnist(NamedTuple):
    """The whole of MNIST: images float32 (N, 1, 28, 28) in [0, 1], labels int64 (N,) in 0..9."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def mnist(root: str | os.PathLike[str] | None = None, mirrors: Sequence[str] = MIRRORS) -> Mnist:
    """The 60,000 training and 10,000 test images of MNIST with their labels.

    root: a folder with the four original files, or with a folder mnist/ that holds them; plain or compressed with
    gzip. Without it, $MINIDL_DATA/mnist if there is such a folder, else a cache into which the files (11 MB) are
    downloaded when they are missing. mirrors: addresses of folders with the files, tried in order.
    Returns a named tuple (train_images, train_labels, test_images, test_labels): images float32 (N, 1, 28, 28) in
    [0, 1], ink is 1; labels int64 (N,). The training images take 188 MB.
    Raises DataError if a file is missing, damaged or not MNIST's, or cannot be downloaded.
    """
    folder = fetch(root, mirrors)
    train_images, train_labels, test_images, test_labels = (_read(folder, file) for file in FILES)
    return Mnist(_scaled(train_images), _counted(train_labels), _scaled(test_images), _counted(test_labels))


def fetch(root: str | os.PathLike[str] | None = None, mirrors: Sequence[str] = MIRRORS) -> Path:
    """The folder that holds the four files; downloads them into the cache if no folder was named.

    root, mirrors: as for mnist. Raises DataError if a named folder lacks a file or no mirror delivers one.
    """
    folder = net.local_folder("mnist", root)
    if folder is None:
        folder = net.cache_path() / "mnist"
        for file in FILES:
            net.download(file.remote, folder, mirrors)
    else:
        for file in FILES:
            _find(folder, file)
    return folder


def missing() -> str | None:
    """None if MNIST can be read without a network, else a sentence that says what to do."""
    try:
        folder = net.local_folder("mnist") or net.cache_path() / "mnist"
        for file in FILES:
            _find(folder, file)
    except DataError as error:
        return str(error)
    return None


def _find(folder: Path, file: IdxFile) -> Path:
    packed = folder / file.remote.name
    for path in (packed, packed.with_suffix("")):
        if path.is_file():
            return path
    raise DataError(
        packed,
        "there is no such file",
        "MNIST's original file, plain or compressed",
        "fetch it with 'minidl data fetch mnist', or name the folder that holds mnist/ in MINIDL_DATA",
    )


def _read(folder: Path, file: IdxFile) -> np.ndarray:
    """One array, certain to be MNIST's: not only well formed, but with the right bytes."""
    path = _find(folder, file)
    data = read_idx(path, file.shape)
    found = hashlib.sha256(data).hexdigest()
    if found != file.data_sha256:
        raise DataError(
            path,
            f"the data has sha256 {found}",
            f"MNIST's, which is {file.data_sha256}",
            "delete the file and fetch it again",
        )
    return data


def _scaled(images: np.ndarray) -> np.ndarray:
    return images[:, None] / np.float32(255)


def _counted(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.int64)
