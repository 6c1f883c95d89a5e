"""The IDX reader: what it reads, and one sentence for everything that it refuses."""

import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import idx_bytes, packed

from minidl.data import DataError, read_idx
from minidl.data.idx import CHUNK


def write(folder, content, name="some-idx-ubyte"):
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(path, **kwargs):
    """The sentence with which a file is refused; it names the file and what was expected, and stays on one line."""
    with pytest.raises(DataError) as caught:
        read_idx(path, **kwargs)
    sentence = str(caught.value)
    assert str(path) in sentence and ", expected " in sentence and "; " in sentence and "\n" not in sentence
    return sentence


arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))


@given(array=arrays, compress=st.booleans())
def test_what_was_written_is_read(tmp_path_factory, array, compress):
    content = idx_bytes(array)
    path = write(tmp_path_factory.mktemp("idx"), packed(content) if compress else content)
    found = read_idx(path)
    assert found.dtype == np.uint8 and found.shape == array.shape
    assert np.array_equal(found, array)


def test_a_file_of_several_chunks(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, 2 * CHUNK + 17, dtype=np.uint8)
    assert np.array_equal(read_idx(write(tmp_path, packed(idx_bytes(array)))), array)


def test_missing_file(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "nothing")


def test_folder_instead_of_a_file(tmp_path):
    assert "a readable IDX file" in refusal(tmp_path)


def test_empty_file(tmp_path):
    assert "starts with nothing" in refusal(write(tmp_path, b""))


@pytest.mark.parametrize(
    "start", [b"\0\1\x08\1", b"\1\0\x08\1", b"\0\0\x0d\1", b"\0\0\x08\0", b"\x89PNG", b"\0\0\x08"]
)
def test_wrong_magic_number(tmp_path, start):
    sentence = refusal(write(tmp_path, start + b"\0" * (9 if len(start) == 4 else 0)))
    assert f"the file starts with {start.hex(' ')}, expected the magic number 00 00 08" in sentence


def test_header_that_ends_early(tmp_path, small_array):
    assert "the header ends after 9 bytes, expected 16" in refusal(write(tmp_path, idx_bytes(small_array)[:9]))


def test_plain_file_cut_short(tmp_path, small_array):
    path = write(tmp_path, idx_bytes(small_array)[:-1])
    assert "shape (2, 3, 4), which is 24 bytes, expected at most the 23" in refusal(path)


def test_packed_file_whose_data_are_too_short(tmp_path, small_array):
    path = write(tmp_path, packed(idx_bytes(small_array)[:-1]))
    assert "the data ends after 23 bytes, expected 24 for shape (2, 3, 4)" in refusal(path)


@pytest.mark.parametrize("wrap", [bytes, packed])
def test_data_after_the_last_element(tmp_path, small_array, wrap):
    path = write(tmp_path, wrap(idx_bytes(small_array) + b"\0"))
    assert "goes on after the last element, expected 24 bytes" in refusal(path)


def test_gzip_that_breaks_off(tmp_path, small_array):
    path = write(tmp_path, packed(idx_bytes(small_array))[:-9])
    assert "breaks off, expected a complete gzip file" in refusal(path)


def test_gzip_with_a_wrong_checksum(tmp_path, small_array):
    content = bytearray(packed(idx_bytes(small_array)))
    content[-5] ^= 1  # the last byte of the CRC
    assert "CRC check failed" in refusal(write(tmp_path, bytes(content)))


def test_gzip_with_corrupted_data(tmp_path, small_array):
    content = bytearray(packed(idx_bytes(small_array)))
    content[10] = 0xFF  # an impossible block type
    assert "corrupted, expected a sound gzip file" in refusal(write(tmp_path, bytes(content)))


@pytest.mark.parametrize("wrap", [bytes, packed])
def test_a_header_that_cannot_be_true_allocates_nothing(tmp_path, wrap):
    header = b"\0\0\x08\3" + struct.pack(">3I", 2**31, 2**31, 2**31)
    path = write(tmp_path, wrap(header + b"abc"))
    tracemalloc.start()
    sentence = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"which is {2**93} bytes, expected at most" in sentence
    assert peak < 1 << 20


def test_a_plausible_header_allocates_no_more_than_the_data(tmp_path):
    """Within what gzip could pack: 60 MB promised by 64 kB, of which none is there."""
    content = packed(b"\0\0\x08\1" + struct.pack(">I", 60_000_000) + np.random.default_rng(0).bytes(1 << 16))
    path = write(tmp_path, content)
    tracemalloc.start()
    sentence = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "the data ends after 65536 bytes, expected 60000000" in sentence
    assert peak < 8 << 20


def test_another_shape_than_asked_for(tmp_path, small_array):
    path = write(tmp_path, idx_bytes(small_array))
    assert "the header says shape (2, 3, 4), expected (2, 4, 3)" in refusal(path, shape=(2, 4, 3))
    assert np.array_equal(read_idx(path, shape=(2, 3, 4)), small_array)


def test_no_refusal_shows_a_traceback_of_the_libraries_below(tmp_path):
    with pytest.raises(DataError) as caught:
        read_idx(write(tmp_path, b"\x1f\x8bnot gzip at all"))
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert re.search(r"compress|gzip", str(caught.value), re.IGNORECASE)
