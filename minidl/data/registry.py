"""The data sets by name, for the command line and for chapters that need one at full scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import cifar, co2, embedded, original, plays, regressions
from .download import cache_path
from .errors import DataError

__all__ = ["DATASETS", "DataSet", "cache_path", "describe", "fetch", "missing", "names"]


@dataclass(frozen=True)
class DataSet:
    """What there is to know about a data set before loading it.

    size_bytes: of the files. fetch: has the files on this machine and returns their folder, raises DataError.
    missing: None if they are there, else a sentence that says what is missing and how to get it.
    """

    description: str
    licence: str
    size_bytes: int
    fetch: Callable[[], Path]
    missing: Callable[[], str | None]


def _embedded_folder() -> Path:
    embedded.digits()  # raises if the installation is damaged
    return embedded.FILE.parent


def _said(find: Callable[[], Path]) -> Callable[[], str | None]:
    """What to do, as the error of a search says it; None if the search finds what it looks for."""

    def missing() -> str | None:
        try:
            find()
        except DataError as error:
            return str(error)
        return None

    return missing


DATASETS: dict[str, DataSet] = {
    "digits": DataSet(
        description="1,797 handwritten digits, 8x8 pixels (comes with minidl)",
        licence="CC BY 4.0",
        size_bytes=45394,
        fetch=_embedded_folder,
        missing=lambda: None,
    ),
    "mnist": DataSet(
        description="70,000 handwritten digits, 28x28 pixels, in the four original files",
        licence="usually listed as CC BY-SA 3.0",
        size_bytes=sum(file.remote.size for file in original.FILES),
        fetch=original.fetch,
        missing=original.missing,
    ),
    "uci": DataSet(
        description="six regressions of the UCI repository: " + ", ".join(regressions.TABLES),
        licence="as the UCI repository states for each",
        size_bytes=sum(table.size for table in regressions.TABLES.values()),
        fetch=regressions.fetch_all,
        missing=regressions.missing,
    ),
    "co2": DataSet(
        description="monthly means of carbon dioxide at Mauna Loa since 1958 (a file of your own)",
        licence="public domain, as NOAA and the origin state",
        size_bytes=37378,
        fetch=lambda: co2.find().parent,
        missing=_said(co2.find),
    ),
    "plays": DataSet(
        description="the 37 plays of Shakespeare, 107,734 spoken lines (a file of your own)",
        licence="public domain, as the origin states",
        size_bytes=2197941,
        fetch=lambda: plays.find().parent,
        missing=_said(plays.find),
    ),
    "cifar10": DataSet(
        description="60,000 colour images of ten classes, 32x32 pixels, in six binary files (files of your own)",
        licence="none is stated",
        size_bytes=6 * 30730000,
        fetch=cifar.folder,
        missing=_said(cifar.folder),
    ),
}


def names() -> list[str]:
    """The names of all data sets, in the order in which they are listed."""
    return list(DATASETS)


def describe(name: str) -> tuple[str, str, int]:
    """(description, licence, size in bytes) of a data set. Raises ValueError if there is none of that name."""
    known = _known(name)
    return known.description, known.licence, known.size_bytes


def fetch(name: str) -> Path:
    """Have a data set on this machine, downloading what is missing; returns the folder of its files.

    Raises ValueError if there is none of that name, DataError if a file is missing from a folder that the user
    named or cannot be downloaded.
    """
    return _known(name).fetch()


def missing(name: str) -> str | None:
    """None if a data set can be read without a network, else a sentence: what is missing and how to get it.

    Raises ValueError if there is none of that name.
    """
    return _known(name).missing()


def _known(name: str) -> DataSet:
    if name not in DATASETS:
        raise ValueError(f"data set: got {name!r}, expected one of {', '.join(DATASETS)}")
    return DATASETS[name]
