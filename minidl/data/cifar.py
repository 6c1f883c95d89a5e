"""CIFAR-10 from its original binary files: 60,000 colour images of 32 x 32 pixels in ten classes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .download import local_folder
from .errors import DataError

__all__ = ["Cifar", "cifar10"]

TRAIN = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST = "test_batch.bin"
RECORD, CLASSES = 1 + 3 * 32 * 32, 10
REMEDY = (
    "unpack the binary version of CIFAR-10 from https://www.cs.toronto.edu/~kriz/cifar.html and name the folder that "
    "holds it as cifar10/ in MINIDL_DATA"
)


class Cifar(NamedTuple):
    """Images float32 (N, 3, 32, 32) in [0, 1], red, green, blue; labels int64 (N,), 0 airplane to 9 truck."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def cifar10(root: str | os.PathLike[str] | None = None) -> Cifar:
    """The 50,000 images for training, in the order of the five files, and the 10,000 for testing.

    root: the folder of the six files, or one that holds them in cifar10/; without it $MINIDL_DATA/cifar10.
    Raises DataError if a file is missing, is cut short, or holds a label that there is not.
    """
    found = folder(root)
    parts = [_read(found / name) for name in (*TRAIN, TEST)]
    images, labels = (np.concatenate([part[k] for part in parts[:-1]]) for k in (0, 1))
    return Cifar(images, labels, *parts[-1])


def folder(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the six files. Raises DataError if one of them is missing."""
    found = local_folder("cifar10", root) or Path("cifar10")
    for name in (*TRAIN, TEST):
        if not (found / name).is_file():
            raise DataError(
                found / name, "there is no such file", "a file of the binary version of CIFAR-10", REMEDY
            )  # fmt: skip
    return found


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one file: records of a label and the pixels, colour after colour, row after row."""
    raw = np.fromfile(path, np.uint8)
    if not len(raw) or len(raw) % RECORD:
        raise DataError(path, f"{len(raw)} bytes", f"records of {RECORD} bytes, a label and 3 x 32 x 32 pixels", REMEDY)
    rows = raw.reshape(-1, RECORD)
    if (largest := int(rows[:, 0].max())) >= CLASSES:
        raise DataError(path, f"a label of {largest}", f"labels in 0..{CLASSES - 1}", REMEDY)
    return rows[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255, rows[:, 0].astype(np.int64)
