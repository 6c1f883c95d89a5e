"""OUT/index.html: one static page that explains itself, with the paper's numbers beside ours."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import quote

from minidl import concordance
from minidl.report import store
from minidl.report.declaration import Declaration, chapter_paths, declared_or_named
from minidl.report.values import pairs, readable

LOG_LINES = 15
LOG_TAIL = 20_000  # bytes read from the end of a log
STATUS = {"ok": "done", "failed": "failed", "interrupted": "interrupted", "": "not run"}

INTRODUCTION = """
<p>Each chapter of minidl computes tables and figures of six deep-learning texts again. Where the text prints a number
it stands beside ours, under <em>paper</em>; a dash means that there is none. Nothing was tuned to match: where the
numbers differ, the note below the table says so.</p>
<p><dfn>Smoke</dfn> scale only shows that a chapter runs: its numbers mean nothing. <dfn>Quick</dfn> is cut to some
seconds on a laptop. <dfn>Full</dfn> is the text's own size.</p>
"""


@dataclass
class Section:
    """What the page shows of one chapter. run: how its last run ended, {} if it was not run."""

    declaration: Declaration
    run: Mapping = field(default_factory=dict)
    results: Sequence[Mapping] = ()
    kept: Sequence[Mapping] = ()
    log: str = ""


def write(out: Path, chapters: Path) -> None:
    """Write OUT/index.html from OUT/results, OUT/runs and the results kept in the folder of the chapters."""
    store.write_atomic(out / "index.html", render(sections(out, chapters)))


def sections(out: Path, chapters: Path) -> list[Section]:
    """What OUT holds, chapter by chapter; figures of kept results are copied to OUT, as the page stands alone."""
    results = store.read_results(out)
    runs = {run["chapter"]: run for run in store.read_files(sorted((out / "runs").glob("*.json")))}
    kept: dict[str, list[dict]] = {}
    for entry in store.read_files(sorted((chapters / "results").glob("*.json"))):
        if entry["figure"]:
            (out / "figures").mkdir(exist_ok=True)
            copied = out / "figures" / f"kept_{entry['figure']}"
            shutil.copyfile(chapters / "results" / entry["figure"], copied)
            entry["figure"] = copied.relative_to(out).as_posix()
        kept.setdefault(entry["chapter"], []).append(entry)
    declarations = {path.stem: declared_or_named(path) for path in chapter_paths(chapters)}
    found = []
    for name in sorted({*declarations, *results, *runs, *kept}):
        run = runs.get(name, {})
        log = last_lines(out / "logs" / f"{name}.txt") if run.get("status") == "failed" else ""
        declaration = declarations.get(name) or Declaration(name, name)
        found.append(Section(declaration, run, results.get(name, ()), kept.get(name, ()), log))
    return found


def last_lines(log: Path) -> str:
    """The last lines of a log; of a progress bar, which overwrites itself, what was seen last."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return "\n".join(lines[-LOG_LINES - 1 :]).strip("\n")


def render(sections: Sequence[Section]) -> str:
    """The page as HTML: no scripts, nothing from elsewhere."""
    whats = {id: entry.what for id, entry in concordance.entries().items()}
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>minidl: the report</title>\n<style>\n{style}</style>\n</head>\n<body>",
            f"<header>\n<h1>minidl: the report</h1>{INTRODUCTION}</header>",
            _contents(sections),
            "<main>",
            *(_section(section, whats) for section in sections),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _contents(sections: Sequence[Section]) -> str:
    rows = []
    for section in sections:
        run, name = section.run, section.declaration.name
        status = run.get("status", "")
        cells = (
            f'<a href="#{quote(name)}">{escape(section.declaration.title)}</a>',
            f'<span class="status {status or "not-run"}">{STATUS[status]}</span>',
            escape(run.get("scale", "")),
            f"{run['seconds']:.1f}" if run else "",
            str(len(section.results) or ""),
        )
        rows.append(f'<tr><th scope="row">{cells[0]}</th>{"".join(f"<td>{cell}</td>" for cell in cells[1:])}</tr>')
    head = "".join(f'<th scope="col">{word}</th>' for word in ("chapter", "last run", "scale", "seconds", "results"))
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>"
    return f'<nav aria-label="chapters">\n<h2>Chapters</h2>\n{_scrolling("chapters", table)}\n</nav>'


def _section(section: Section, whats: Mapping[str, str]) -> str:
    declaration, run = section.declaration, section.run
    parts = [f'<section id="{escape(declaration.name)}">\n<h2>{escape(declaration.title)}</h2>']
    facts = [f"<code>{escape(declaration.name)}</code>"]
    if declaration.minutes:
        facts.append(f"{readable(declaration.minutes)} minutes to read")
    if declaration.law:
        facts.append(f"its law: {escape(declaration.law)}")
    if run:
        facts.append(f'<a href="logs/{quote(declaration.name)}.txt">what it printed</a>')
    parts.append(f'<p class="facts">{" · ".join(facts)}</p>')
    parts.append(_run_notice(section))
    kept = {entry["id"]: entry for entry in section.kept}
    earlier = set(run.get("earlier", ()))
    for entry in section.results:
        old = f"{store.file_name(entry['id'])}.json" in earlier
        parts.append(_result(entry, whats, kept.pop(entry["id"], None), old))
    for entry in kept.values():
        parts.append(_result(None, whats, entry, False))
    parts.append("</section>")
    return "\n".join(filter(None, parts))


def _run_notice(section: Section) -> str:
    run = section.run
    status = run.get("status", "")
    if status == "failed":
        how = f"signal {-run['exit']} killed it" if run["exit"] < 0 else f"exit status {run['exit']}"
        tail = f"<pre>{escape(section.log)}</pre>" if section.log else ""
        return f'<div class="notice failed"><p>This chapter failed ({how}). The end of what it printed:</p>{tail}</div>'
    if status == "interrupted":
        return (
            '<p class="notice">This chapter was interrupted; below is what it had recorded. Run it again to go on.</p>'
        )
    if not run:
        return '<p class="notice">This chapter has not been run for this report.</p>'
    return "" if section.results else '<p class="notice">This chapter recorded no table and no figure.</p>'


def _result(entry: Mapping | None, whats: Mapping[str, str], kept: Mapping | None, earlier: bool) -> str:
    """One table or figure: of this report, of the results kept with the project, or one below the other."""
    shown = entry or kept
    id, title = shown["id"], shown["title"]
    parts = [f'<article>\n<h3>{escape(title)} <code class="id">{escape(id)}</code></h3>']
    if id in whats:
        parts.append(f'<p class="what">In the text: {escape(whats[id])}.</p>')
    if earlier:
        parts.append('<p class="notice">From an earlier run: the last one ended before it came to this.</p>')
    if entry:
        parts.append(_body(entry, ""))
    if kept:
        parts.append("<h4>At full scale, kept with the project</h4>")
        parts.append(_body(kept, ", kept at full scale"))
    parts.append("</article>")
    return "\n".join(parts)


def _body(entry: Mapping, addition: str) -> str:
    parts = []
    if entry["scale"] == "smoke":
        parts.append(
            '<p class="notice meaningless">Smoke scale: sizes are cut so far that these numbers mean nothing. '
            "They only show that the chapter runs.</p>"
        )
    if entry["rows"]:
        parts.append(_table(entry, addition))
    if entry["figure"]:
        alt = escape(f"Figure: {entry['title']}{addition}")
        parts.append(f'<figure><img src="{quote(entry["figure"])}" alt="{alt}" loading="lazy"></figure>')
    if entry["note"]:
        parts.append(f'<p class="note"><strong>Note:</strong> {escape(entry["note"])}</p>')
    versions = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
    how = f"scale {entry['scale']}, seed {entry['seed']}, backend {entry['backend']}"
    made = f"{how}, {entry['seconds']:.1f} s; {versions}"
    parts.append(f'<p class="made">{escape(made)}</p>')
    return "\n".join(parts)


def _table(entry: Mapping, addition: str) -> str:
    columns, rows = entry["columns"], entry["rows"]
    shown = pairs(columns, rows)
    with_paper = [column for column, side in shown if side == "paper"]
    first = '<td rowspan="2"></td>' if with_paper else "<td></td>"
    top, second = [first], []
    for column in columns:
        if column in with_paper:
            top.append(f'<th scope="colgroup" colspan="2">{escape(column)}</th>')
            second.append('<th scope="col" class="paper">paper</th><th scope="col" class="ours">ours</th>')
        else:
            top.append(f'<th scope="col"{" rowspan=2" if with_paper else ""}>{escape(column)}</th>')
    head = f"<tr>{''.join(top)}</tr>" + (f"<tr>{''.join(second)}</tr>" if second else "")
    body = "\n".join(_row(row, shown) for row in rows)
    caption = f"<caption>{escape(entry['title'] + addition)}</caption>"
    table = f"<table>\n{caption}\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return _scrolling(entry["title"] + addition, table)


def _row(row: Mapping, shown: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f'<td class="{side}">{escape(readable(row[side].get(column)))}</td>' for column, side in shown)
    return f'<tr><th scope="row">{escape(row["label"])}</th>{cells}</tr>'


def _scrolling(label: str, table: str) -> str:
    """A wide table scrolls by itself, also from the keyboard, instead of pushing the page aside."""
    return f'<div class="table" role="region" tabindex="0" aria-label="{escape(label)}">\n{table}\n</div>'
