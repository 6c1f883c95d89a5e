"""Small files in the IDX format, and what a mirror should say about them."""

import gzip
import hashlib
import struct

from minidl.data.download import RemoteFile


def idx_bytes(array, magic=b"\0\0\x08"):
    """An array of unsigned bytes as an IDX file."""
    return magic + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def packed(data):
    """Compressed with gzip, the same bytes each time."""
    return gzip.compress(data, mtime=0)


def remote(name, body):
    """What a mirror should deliver: these bytes."""
    return RemoteFile(name, len(body), hashlib.sha256(body).hexdigest())
