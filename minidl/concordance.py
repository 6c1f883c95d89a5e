"""The concordance: where each equation, table and figure of the six texts has its code, its test and its chapter.

Read from the files; nothing is run. The code says `Source: lrp:eq58, lrp:eq2` in a docstring, a test carries
`@pytest.mark.source("lrp:eq58")`, a chapter names `[lrp:eq58]` in a prose cell or calls `report.record("lrp:fig2", …)`.
"""

import ast
import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
SIDES = ("code", "test", "chapter")

# These are shown, not computed by one function: the chapter's own cell is their code.
SHOWN_IN_CHAPTERS = frozenset({"remark", "example", "figure", "table", "experiment", "data"})

SOURCE_LINE = re.compile(r"^\s*Source:\s*(?P<ids>.*)$")
ID = re.compile(r"[a-z]+:[A-Za-z0-9.-]*[A-Za-z0-9]")
BRACKETS = re.compile(r"\[([^\[\]]+)\]")
CELL = re.compile(r"^# %%(?P<kind>.*)$")
SHOWN_PLACES = 3


@dataclass(frozen=True)
class Entry:
    """One thing that a text contains: its id, its kind (equation, figure, …) and what it is."""

    id: str
    kind: str
    what: str


@dataclass(frozen=True)
class Mention:
    """An id at a place: a file, relative to the root that was scanned, and a line."""

    id: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Concordance:
    """What `scan` found: the entries, and for each side {id: its mentions}; sides that are not installed are absent."""

    entries: Mapping[str, Entry]
    found: Mapping[str, Mapping[str, list[Mention]]]
    unknown: list[Mention]
    unreadable: list[str] = field(default_factory=list)

    def places(self, id: str, side: str) -> list[Mention]:
        """Where the id has its code, test or chapter; for what is shown, not computed, the chapter counts as code."""
        places = self.found[side].get(id, [])
        if side == "code" and not places and self.entries[id].kind in SHOWN_IN_CHAPTERS:
            return self.found["chapter"].get(id, [])
        return places

    def missing(self, id: str) -> list[str]:
        """The sides that the id lacks."""
        return [side for side in self.found if not self.places(id, side)]


def entries(path: Path = PACKAGE / "concordance.csv") -> dict[str, Entry]:
    """{id: Entry} of the list of what the texts contain. Raises ValueError if an id stands there twice."""
    with open(path, encoding="utf-8", newline="") as file:
        listed = [Entry(row["id"], row["kind"], row["what"]) for row in csv.DictReader(file)]
    found = {entry.id: entry for entry in listed}
    if len(found) < len(listed):
        twice = sorted({entry.id for entry in listed if sum(other.id == entry.id for other in listed) > 1})
        raise ValueError(f"{path.name} lists {', '.join(twice)} more than once")
    return found


def scan(package: Path = PACKAGE, known: Mapping[str, Entry] | None = None) -> Concordance:
    """Read the package and, where it is a source checkout (pyproject.toml beside it), its tests and chapters.

    An installation has its chapters inside the package and no tests: then the side "test" is absent.
    """
    root = package.parent
    checkout = (root / "pyproject.toml").exists()
    chapters = root / "chapters" if checkout else package / "chapters"
    known = entries(package / "concordance.csv") if known is None else known
    prefixes = {id.partition(":")[0] for id in known}
    unreadable: list[str] = []

    def read(paths: Iterator[Path], mentions_of) -> dict[str, list[Mention]]:
        by_id: dict[str, list[Mention]] = {}
        for path in sorted(paths):
            relative = path.relative_to(root).as_posix()
            try:
                source = path.read_text(encoding="utf-8")
                mentions = list(mentions_of(source, prefixes))
            except (SyntaxError, ValueError) as error:
                unreadable.append(f"{relative}: {error}")
                continue
            for id, line in mentions:
                by_id.setdefault(id, []).append(Mention(id, relative, line))
        return by_id

    found = {
        "code": read(
            (path for path in package.rglob("*.py") if package / "chapters" not in path.parents), _in_docstrings
        )
    }
    if checkout:
        found["test"] = read((root / "tests").rglob("*.py"), _in_tests)
    found["chapter"] = read(chapters.glob("*.py"), _in_chapter)
    unknown = [
        mention for side in found.values() for id, mentions in side.items() if id not in known for mention in mentions
    ]
    return Concordance(known, found, unknown, unreadable)


def _in_docstrings(source: str, _prefixes: set[str]) -> Iterator[tuple[str, int]]:
    """(id, line) of every `Source:` line of a docstring. A list that ends in a comma goes on in the next line."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is None:
            continue
        going_on = False
        for number in range(node.body[0].lineno, node.body[0].end_lineno + 1):
            text = lines[number - 1]
            if tag := SOURCE_LINE.match(text):
                text = tag["ids"]
            elif not going_on:
                continue
            ids = ID.findall(text)
            if not ids:
                raise ValueError(f"line {number}: 'Source:' without an id such as gal:eq3.18")
            yield from ((id, number) for id in ids)
            going_on = text.rstrip().endswith(",")


def _in_tests(source: str, _prefixes: set[str]) -> Iterator[tuple[str, int]]:
    """(id, line) of every pytest.mark.source("id", …), as a decorator, in pytestmark or on a parameter."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "source"):
            continue
        if not (isinstance(node.func.value, ast.Attribute) and node.func.value.attr == "mark"):
            continue
        for argument in node.args:
            if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                raise ValueError(f"line {argument.lineno}: the ids of mark.source must be literal strings")
            yield argument.value, argument.lineno


def _in_chapter(source: str, prefixes: set[str]) -> Iterator[tuple[str, int]]:
    """(id, line) of every [id] in a prose cell, and of every literal id in a call report.record(id, …)."""
    prose = False
    for number, line in enumerate(source.splitlines(), start=1):
        if cell := CELL.match(line):
            prose = "[markdown]" in cell["kind"]
        elif prose and line.startswith("#"):
            yield from ((id, number) for text in BRACKETS.findall(line) for id in _ids_of(text, prefixes))
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "record"
            and node.args
        ):
            id = node.args[0]
            if isinstance(id, ast.Constant) and isinstance(id.value, str) and not id.value.startswith("minidl:"):
                yield id.value, id.lineno


def _ids_of(text: str, prefixes: set[str]) -> list[str]:
    """The ids of `[lrp:eq58]` or `[lrp:eq58, lrp:eq2]`; none if the brackets hold anything else, as links do."""
    words = [word.strip() for word in text.split(",")]
    fitting = all(ID.fullmatch(word) and word.partition(":")[0] in prefixes for word in words)
    return words if fitting else []


def lines(concordance: Concordance) -> Iterator[str]:
    """One line for each id: where its code, its test and its chapter are; then the count."""
    width = max(map(len, concordance.entries), default=0)
    for id in concordance.entries:
        sides = (f"{side} {_listed(concordance.places(id, side))}" for side in concordance.found)
        yield f"{id:{width}}  {'  '.join(sides)}"
    yield count(concordance)


def missing_lines(concordance: Concordance) -> Iterator[str]:
    """One line for each id that lacks its code, its test or its chapter: the id, then what it lacks."""
    width = max(map(len, concordance.entries), default=0)
    for id in concordance.entries:
        if lacking := concordance.missing(id):
            yield f"{id:{width}}  {', '.join(lacking)}"


def count(concordance: Concordance) -> str:
    """How many ids have their code, their test, their chapter, and all of them, in one sentence."""
    ids = concordance.entries
    having = ", ".join(
        f"{sum(bool(concordance.places(id, side)) for id in ids)} have a {side}" for side in concordance.found
    )
    complete = sum(not concordance.missing(id) for id in ids)
    return f"{len(ids)} ids: {having.replace('a code', 'code')}; {complete} lack nothing"


def _listed(places: list[Mention]) -> str:
    if not places:
        return "-"
    more = f" and {len(places) - SHOWN_PLACES} more" if len(places) > SHOWN_PLACES else ""
    return ", ".join(map(str, places[:SHOWN_PLACES])) + more
