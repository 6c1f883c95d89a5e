"""Record a table or figure: the paper's numbers beside ours, printed and kept."""

import functools
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minidl import concordance
from minidl.report.declaration import find_chapters
from minidl.report.run import MEANINGLESS, Run, current, running
from minidl.report.store import FIELDS, ID, file_name, write_atomic, write_json
from minidl.report.values import plain, text_table

OWN = "minidl:"
FIGURE_DPI = 110


def record(
    id: str,
    title: str,
    *,
    columns: Sequence[str] = (),
    rows: Sequence[Mapping[str, Any]] = (),
    figure: Any = None,
    note: str = "",
) -> None:
    """Print one table or figure, and write it to the out folder of the running chapter.

    id: an id of the concordance, or `minidl:…` for a result of our own. rows: {"label": text, "paper": {column: value},
    "ours": {column: value}}; a column that a row has no number for is left out; values are numbers, strings or None.
    figure: a matplotlib figure, SVG text or None. note: what the reader must know, above all why numbers disagree.
    Recording an id again replaces it.
    Raises ValueError for an unknown id or a row that does not fit the columns, TypeError for other values or figures.
    """
    run = current()
    _refuse_unknown(id)
    checked = [_row(id, row, columns) for row in rows]
    order = run.results[id]["order"] if id in run.results else len(run.results)
    entry = {
        "id": id,
        "title": title,
        "scale": run.scale,
        "backend": run.backend,
        "seed": run.seed,
        "versions": run.versions,
        "columns": list(columns),
        "rows": checked,
        "figure": _save_figure(run, id, figure),
        "seconds": round(run.seconds, 3),
        "note": note,
        "chapter": run.name,
        "order": order,
    }
    run.results[id] = entry
    if run.out is not None:
        write_json(run.out / "results" / run.name / f"{file_name(id)}.json", entry)
    print(_as_text(entry))


def kept(id: str) -> dict | None:
    """The full-scale result that is kept with the chapters under this id, None if there is none.

    It has the keys of an entry of results.json.
    """
    run = running()
    try:
        folder = run.source.parent if run and run.source else find_chapters()
        return _contract(json.loads((folder / "results" / f"{file_name(id)}.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _contract(entry: dict) -> dict:
    return {field: entry[field] for field in FIELDS}


@functools.cache
def _known_ids() -> frozenset[str]:
    return frozenset(concordance.entries())


def _refuse_unknown(id: str) -> None:
    if not ID.fullmatch(id):
        raise ValueError(f"an id looks like deeplift:fig4 or {OWN}some-name, got {id!r}")
    if not id.startswith(OWN) and id not in _known_ids():
        raise ValueError(f"{id!r} is not in the concordance; a result of our own is named {OWN}…")


def _row(id: str, row: Mapping[str, Any], columns: Sequence[str]) -> dict:
    if unknown := set(row) - {"label", "paper", "ours"}:
        raise ValueError(f"{id}: a row has the keys label, paper and ours, got {sorted(unknown)}")
    sides = {}
    for side in ("paper", "ours"):
        values = row.get(side) or {}
        if unknown := [column for column in values if column not in columns]:
            raise ValueError(f"{id}: {side} of row {row['label']!r} has {unknown}, the columns are {list(columns)}")
        sides[side] = {column: plain(value) for column, value in values.items()}
    return {"label": str(row["label"]), **sides}


def _save_figure(run: Run, id: str, figure: Any) -> str | None:
    """Save the figure into OUT/figures; returns its path relative to OUT, None where there is nothing to save."""
    if figure is None:
        return None
    if isinstance(figure, str):
        if not figure.lstrip().startswith(("<svg", "<?xml")):
            raise TypeError(f"{id}: a figure given as text must be SVG, got {figure[:40]!r}")
        suffix, data = "svg", figure.encode()
    elif hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        # Without the writer's name and version the same picture is the same bytes.
        figure.savefig(buffer, format="png", dpi=FIGURE_DPI, bbox_inches="tight", metadata={"Software": None})
        suffix, data = "png", buffer.getvalue()
    else:
        raise TypeError(f"{id}: a figure is a matplotlib figure, SVG text or None, got {type(figure).__name__}")
    if run.out is None:
        return None
    relative = Path("figures") / f"{file_name(id)}.{suffix}"
    write_atomic(run.out / relative, data)
    return relative.as_posix()


def _as_text(entry: dict) -> str:
    lines = ["", f"{entry['title']} [{entry['id']}]"]
    if entry["scale"] == "smoke":
        lines.append(f"  ({MEANINGLESS})")
    if entry["rows"]:
        lines.append(text_table(entry["columns"], entry["rows"]))
    if entry["figure"]:
        lines.append(f"  figure: {entry['figure']}")
    if entry["note"]:
        lines.append(f"  note: {entry['note']}")
    return "\n".join(lines)
