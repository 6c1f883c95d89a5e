"""The plays: the loader on small tables, and on the real one where MINIDL_DATA has it."""

import gzip
import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from minidl.data import DataError, plays, registry
from minidl.data.plays import Plays, parse

TABLE = """play\tscene\tspeech\tspeaker\tline
lear\t1.1\t1\tKent\tI thought
lear\t1.1\t1\tKent\tthe king
lear\t1.1\t2\tLEAR|FOOL\tboth
lear\tprologue\t3\tKENT\tagain
hamlet\t1.1\t1\tKENT\telsewhere
"""


@pytest.fixture
def small(monkeypatch):
    """The small table passes for the plays."""
    monkeypatch.setattr(plays, "SHA256", hashlib.sha256(TABLE.encode()).hexdigest())


def fill(folder, content=TABLE.encode(), packed=False):
    folder.mkdir(parents=True)
    name = plays.NAME + ".gz" if packed else plays.NAME
    (folder / name).write_bytes(gzip.compress(content) if packed else content)
    return folder


def test_lines_by_play_and_by_role():
    found = parse(TABLE)
    assert len(found) == 5 and repr(found) == "Plays(2 plays, 5 lines)" and isinstance(found, Plays)
    assert found.names() == ["lear", "hamlet"]
    assert found.scene == ["1.1", "1.1", "1.1", "prologue", "1.1"] and found.speech.tolist() == [1, 1, 2, 3, 1]
    assert found.text("lear") == "I thought\nthe king\nboth\nagain\n"
    assert found.roles() == {
        ("lear", "KENT"): ["I thought", "the king", "again"],  # printed in two ways, one role
        ("lear", "LEAR|FOOL"): ["both"],  # a role of its own
        ("hamlet", "KENT"): ["elsewhere"],  # another play, another role
    }
    assert list(found.roles()) == [("lear", "KENT"), ("lear", "LEAR|FOOL"), ("hamlet", "KENT")]
    with pytest.raises(ValueError, match="text: play must be one of lear, hamlet, got 'othello'"):
        found.text("othello")


@pytest.mark.parametrize("packed", [False, True])
def test_a_table_in_a_folder(tmp_path, monkeypatch, small, packed):
    folder = fill(tmp_path / "a" / "shakespeare", packed=packed)
    monkeypatch.setenv("MINIDL_DATA", str(folder.parent))
    for found in (plays.plays(), plays.plays(tmp_path / "a"), plays.plays(folder)):
        assert found.line == ["I thought", "the king", "both", "again", "elsewhere"]
    assert registry.missing("plays") is None and registry.fetch("plays") == folder


def test_what_is_missing_or_wrong_is_said_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    with pytest.raises(DataError, match="there is no such file, expected .*play, scene.*shakespeare-material.*MINIDL"):
        plays.plays()
    assert "there is no such file" in registry.missing("plays")
    with pytest.raises(DataError, match="empty.moby_plays_lines.tsv: there is no such file"):
        (tmp_path / "empty").mkdir()
        plays.plays(tmp_path / "empty")
    with pytest.raises(DataError, match="the table has sha256 [0-9a-f]{64}, expected that of the plays"):
        plays.plays(fill(tmp_path / "other"))
    cut = fill(tmp_path / "cut", packed=True) / (plays.NAME + ".gz")
    cut.write_bytes(cut.read_bytes()[:-10])
    with pytest.raises(DataError, match="cannot be read"):
        plays.plays(cut.parent)
    cut.write_bytes(b"no gzip at all")
    with pytest.raises(DataError, match="cannot be read"):
        plays.plays(cut.parent)


@pytest.mark.skipif(
    not Path(os.environ.get("MINIDL_DATA", ""), "shakespeare", plays.NAME + ".gz").is_file(),
    reason="MINIDL_DATA holds no plays",
)
def test_the_real_plays():
    found = plays.plays()
    roles = found.roles()
    assert len(found.names()) == 37 and len(found) == 107_734
    assert len(roles) == 1389 and sum(len(lines) >= 2 for lines in roles.values()) == 1252
    assert sum(map(len, roles.values())) == len(found)
    spoken = Counter(zip(found.play, found.speech.tolist()))
    assert len(spoken) == 31_014 and [s for p, s in spoken if p == "lear"] == list(range(1, 1068))
    assert sum(len(found.text(name)) for name in found.names()) == sum(map(len, found.line)) + len(found)
    assert "To be, or not to be: that is the question:" in found.text("hamlet")
