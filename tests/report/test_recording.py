"""Recording a table or figure: what is refused, what is written."""

import json

import pytest

from minidl import report
from minidl.report import run as running


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIDL_SCALE", raising=False)
    return report.chapter("00_one", minutes=1, out=tmp_path)


def test_nothing_is_recorded_before_the_chapter_is_declared(monkeypatch):
    monkeypatch.setattr(running, "_current", [])
    with pytest.raises(RuntimeError, match="call report.chapter"):
        report.record("minidl:x", "x")


@pytest.mark.parametrize("id", ["lrp:eq999", "lrp-eq58", "minidl:a/b", "", "figure 4"])
def test_an_unknown_id_is_refused(run, id):
    with pytest.raises(ValueError, match="concordance|an id looks like"):
        report.record(id, "title")
    assert run.results == {}


@pytest.mark.parametrize(
    "row",
    [
        {"label": "x", "ours": {"b": 1}},
        {"label": "x", "paper": {"b": 1}},
        {"label": "x", "our": {"a": 1}},
    ],
)
def test_a_row_that_does_not_fit_is_refused(run, row):
    with pytest.raises(ValueError, match="minidl:x"):
        report.record("minidl:x", "title", columns=("a",), rows=[row])


@pytest.mark.parametrize("figure", ["a.png", 3])
def test_another_figure_is_refused(run, figure):
    with pytest.raises(TypeError, match="minidl:x: a figure"):
        report.record("minidl:x", "title", figure=figure)


def test_a_matplotlib_figure_is_saved_the_same_each_time(run, tmp_path, capsys):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [0, 1])
    report.record("deeplift:fig1", "title", figure=figure)
    path = tmp_path / "figures" / "deeplift_fig1.png"
    first = path.read_bytes()
    report.record("deeplift:fig1", "title", figure=figure)
    assert first.startswith(b"\x89PNG") and path.read_bytes() == first
    assert "figure: figures/deeplift_fig1.png" in capsys.readouterr().out


def test_recording_again_replaces_and_keeps_the_place(run, tmp_path):
    for title, id in (("a", "minidl:a"), ("b", "minidl:b"), ("a again", "minidl:a")):
        report.record(id, title)
    assert [(entry["title"], entry["order"]) for entry in run.results.values()] == [("a again", 0), ("b", 1)]
    assert json.loads((tmp_path / "results/00_one/minidl_a.json").read_text())["title"] == "a again"


def test_what_is_not_kept_is_none(run):
    assert report.kept("minidl:never-kept") is None
