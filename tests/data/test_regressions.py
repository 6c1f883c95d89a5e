"""The UCI regressions: the loader on small files, the splits, and the real files where MINIDL_DATA has them."""

import gzip
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from minidl.data import DataError, registry, uci
from minidl.data import regressions as loader

REAL = Path(os.environ.get("MINIDL_DATA", ""), "uci")
ROWS = np.array([[0.5, -1.25, 3.0], [1e-3, 2.0, 4.5]])
BODY = b"  5.0e-01 -1.25 3\n 0.001\t2 4.5\n\n"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A table of one small file in place of the six; the cache is a folder of the test."""
    table = loader.Table(2, 3, len(BODY), hashlib.sha256(BODY).hexdigest())
    monkeypatch.setattr(loader, "TABLES", {"tiny": table})
    monkeypatch.setattr(loader.net, "cache_path", lambda: tmp_path / "cache")
    monkeypatch.delenv("MINIDL_DATA", raising=False)


def fill(folder, name="data.txt", body=BODY):
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / name).write_bytes(body)
    return folder


def check(data):
    assert np.array_equal(data.x, ROWS[:, :2]) and np.array_equal(data.y, ROWS[:, 2:])


def test_from_a_folder_plain_or_packed(small, tmp_path, monkeypatch):
    check(uci("tiny", fill(tmp_path / "a")))
    check(uci("tiny", fill(tmp_path / "b", "data.txt.gz", gzip.compress(BODY))))
    fill(tmp_path / "c" / "uci")
    check(uci("tiny", tmp_path / "c"))
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "c"))
    check(uci("tiny", mirrors=[]))
    assert loader.missing() is None


def test_from_the_network_once(small, server):
    server.bodies = {"tiny/data/data.txt": BODY}
    for _ in range(2):
        check(uci("tiny", mirrors=[server.address]))
    assert server.requests == ["tiny/data/data.txt"]


def test_what_is_missing_or_damaged_is_said_in_one_sentence(small, server, tmp_path):
    with pytest.raises(DataError, match="no mirror delivered it.*404"):
        uci("tiny", mirrors=[server.address])
    server.bodies = {"tiny/data/data.txt": BODY.replace(b"5", b"6")}
    with pytest.raises(DataError, match="another checksum"):
        uci("tiny", mirrors=[server.address])
    assert "minidl data fetch uci" in loader.missing()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is no such file"):
        uci("tiny", tmp_path / "empty")
    with pytest.raises(DataError, match="the data has sha256"):
        uci("tiny", fill(tmp_path / "other", body=BODY + b"1 2 3\n"))
    with pytest.raises(ValueError, match="uci: name must be one of tiny, got 'boston'"):
        uci("boston")


def test_splits_are_partitions_and_always_the_same():
    found = list(loader.splits(308))
    assert len(found) == 20
    for train, test in found:
        assert (len(train), len(test)) == (277, 31)
        assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(308))
    assert all(map(np.array_equal, [test for _, test in found], [test for _, test in loader.splits(308)]))


def test_the_tip_of_an_arm_is_where_link_after_link_leads():
    """By complex numbers, joint by joint."""
    x, y = loader.arm(50, 3, noise=0.0)
    assert x.shape == (50, 8) and y.shape == (50, 1) and -1 <= x.min() and x.max() <= 1
    for angles, distance in zip(x, y[:, 0], strict=True):
        tip, heading = 0, 1
        for angle in angles:
            heading *= np.exp(1j * angle)
            tip += heading / 8
        np.testing.assert_allclose(distance, abs(tip - (0.1 + 0.1j)), rtol=1e-12)


def test_the_noise_of_the_arm_is_that_asked_for():
    clean, noisy = loader.arm(4000, 5, noise=0.0), loader.arm(4000, 5, noise=0.2)
    assert np.array_equal(clean.x, noisy.x)
    found = (noisy.y - clean.y).std()
    assert abs(found - 0.2) < 5 * 0.2 / (2 * 4000) ** 0.5  # the standard error of a deviation
    with pytest.raises(ValueError, match="arm: n must be at least 1 and noise at least 0, got 0 and 0.05"):
        loader.arm(0)
    with pytest.raises(ValueError, match="got 3 and -1"):
        loader.arm(3, noise=-1)


def test_the_registry_knows_it():
    assert registry.describe("uci")[2] == sum(table.size for table in loader.TABLES.values())


@pytest.mark.skipif(not REAL.joinpath("index.json").is_file(), reason="MINIDL_DATA names no folder with uci/index.json")
def test_the_grids_are_those_of_the_published_experiments():
    for name, origin in json.loads(REAL.joinpath("index.json").read_text()).items():
        assert tuple(origin["gal_tau_values"]) == loader.TABLES[name].precisions
        assert tuple(origin["gal_dropout_rates"]) == loader.DROPOUT
        assert (origin["gal_n_hidden"], origin["gal_n_epochs"]) == ([loader.HIDDEN], [loader.EPOCHS])


@pytest.mark.skipif(not REAL.is_dir(), reason="MINIDL_DATA names no folder with uci/")
@pytest.mark.parametrize("name", loader.TABLES)
def test_the_real_files_and_their_published_splits(name):
    data, table = uci(name, REAL), loader.TABLES[name]
    assert data.x.shape == (table.rows, table.columns - 1) and data.y.shape == (table.rows, 1)
    assert np.isfinite(data.x).all() and np.isfinite(data.y).all()
    for place, file in enumerate(("index_train.txt.gz", "index_test.txt.gz")):
        published = [np.array(line.split(), int) for line in gzip.open(REAL / name / file, "rt")]
        ours = [split[place] for split in loader.splits(table.rows)]
        assert len(published) == len(ours) and all(map(np.array_equal, published, ours))
