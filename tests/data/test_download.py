"""Downloads, against a server on this machine: good, cut short, wrong, absent, silent."""

import pytest
from idx_files import remote

from minidl.data import DataError
from minidl.data.download import cache_path, download, local_folder

BODY = bytes(range(256)) * 300
FILE = remote("file.gz", BODY)


def refusal(folder, mirrors):
    """The sentence with which a download fails. Nothing is left behind in the folder."""
    with pytest.raises(DataError) as caught:
        download(FILE, folder, mirrors)
    assert not folder.exists() or list(folder.iterdir()) == []
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_a_good_download_is_kept(server, tmp_path):
    server.bodies["file.gz"] = BODY
    path = download(FILE, tmp_path / "new" / "folder", [server.address])
    assert path.read_bytes() == BODY and path.name == "file.gz"
    assert list(path.parent.iterdir()) == [path]
    download(FILE, path.parent, [server.address])
    assert server.requests == ["file.gz"]  # the second time it was there


def test_a_damaged_file_in_the_cache_is_fetched_again(server, tmp_path):
    server.bodies["file.gz"] = BODY
    (tmp_path / "file.gz").write_bytes(BODY[:-1])
    assert download(FILE, tmp_path, [server.address]).read_bytes() == BODY


def test_the_connection_breaks_off(server, tmp_path):
    server.bodies["file.gz"], server.cut["file.gz"] = BODY[:1000], len(BODY) - 1000
    sentence = refusal(tmp_path, [server.address])
    assert f"({server.address}file.gz: the connection broke off before the end)" in sentence
    assert f"expected {len(BODY)} bytes with sha256 {FILE.sha256}" in sentence
    assert "check the network, or put the file into a folder and name that in MINIDL_DATA" in sentence


def test_a_short_file(server, tmp_path):
    server.bodies["file.gz"] = BODY[:1000]
    assert f"1000 bytes instead of {len(BODY)}" in refusal(tmp_path, [server.address])


def test_wrong_bytes(server, tmp_path):
    server.bodies["file.gz"] = BODY[:-1] + b"?"
    assert f"{len(BODY)} bytes with another checksum" in refusal(tmp_path, [server.address])


def test_not_found(server, tmp_path):
    assert "file.gz: 404 Not Found" in refusal(tmp_path, [server.address])


def test_connection_refused(refused_address, tmp_path):
    assert f"{refused_address}file.gz: connection refused" in refusal(tmp_path, [refused_address])


def test_an_address_that_is_none(tmp_path):
    assert "no connection (MissingSchema)" in refusal(tmp_path, ["nowhere"])


def test_no_answer_in_time(server, tmp_path, monkeypatch):
    import requests

    def silent(*args, **kwargs):
        raise requests.ReadTimeout("read timed out")

    monkeypatch.setattr(requests, "get", silent)
    assert "no answer within 30 s" in refusal(tmp_path, [server.address])


def test_the_next_mirror_is_asked(server, refused_address, tmp_path):
    server.bodies["second/file.gz"] = BODY
    path = download(FILE, tmp_path, [refused_address, server.address + "first", server.address + "second/"])
    assert path.read_bytes() == BODY
    assert server.requests == ["first/file.gz", "second/file.gz"]


def test_every_mirror_is_named_when_all_fail(server, refused_address, tmp_path):
    sentence = refusal(tmp_path, [refused_address, server.address])
    assert "connection refused, http" in sentence and "404 Not Found)" in sentence


def test_a_file_that_was_right_survives_mirrors_that_fail(refused_address, tmp_path):
    (tmp_path / "file.gz").write_bytes(BODY)
    assert download(FILE, tmp_path, [refused_address]).read_bytes() == BODY


def test_a_cache_that_cannot_be_written(server, tmp_path):
    server.bodies["file.gz"] = BODY
    (tmp_path / "occupied").write_bytes(b"a file where the folder should be")
    with pytest.raises(DataError, match=r"occupied/file.gz: cannot be written \(.*\), expected a cache folder"):
        download(FILE, tmp_path / "occupied", [server.address])


def test_the_cache_has_our_name():
    assert "minidl" in cache_path().parts


def test_a_named_folder_holds_the_data_set_or_is_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    assert local_folder("mnist") is None
    assert local_folder("mnist", tmp_path) == tmp_path
    (tmp_path / "mnist").mkdir()
    assert local_folder("mnist", tmp_path) == tmp_path / "mnist"
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    assert local_folder("mnist") == tmp_path / "mnist"
    assert local_folder("other") is None  # MINIDL_DATA need not hold every data set


def test_a_named_folder_that_is_none(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="root names it but it is not a folder, expected a folder that holds mnist/"):
        local_folder("mnist", tmp_path / "typo")
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataError, match="MINIDL_DATA names it but it is not a folder.*; correct the path"):
        local_folder("mnist")
