"""Make the executed notebooks from the chapters: python notebooks/build.py [CHAPTER ...].

A notebook is its chapter's cells, run from top to bottom at quick scale with one BLAS thread, without anything that
changes from one run to the next (times, progress bars, addresses), so that a notebook differs only if its chapter or
its results do. Notebooks are never edited by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import jupytext
import nbformat

from minidl.report.declaration import chapter_paths, select

HERE = Path(__file__).resolve().parent
CHAPTERS = HERE.parent / "chapters"
LARGEST = 400_000  # bytes: what a browser and a code review still show
TIMEOUT = 600  # seconds a cell

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def unexecuted(chapter: Path) -> nbformat.NotebookNode:
    """A chapter's cells as a notebook without outputs; an id is made of the chapter's name and the cell's content."""
    notebook = jupytext.read(chapter, fmt="py:percent")
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        key = f"{chapter.stem}\n{cell.cell_type}\n{cell.source}"
        seen[key] += 1  # two equal cells still need two ids
        cell.id = hashlib.sha256(f"{key}\n{seen[key]}".encode()).hexdigest()[:12]
        cell.metadata = {}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def execute(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run all cells in a folder of their own. Raises nbclient's CellExecutionError where a cell fails."""
    from nbclient import NotebookClient

    metadata = dict(notebook.metadata)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        client.execute()
    notebook.metadata = metadata  # the kernel wrote its exact version there
    return notebook


def without_volatile(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what no reader misses and every run changes: progress bars (on stderr), memory addresses, metadata."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = ADDRESS.sub("", output.text)
            elif "data" in output:
                output.metadata = {}
                for kind in ("text/plain", "text/html"):
                    if kind in output.data:
                        output.data[kind] = ADDRESS.sub("", output.data[kind])
    return notebook


def build(chapter: Path, folder: Path) -> Path:
    """Write a chapter's executed notebook into a folder.

    Returns its path. Raises ValueError if it is larger than 400 KB; then nothing is written.
    """
    text = nbformat.writes(without_volatile(execute(unexecuted(chapter)))) + "\n"
    size = len(text.encode())
    if size > LARGEST:
        raise ValueError(f"the notebook has {size} bytes, expected at most {LARGEST}; make its figures smaller")
    path = folder / f"{chapter.stem}.ipynb"
    path.write_text(text, encoding="utf-8")
    return path


def main(arguments: list[str] | None = None) -> int:
    """Build the notebooks that are asked for, all without an argument. Returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", nargs="*", help="number or unique beginning of a chapter's name (default: all)")
    parser.add_argument("--chapters", type=Path, default=CHAPTERS, help="the folder of the chapters")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder of the notebooks")
    options = parser.parse_args(arguments)
    try:
        chapters = select(options.chapter, chapter_paths(options.chapters))
    except ValueError as error:
        parser.error(str(error))

    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    for variable in ("MINIDL_SEED", "MINIDL_BACKEND", "MINIDL_OUT", "MPLBACKEND"):
        os.environ.pop(variable, None)
    os.environ["MINIDL_SCALE"] = "quick"

    failed = 0
    for chapter in chapters:
        try:
            path = build(chapter, options.out)
        except Exception as error:  # nbclient's own errors share no base; the other notebooks are still wanted
            print(f"{chapter.stem}: {error}", file=sys.stderr)
            failed = 1
        else:
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB")
    return failed


if __name__ == "__main__":
    sys.exit(main())
