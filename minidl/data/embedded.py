"""The 1,797 handwritten digits that come with the package, and two ways to hold a part of them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .errors import DataError

FILE = Path(__file__).parent / "files" / "digits.npz"
GREY_LEVELS = 16


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 handwritten digits of the UCI repository (test part), in the file's own order.

    Returns (images, labels): images float32 (1797, 1, 8, 8) in [0, 1], the ink in a cell divided by its largest
    possible value 16; labels int64 (1797,) in 0..9.
    Raises DataError if the embedded file is missing or damaged.
    """
    import zipfile

    try:
        with np.load(FILE, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            FILE, f"cannot be read ({type(error).__name__})", "the digits that come with minidl", "reinstall minidl"
        ) from None
    return images[:, None].astype(np.float32) / np.float32(GREY_LEVELS), labels.astype(np.int64)


def stratified_split(
    labels: np.ndarray, fraction: float, rng: np.random.Generator | int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a part of every class at random, the same share of each.

    labels: integers, (N,). fraction: the share to hold out, in (0, 1). rng: a Generator or an int.
    Returns (kept, held out): int64 indices in increasing order, a partition of 0..N-1; round(fraction * N) are held
    out, and of a class with n members fraction * n, rounded down or up.
    Raises ValueError if labels are not integers (N,), if fraction is outside (0, 1) or leaves one side empty, and
    TypeError if rng is neither a Generator nor an int.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: got {labels.dtype} of shape {labels.shape}, expected integers of shape (N,)")
    total = _held_out(len(labels), fraction)
    if isinstance(rng, bool) or not isinstance(rng, (np.random.Generator, int, np.integer)):
        raise TypeError(f"rng: got {type(rng).__name__}, expected a numpy Generator or an int")
    rng = np.random.default_rng(rng)

    classes, sizes = np.unique(labels, return_counts=True)
    quotas = sizes * (total / len(labels))
    take = np.floor(quotas + 1e-9).astype(np.int64)
    # What rounding down left over goes to the largest remainders, the lower class first among equals.
    order = np.argsort(take - quotas, kind="stable")
    take[order[: total - take.sum()]] += 1

    held_out = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, take, strict=True)]
    )
    kept = np.ones(len(labels), dtype=bool)
    kept[held_out] = False
    return np.flatnonzero(kept), np.sort(held_out)


def own_order_split(n: int, fraction: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Hold out the end of the file: for the digits, mostly other writers than those of the beginning.

    n: the number of rows. fraction: the share to hold out, in (0, 1).
    Returns (kept, held out): int64 indices, 0..N-1 cut in two; round(fraction * n) are held out.
    Raises ValueError if fraction is outside (0, 1) or leaves one side empty.
    """
    cut = n - _held_out(n, fraction)
    return np.arange(cut), np.arange(cut, n)


def _held_out(n: int, fraction: float) -> int:
    if not 0 < fraction < 1:
        raise ValueError(f"fraction: got {fraction}, expected a number between 0 and 1")
    count = round(fraction * n)
    if not 0 < count < n:
        raise ValueError(f"fraction: {fraction} of {n} rows leaves one side empty, expected at least one row in each")
    return count
