"""The 37 plays of Shakespeare, one spoken line a row: text by play, and by the role that speaks it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .download import local_folder
from .errors import DataError

__all__ = ["Plays", "plays"]

NAME = "moby_plays_lines.tsv"
SHA256 = "adfe9c132b73e47520bd2f82db9e7717483b8ce9daf178b55167672163ac2c3f"  # of the table, not compressed
COLUMNS = ["play", "scene", "speech", "speaker", "line"]
ORIGIN = (
    "make it from texts/moby/*.xml of https://github.com/rufuspollock-okfn/shakespeare-material (a row for each LINE; "
    "play: the file's name, scene: act.scene, speech: its number within the play, speaker: several joined by a "
    "vertical bar; white space collapsed, stage directions and empty lines left out) and put it, plain or compressed "
    "with gzip, as shakespeare/" + NAME + " into a folder that is named in MINIDL_DATA"
)


@dataclass(frozen=True, repr=False)
class Plays:
    """The rows of the table, in the order in which they are spoken: five columns of one length.

    play: its name, as "julius_caesar". scene: "act.scene", or a prologue, an epilogue, an induction. speech: int64
    (N,), from 1 on in each play. speaker: as printed; several who speak together are joined by a vertical bar. line:
    one spoken line.
    """

    play: list[str]
    scene: list[str]
    speech: np.ndarray
    speaker: list[str]
    line: list[str]

    def names(self) -> list[str]:
        """The names of the plays, in order."""
        return list(dict.fromkeys(self.play))

    def text(self, play: str) -> str:
        """All that is spoken in a play, a newline after each line; no names of speakers, no stage directions.

        Raises ValueError for a play that there is not.
        """
        lines = [line for name, line in zip(self.play, self.line) if name == play]
        if not lines:
            raise ValueError(f"text: play must be one of {', '.join(self.names())}, got {play!r}")
        return "\n".join(lines) + "\n"

    def roles(self) -> dict[tuple[str, str], list[str]]:
        """The lines of each role, {(play, ROLE): [line, ...]}, in the order in which the roles first speak.

        A role belongs to one play, and is named in upper case, for the plays print one speaker in both. Those who speak
        together are a role of their own: so every line belongs to one role only.
        """
        found: dict[tuple[str, str], list[str]] = {}
        for play, speaker, line in zip(self.play, self.speaker, self.line):
            found.setdefault((play, speaker.upper()), []).append(line)
        return found

    def __len__(self) -> int:
        return len(self.line)

    def __repr__(self) -> str:
        return f"Plays({len(self.names())} plays, {len(self)} lines)"


def plays(root: str | os.PathLike[str] | None = None) -> Plays:
    """The 37 plays: 107,734 lines in 31,014 speeches, of 1,389 roles, of which 1,252 have at least two lines.

    root: the folder of the table, or one that holds it in shakespeare/; without it $MINIDL_DATA/shakespeare. The table
    was made from the public-domain text of Moby Lexical Tools; no place to download it from is known.
    Raises DataError if the file is missing, damaged or another one.
    """
    import gzip

    path = find(root)
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(path, f"cannot be read ({error})", "the table of the plays", ORIGIN) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != SHA256:
        raise DataError(path, f"the table has sha256 {found}", f"that of the plays, which is {SHA256}", ORIGIN)
    return parse(raw.decode())


def parse(table: str) -> Plays:
    """The rows of a table with the columns of COLUMNS, separated by tabs, below a row with their names."""
    rows = [row.split("\t") for row in table.splitlines()[1:]]
    play, scene, speech, speaker, line = map(list, zip(*rows))
    return Plays(play, scene, np.array(speech, np.int64), speaker, line)


def find(root: str | os.PathLike[str] | None = None) -> Path:
    """The table's file in the folder that the user named. Raises DataError if there is none."""
    folder = local_folder("shakespeare", root)
    paths = [] if folder is None else [folder / NAME, folder / f"{NAME}.gz"]
    for path in paths:
        if path.is_file():
            return path
    where = Path("shakespeare", NAME) if folder is None else folder / NAME
    raise DataError(where, "there is no such file", "the plays' lines as a table, " + ", ".join(COLUMNS), ORIGIN)
