"""Carbon dioxide in the air, month by month: the record of Mauna Loa, and a simulated series like it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..randomness import generator
from .download import local_folder
from .errors import DataError

__all__ = ["Series", "mauna_loa", "simulate"]

FILE = "mauna_loa_monthly.csv"
FIRST = 1958 + 2.5 / 12  # the middle of March 1958, in years


class Series(NamedTuple):
    """Monthly means: years float64 (N,), the middle of each month; ppm float64 (N,), parts per million of dry air."""

    years: np.ndarray
    ppm: np.ndarray


def simulate(months: int = 820, rng: Any = 0) -> Series:
    """A series like the measured one: a rise that grows, a year's wave with its first harmonic, and noise of 0.3 ppm.

    months: how many, from March 1958 on. rng: a Generator or an int. Raises ValueError for months below 1.
    """
    if months < 1:
        raise ValueError(f"simulate: months must be at least 1, got {months!r}")
    years = FIRST + np.arange(months) / 12
    t = years - 1958
    wave = 2.8 * np.sin(2 * np.pi * (t - 0.1)) - 0.8 * np.sin(4 * np.pi * (t - 0.05))
    noise = 0.3 * generator(rng, "simulate").standard_normal(months)
    return Series(years, 315 + 0.8 * t + 0.0128 * t * t + wave + noise)


def mauna_loa(root: str | os.PathLike[str] | None = None) -> Series:
    """The monthly means measured at Mauna Loa since March 1958 (NOAA and Scripps), as many as the file has.

    root: the folder of the file, or one that holds it in co2/; without it $MINIDL_DATA/co2. The record grows every
    month, so there is no checksum to download it by: each row is checked instead.
    Raises DataError if the file is missing, or is not such a record.
    """
    path = find(root)
    try:
        rows = [line.split(",")[:3] for line in path.read_text("utf-8").splitlines()[1:] if line.strip()]
        months = np.array([12 * int(date[:4]) + int(date[5:7]) - 1 for date, _, _ in rows])
        ppm = np.array([float(mean) for _, _, mean in rows])
    except (ValueError, OSError) as error:
        raise _other(path, f"cannot be read ({error})") from error
    if not len(months) or months[0] != 12 * 1958 + 2 or (np.diff(months) != 1).any():
        raise _other(path, "does not hold every month from 1958-03 on")
    if not ((ppm > 300) & (ppm < 600)).all():
        raise _other(path, f"holds means from {ppm.min():g} to {ppm.max():g}")
    return Series((months + 0.5) / 12, ppm)


def find(root: str | os.PathLike[str] | None = None) -> Path:
    """The record's file in the folder that the user named. Raises DataError if there is none."""
    folder = local_folder("co2", root)
    path = (folder or Path("co2")) / FILE
    if folder is None or not path.is_file():
        raise DataError(
            path,
            "there is no such file",
            "the monthly record as comma-separated values, with columns date (1958-03), year, mean in ppm",
            "save it from https://github.com/datasets/co2-ppm (data/co2-mm-mlo.csv) as co2/" + FILE + " in a folder, "
            "and name that folder in MINIDL_DATA",
        )
    return path


def _other(path: Path, came: str) -> DataError:
    return DataError(path, came, "monthly means from 300 to 600 ppm, from 1958-03 on without a gap", "save it again")
