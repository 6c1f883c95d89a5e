import os
import zipfile

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import serialise


def model(width=3, dtype="float32"):
    return nn.Sequential(
        first=nn.Dense(4, width, rng=0, dtype=dtype), norm=nn.BatchNorm1d(width, dtype=dtype), last=nn.Dense(width, 2)
    )


@pytest.fixture
def saved(tmp_path):
    path, m = tmp_path / "model.npz", model()
    m(np.random.default_rng(0).random((5, 4), np.float32))
    minidl.save(path, m)
    return path, m


def test_a_model_comes_back_whole(saved):
    path, m = saved
    other = nn.Sequential(first=nn.Dense(4, 3, rng=9), norm=nn.BatchNorm1d(3), last=nn.Dense(3, 2, rng=8))
    assert minidl.load(path, other) is other
    assert all((a == m.state_dict()[k]).all() for k, a in other.state_dict().items())
    with np.load(path, allow_pickle=False) as plain:
        assert set(plain.files) == set(m.state_dict())
    assert os.listdir(path.parent) == ["model.npz"]


def test_the_same_model_gives_the_same_file(saved, tmp_path):
    path, m = saved
    minidl.save(tmp_path / "again.npz", m)
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "other, sentence",
    [
        (model(width=5), "load model.npz: first.W is float32 of shape (4, 3), expected float32 of shape (4, 5)"),
        (model(dtype="float64"), "first.W is float32 of shape (4, 3), expected float64 of shape (4, 3)"),
        (nn.Sequential(first=nn.Dense(4, 3)), "norm.W (float32 of shape (3,)) is unexpected"),
        (nn.Sequential(**model().children(), more=nn.PReLU(2)), "more.W is missing, expected float32 of shape (2,)"),
    ],
)
def test_a_leaf_that_does_not_fit_is_named_before_anything_is_read(saved, monkeypatch, other, sentence):
    before = other.state_dict()
    monkeypatch.setattr(serialise, "read_arrays", lambda path: pytest.fail("read although the headers do not fit"))
    with pytest.raises(ValueError) as error:
        minidl.load(saved[0], other)
    assert sentence in str(error.value)
    assert all((a == before[k]).all() for k, a in other.state_dict().items())


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "empty", "directory"])
def test_a_damaged_file_is_one_sentence_and_changes_nothing(saved, damage):
    path, m = saved
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        at = data.find(m.first.W.data.tobytes())
        assert at > 0
        data[at] ^= 1
    path.unlink()
    if damage == "directory":
        path.mkdir()
    else:
        path.write_bytes({"truncated": data[:-200], "flipped": data, "text": b"hello", "empty": b""}[damage])
    before = m.state_dict()
    with pytest.raises(ValueError, match=r"model.npz is (damaged|not a readable .npz file of arrays): "):
        minidl.load(path, m)
    assert all((a == before[k]).all() for k, a in m.state_dict().items())


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*nothing.npz"):
        minidl.load(tmp_path / "nothing.npz", model())


def header(path, shape, data=b"", descr="<f4"):
    with zipfile.ZipFile(path, "w") as archive, archive.open("first.W.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": descr, "fortran_order": False, "shape": shape})
        member.write(data)


def test_sizes_that_the_bytes_do_not_have_are_refused_before_allocation(tmp_path):
    header(tmp_path / "huge.npz", (10**6, 10**6), b"\0" * 48)
    with pytest.raises(ValueError, match="first.W declares 4000000000[0-9]* bytes, the file holds 176"):
        minidl.load(tmp_path / "huge.npz", model())


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", first=np.array([{}], object))
    with pytest.raises(ValueError, match="first holds Python objects"):
        minidl.load(tmp_path / "objects.npz", model())
    with pytest.raises(TypeError, match="holds Python objects"):
        serialise.write_arrays(tmp_path / "o.npz", {"a": np.array([{}], object)})


@pytest.mark.parametrize("place, name", [(np.lib.format, "write_array"), (os, "replace")])
def test_a_failed_write_leaves_the_old_file(saved, monkeypatch, place, name):
    path, m = saved
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    m.first.b = [1, 2, 3]
    monkeypatch.setattr(place, name, fail)
    with pytest.raises(OSError, match="disk full"):
        minidl.save(path, m)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["model.npz"]
