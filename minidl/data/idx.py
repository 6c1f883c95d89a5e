"""The IDX format, in which MNIST came in 1998: a magic number, the sizes of the axes, then the bytes.

    two zero bytes, the type (0x08: unsigned byte), the number of axes,
    one big-endian 32-bit integer an axis, the data in C order

The file may be compressed with gzip. Nothing in a file is trusted: the header decides how much is read, so it is
held against the size of the file before anything is allocated, and no more is ever unpacked than it asks for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import DataError

UNSIGNED_BYTE = 8
CHUNK = 1 << 20

# Deflate cannot pack better than this, so a small file with a large header lies.
LARGEST_COMPRESSION = 1032

REMEDY = "delete the file and fetch it again"


def read_idx(path: str | os.PathLike[str], shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or compressed with gzip.

    path: the file. shape: the shape that it must have, or None to take what the header says.
    Returns a uint8 array of the header's shape.
    Raises DataError if the file is missing, is not IDX of unsigned bytes, is corrupted, shorter or longer than its
    header says, or has another shape.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        if not packed:
            with open(path, "rb") as file:
                return _parse(path, file, size, "plain", shape)
        import gzip

        with gzip.open(path, "rb") as file:
            return _parse(path, file, size * LARGEST_COMPRESSION, "gzip", shape)
    except FileNotFoundError:
        raise DataError(path, "there is no such file", "an IDX file", "check the folder's name") from None
    except EOFError:
        raise DataError(path, "the compressed data breaks off", "a complete gzip file", REMEDY) from None
    except OSError as error:  # gzip.BadGzipFile (a wrong checksum) is one, and so are a folder and a refused permission
        raise DataError(path, _reason(error), "a readable IDX file", REMEDY) from None
    except Exception as error:
        # zlib is imported with gzip only, and its error shares no base with the others
        if type(error).__module__ != "zlib":
            raise
        raise DataError(path, "the compressed data is corrupted", "a sound gzip file", REMEDY) from None


def _parse(path: Path, file, most: int, kind: str, shape: tuple[int, ...] | None) -> np.ndarray:
    """The array in an open file that cannot hold more than `most` bytes."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTE or magic[3] == 0:
        raise DataError(
            path,
            f"the file starts with {magic.hex(' ') or 'nothing'}",
            "the magic number 00 00 08 and the number of axes (IDX of unsigned bytes)",
            REMEDY,
        )
    axes = magic[3]
    header = file.read(4 * axes)
    if len(header) < 4 * axes:
        raise DataError(path, f"the header ends after {4 + len(header)} bytes", f"{4 + 4 * axes}", REMEDY)
    found = tuple(int.from_bytes(header[4 * k : 4 * k + 4], "big") for k in range(axes))
    if shape is not None and found != tuple(shape):
        raise DataError(path, f"the header says shape {found}", f"{tuple(shape)}", REMEDY)

    count = 1
    for length in found:
        count *= length  # a Python int: it cannot overflow, whatever the header says
    room = most - 4 - 4 * axes
    if count > room:
        raise DataError(
            path,
            f"the header says shape {found}, which is {count} bytes",
            f"at most the {room} that a {kind} file of this size can hold",
            REMEDY,
        )

    data = bytearray()
    for chunk in _chunks(file, count):
        data += chunk
    if len(data) < count:
        raise DataError(path, f"the data ends after {len(data)} bytes", f"{count} for shape {found}", REMEDY)
    if file.read(1):
        raise DataError(path, "the data goes on after the last element", f"{count} bytes for shape {found}", REMEDY)
    return np.frombuffer(data, dtype=np.uint8).reshape(found)


def _chunks(file, count: int) -> Iterator[bytes]:
    while count > 0 and (chunk := file.read(min(CHUNK, count))):
        count -= len(chunk)
        yield chunk


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
