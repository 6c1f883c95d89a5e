"""Where a report lies on the disk, and how a file gets there: whole or not at all.

OUT/index.html  OUT/results.json             what a reader opens, what a program reads
OUT/results/CHAPTER/ID.json                  one table or figure, written by the chapter itself
OUT/figures/ID.png|svg                       its figure
OUT/runs/CHAPTER.json  OUT/logs/CHAPTER.txt  how the last run of the chapter ended, what it printed
OUT/state/CHAPTER/SCALE-seedS-BACKEND/       what a killed chapter resumes from
"""

import json
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ID = re.compile(r"[a-z]+:[A-Za-z0-9.-]+")

# What one entry of results.json holds, in this order. The files of single results also say which chapter made them.
FIELDS = ("id", "title", "scale", "backend", "seed", "versions", "columns", "rows", "figure", "seconds", "note")


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader, or a run after a crash, sees the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write value as JSON, atomically. Raises ValueError on NaN or infinity, which JSON does not have."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def file_name(id: str) -> str:
    """The id as a file name: `deeplift:fig4` -> `deeplift_fig4`. Ids hold no underscore, so two ids never meet."""
    return id.replace(":", "_")


def read_files(paths: Iterable[Path]) -> list[dict]:
    """The JSON objects of these files, in the order in which they were recorded.

    A file that cannot be read is left out with a warning: one damaged result must not hide the others.
    """
    found = []
    for path in paths:
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            warnings.warn(f"{path} is left out of the report: {error}", stacklevel=2)
    return sorted(found, key=lambda entry: entry.get("order", 0))


def read_results(out: Path) -> dict[str, list[dict]]:
    """{chapter: its results} of everything that OUT holds, chapters in the order of their numbers."""
    folders = sorted(folder for folder in (out / "results").glob("*") if folder.is_dir())
    by_chapter = {folder.name: read_files(sorted(folder.glob("*.json"))) for folder in folders}
    return {chapter: results for chapter, results in by_chapter.items() if results}


def write_results_json(out: Path) -> None:
    """Gather OUT/results into OUT/results.json, a list of entries with the keys of FIELDS."""
    entries = [entry for results in read_results(out).values() for entry in results]
    write_json(out / "results.json", [{field: entry[field] for field in FIELDS} for entry in entries])
