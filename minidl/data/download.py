"""Files from the network: several mirrors, a checksum, and a cache that never holds half a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import DataError

TIMEOUT = 30.0


@dataclass(frozen=True)
class RemoteFile:
    """A file as its mirrors should deliver it: name, bytes, sha256 of those bytes (hexadecimal)."""

    name: str
    size: int
    sha256: str


def cache_path() -> Path:
    """The folder of everything that was downloaded, usual for the platform; it need not exist yet."""
    import pooch

    return Path(pooch.os_cache("minidl"))


def local_folder(name: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """The folder in which a data set lies on this machine by the user's own word, or None if nothing was said.

    name: of the data set. root: a folder that holds the data set's folder, or is that folder; without it the
    environment's MINIDL_DATA is asked, a folder with one folder a data set, of which some may be missing.
    Raises DataError if root or MINIDL_DATA is not a folder.
    """
    if root is not None:
        return _child(Path(root), name, "root") or Path(root)
    if os.environ.get("MINIDL_DATA"):
        return _child(Path(os.environ["MINIDL_DATA"]), name, "MINIDL_DATA")
    return None


def _child(folder: Path, name: str, said_by: str) -> Path | None:
    if not folder.is_dir():
        raise DataError(
            folder,
            f"{said_by} names it but it is not a folder",
            f"a folder that holds {name}/",
            "correct the path, or leave it out to download",
        )
    return folder / name if (folder / name).is_dir() else None


def download(file: RemoteFile, folder: Path, mirrors: Sequence[str]) -> Path:
    """Have a file in a folder: as it is there if its checksum is right, else from the first mirror that delivers it.

    file: what to have. folder: where; made if needed. mirrors: addresses that the file's name is appended to, tried
    in this order. A file gets its name only when it is complete and its checksum is right.
    Returns the file's path.
    Raises DataError, naming what every mirror answered, if none delivers it, or if the folder cannot be written.
    """
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    failures = []
    for mirror in mirrors:
        address = mirror.rstrip("/") + "/" + file.name
        try:
            path = pooch.retrieve(address, f"sha256:{file.sha256}", file.name, folder, downloader=_Downloader(file))
            return Path(path)
        except (requests.RequestException, _Incomplete) as error:
            failures.append(f"{address}: {_answer(error)}")
        except ValueError:  # pooch's word for a wrong checksum
            failures.append(f"{address}: {file.size} bytes with another checksum")
        except OSError as error:
            raise DataError(
                folder / file.name,
                f"cannot be written ({error.strerror or error})",
                "a cache folder with room for it",
                "free it, or put the files into a folder of your own and name that in MINIDL_DATA",
            ) from None
    raise DataError(
        file.name,
        "no mirror delivered it (" + ", ".join(failures) + ")",
        f"{file.size} bytes with sha256 {file.sha256}",
        "check the network, or put the file into a folder and name that in MINIDL_DATA",
    )


class _Incomplete(Exception):
    """More or fewer bytes than the file has."""


class _Downloader:
    """Pooch's own downloader, after which the number of bytes is looked at: it says more than a wrong checksum."""

    def __init__(self, file: RemoteFile):
        self.file = file

    def __call__(self, url: str, output_file: str, pooch_: object) -> None:
        import pooch

        fetch = pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(),
            chunk_size=1 << 16,
            timeout=TIMEOUT,
            headers={"Accept-Encoding": "identity"},  # the file is compressed already; hand it over as it is
        )
        fetch(url, output_file, pooch_)
        size = os.path.getsize(output_file)
        if size != self.file.size:
            raise _Incomplete(f"{size} bytes instead of {self.file.size}")


def _answer(error: Exception) -> str:
    """What went wrong with one mirror, in a few words."""
    import requests

    if isinstance(error, requests.HTTPError):
        return f"{error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT:g} s"
    text = str(error)
    if "refused" in text:
        return "connection refused"
    if "IncompleteRead" in text:
        return "the connection broke off before the end"
    if isinstance(error, _Incomplete):
        return text
    return f"no connection ({type(error).__name__})"
