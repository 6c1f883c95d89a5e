"""Every chapter runs at smoke scale through the command, records what it says, and stays quick."""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHAPTERS = sorted((Path(__file__).resolve().parents[2] / "chapters").glob("[0-9][0-9]_*.py"))
SECONDS = 5  # of work; a loaded machine may take longer, so time is printed and only a gross excess fails
GENEROUS = 12


def reproduce(chapter, out, scale="smoke"):
    """Run one chapter by the command in a folder of its own; returns its records by id, and the seconds."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "minidl", "reproduce", chapter.stem, "--scale", scale, "--out", str(out)],
        cwd=out,
        env={**os.environ, "MINIDL_DATA": str(out / "nothing-here"), "PYTHONWARNINGS": "error::RuntimeWarning"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    seconds = time.perf_counter() - begun
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {entry["id"]: entry for entry in json.loads((out / "results.json").read_text())}, seconds


def ids_recorded(chapter):
    """The ids of `report.record("…", …)` in the chapter's text."""
    calls = [node for node in ast.walk(ast.parse(chapter.read_text())) if isinstance(node, ast.Call)]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "record"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_at_smoke_scale_and_records_what_it_says(chapter, tmp_path):
    results, seconds = reproduce(chapter, tmp_path)
    print(f"{chapter.stem}: {seconds:.1f} s, of {SECONDS}")
    assert seconds < GENEROUS * SECONDS
    assert ids_recorded(chapter) <= set(results)
    for entry in results.values():
        assert entry["scale"] == "smoke" and (entry["rows"] or entry["figure"])
        if entry["figure"]:
            assert (tmp_path / entry["figure"]).stat().st_size > 1000


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_says_what_it_needs_and_ends_in_three_exercises(chapter):
    text = chapter.read_text()
    for word in ("**Reading time:**", "**Needs:**", "## Exercises", "**Predict.**", "**Break.**", "**Build.**"):
        assert word in text, word


@pytest.mark.source("deeplift:fig1", "deeplift:fig2", "deeplift:fig3", "deeplift:target-layer", "lrp:eq4", "lrp:fig2")
def test_chapter_01_agrees_with_the_numbers_that_the_texts_print(tmp_path):
    (chapter,) = (path for path in CHAPTERS if path.stem == "01_one_tape")
    results, _ = reproduce(chapter, tmp_path)
    disagree = {
        (id, row["label"], column)
        for id, entry in results.items()
        for row in entry["rows"]
        for column, value in row["paper"].items()
        if value is not None and abs(value - row["ours"][column]) > 1e-9
    }
    assert disagree == {
        ("deeplift:fig1", "gradient", "signal at h"),  # a misprint: dy/dh is -1
        ("lrp:eq58", "B: alpha 1/2, beta 1/2", "scores"),  # eq 61 presumes both signs
        ("lrp:eq58", "B: alpha 2, beta -1", "scores"),
    }
    rows = results["lrp:eq4"]["rows"]
    assert [row["ours"]["eq 4"] for row in rows] == pytest.approx([4 / 3, 4 / 3, 1 / 3, 3])
    assert [row["ours"]["eq 5 by the tape"] for row in rows] == pytest.approx([14 / 3, -10 / 3, 5 / 3, 3])
    for row in results["lrp:fig2"]["rows"]:
        assert row["ours"]["message by hand"] == pytest.approx(row["ours"]["message by the tape"])


@pytest.mark.slow
def test_the_digits_network_is_right_on_97_of_100_digits_as_the_median_of_five_seeds(tmp_path):
    chapter = next(path for path in CHAPTERS if path.stem == "02_digits")
    rows = reproduce(chapter, tmp_path, "quick")[0]["minidl:digits-accuracy"]["rows"]
    median = next(row["ours"]["random fifth held out"] for row in rows if row["label"] == "median")
    assert len(rows) == 6
    assert median >= 0.97
