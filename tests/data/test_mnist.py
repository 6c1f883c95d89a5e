"""MNIST: the loader on a table of small files, and the real ones where MINIDL_DATA has them."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from idx_files import idx_bytes, packed, remote

from minidl.data import DataError, mnist, original, registry

REAL = Path(os.environ.get("MINIDL_DATA", ""), "mnist")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Four small files in place of the original ones; returns {name: bytes}. The cache is a folder of the test."""
    rng = np.random.default_rng(7)
    shapes = [(6, 28, 28), (6,), (3, 28, 28), (3,)]
    arrays = [rng.integers(0, 256 if len(s) == 3 else 10, s, dtype=np.uint8) for s in shapes]
    bodies, table = {}, []
    for file, array in zip(original.FILES, arrays, strict=True):
        body = packed(idx_bytes(array))
        bodies[file.remote.name] = body
        sha256 = hashlib.sha256(array.tobytes()).hexdigest()
        table.append(original.IdxFile(remote(file.remote.name, body), array.shape, sha256))
    monkeypatch.setattr(original, "FILES", tuple(table))
    monkeypatch.setattr(original.net, "cache_path", lambda: tmp_path / "cache")
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    return bodies


def fill(folder, bodies):
    folder.mkdir(parents=True)
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    return folder


def check(data):
    assert [a.shape for a in data] == [(6, 1, 28, 28), (6,), (3, 1, 28, 28), (3,)]
    assert [a.dtype for a in data] == [np.float32, np.int64, np.float32, np.int64]
    rng = np.random.default_rng(7)
    first = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    assert np.allclose(data.train_images[:, 0] * 255, first, atol=1e-4)
    assert np.array_equal(data.train_labels, rng.integers(0, 10, 6, dtype=np.uint8))


def test_from_a_folder(small, tmp_path, monkeypatch):
    folder = fill(tmp_path / "data" / "mnist", small)
    check(mnist(folder))
    check(mnist(folder.parent))
    monkeypatch.setenv("MINIDL_DATA", str(folder.parent))
    check(mnist(mirrors=[]))


def test_unpacked_files_will_do(small, tmp_path):
    import gzip

    check(mnist(fill(tmp_path / "plain", {name[:-3]: gzip.decompress(body) for name, body in small.items()})))


def test_from_the_network_once(small, server, tmp_path):
    server.bodies = small
    check(mnist(mirrors=[server.address]))
    check(mnist(mirrors=[server.address]))
    assert sorted(server.requests) == sorted(small)
    assert sorted(p.name for p in (tmp_path / "cache" / "mnist").iterdir()) == sorted(small)


def test_a_file_that_no_mirror_has(small, server, tmp_path):
    server.bodies = {name: body for name, body in small.items() if "t10k" not in name}
    with pytest.raises(DataError, match="t10k-images.*no mirror delivered it.*404"):
        mnist(mirrors=[server.address])
    kept = sorted(p.name for p in (tmp_path / "cache" / "mnist").iterdir())
    assert kept == sorted(server.bodies)  # whole files, for the next time


def test_a_folder_without_one_of_the_files(small, tmp_path):
    folder = fill(tmp_path / "data", small)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1.*: there is no such file, expected .*minidl data fetch"):
        mnist(folder)


def test_other_data_in_the_same_format(small, tmp_path):
    """Another data set under the same names and shapes is well formed, and still not MNIST."""
    small["t10k-labels-idx1-ubyte.gz"] = packed(idx_bytes(np.array([1, 2, 3], dtype=np.uint8)))
    with pytest.raises(DataError, match="t10k-labels.*: the data has sha256 [0-9a-f]{64}, expected MNIST's, which is"):
        mnist(fill(tmp_path / "data", small))


def test_a_file_of_another_shape(small, tmp_path):
    small["t10k-labels-idx1-ubyte.gz"] = small["train-labels-idx1-ubyte.gz"]
    with pytest.raises(DataError, match=r"t10k-labels.*the header says shape \(6,\), expected \(3,\)"):
        mnist(fill(tmp_path / "data", small))


def test_missing_says_what_to_do(small, tmp_path, monkeypatch):
    assert "train-images-idx3-ubyte.gz: there is no such file" in registry.missing("mnist")
    fill(tmp_path / "cache" / "mnist", small)
    assert registry.missing("mnist") is None
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "typo"))
    assert "MINIDL_DATA names it but it is not a folder" in registry.missing("mnist")


@pytest.mark.skipif(not REAL.is_dir(), reason="MINIDL_DATA names no folder with mnist/ in it")
def test_the_real_files():
    data = mnist()
    assert np.bincount(data.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.test_labels)[8] == 974
    assert data.train_images.mean() == pytest.approx(0.1307, abs=5e-5)
    assert data.train_images.max() == 1 and data.test_images.min() == 0
