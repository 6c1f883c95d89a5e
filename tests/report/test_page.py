"""The page: everything escaped, nothing from elsewhere, every number where it belongs."""

from html.parser import HTMLParser

import pytest

from minidl.report import page
from minidl.report.declaration import Declaration

EVIL = "<script>alert('&')</script>\""
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that tags are closed in order, and collects attributes and the cells of tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.rows, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def entry(**changes):
    return {
        "id": "deeplift:fig4",
        "title": "Erasing",
        "scale": "quick",
        "backend": "numpy",
        "seed": 0,
        "versions": {"numpy": "2"},
        "columns": ["change", "flow"],
        "rows": [{"label": "LRP", "paper": {"change": 0.25}, "ours": {"change": 0.5, "flow": 7}}],
        "figure": "figures/deeplift_fig4.png",
        "seconds": 1.0,
        "note": "",
        "chapter": "00_one",
        "order": 0,
        **changes,
    }


def section(*results, run=None, **options):
    ended = {"status": "ok", "exit": 0, "seconds": 1.0, "scale": "quick", "earlier": []} if run is None else run
    return page.Section(Declaration("00_one", "One"), ended, results, **options)


def test_everything_is_escaped():
    everywhere = entry(
        id=EVIL,
        title=EVIL,
        scale=EVIL,
        versions={EVIL: EVIL},
        columns=[EVIL],
        rows=[{"label": EVIL, "paper": {EVIL: EVIL}, "ours": {EVIL: EVIL}}],
        figure=EVIL,
        note=EVIL,
    )
    run = {"status": "failed", "exit": 1, "seconds": 1.0, "scale": EVIL, "earlier": []}
    one = page.Section(Declaration(EVIL, EVIL, 1, EVIL), run, [everywhere], [everywhere], EVIL)
    text = page.render([one])
    reader = Reader(text)
    assert "<script" not in text
    assert [item for item in reader.attributes if item[1].startswith("on")] == []
    assert sum(EVIL in word for word in reader.words) > 15, "what was given is shown, as text"


def test_the_page_needs_nothing_from_elsewhere():
    reader = Reader(page.render([section(entry())]))
    links = [value for tag, name, value in reader.attributes if name in ("src", "href")]
    assert links == ["#00_one", "logs/00_one.txt", "figures/deeplift_fig4.png"]
    assert [tag for tag, *_ in reader.attributes if tag in ("link", "script", "iframe")] == []


def test_the_papers_number_stands_beside_ours():
    reader = Reader(page.render([section(entry())]))
    assert reader.rows[-3:] == [["", "change", "flow"], ["paper", "ours"], ["LRP", "0.25", "0.5", "7"]]


def test_every_picture_and_table_has_words():
    reader = Reader(page.render([section(entry(), kept=[entry(scale="full")])]))
    pictures = [value for tag, name, value in reader.attributes if (tag, name) == ("img", "alt")]
    assert pictures == ["Figure: Erasing", "Figure: Erasing, kept at full scale"]
    assert ("html", "lang", "en") in reader.attributes


def test_notes_are_shown():
    assert "the printed value is wrong" in page.render([section(entry(note="the printed value is wrong"))])


@pytest.mark.parametrize(("scale", "said"), [("smoke", True), ("quick", False), ("full", False)])
def test_smoke_scale_is_marked_in_words(scale, said):
    assert ("these numbers mean nothing" in page.render([section(entry(scale=scale))])) == said


def test_what_was_not_run_or_recorded_nothing_is_said():
    assert "has not been run" in page.render([section(run={})])
    assert "recorded no table and no figure" in page.render([section()])
    assert "kept with the project" in page.render([section(run={}, kept=[entry(scale="full")])])


def test_the_end_of_a_log_shows_a_progress_bar_as_it_was_seen_last(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"\n".join(b"line %d" % k for k in range(10_000)) + b"\n10%\r50%\r100%\r\nend \xff\n")
    lines = page.last_lines(log).splitlines()
    assert lines[-3:] == ["line 9999", "100%", "end \N{REPLACEMENT CHARACTER}"]
    assert len(lines) == page.LOG_LINES
    assert page.last_lines(tmp_path / "none.txt") == ""
