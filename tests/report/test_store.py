"""Files of a report are written whole or not at all."""

import json
import os

import pytest

from minidl.report import store


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    path = tmp_path / "folder" / "file.json"
    store.write_atomic(path, "old")

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(OSError, match="disk full"):
        store.write_atomic(path, "new and longer")
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["file.json"]


def test_a_reader_never_sees_a_half_written_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    store.write_atomic(path, "old")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.read_text()))
    store.write_atomic(path, b"new")
    assert seen == ["old"] and path.read_text() == "new"


def test_json_without_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        store.write_json(tmp_path / "file.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_results_come_in_the_order_of_recording_and_a_damaged_one_is_named(tmp_path):
    folder = tmp_path / "results" / "00_one"
    for order, id in enumerate(("lrp:z", "lrp:a")):
        entry = dict.fromkeys(store.FIELDS) | {"id": id, "order": order, "chapter": "00_one"}
        store.write_json(folder / f"{store.file_name(id)}.json", entry)
    (folder / "lrp_b.json").write_text('{"id":')
    with pytest.warns(UserWarning, match="lrp_b.json is left out of the report"):
        store.write_results_json(tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    assert [entry["id"] for entry in written] == ["lrp:z", "lrp:a"]
    assert [tuple(entry) for entry in written] == [store.FIELDS] * 2
