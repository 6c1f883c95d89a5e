"""The chapters: where they are, which one is meant, and what they declare, read without running them."""

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
PATTERN = "[0-9][0-9]_*.py"
HEADING = re.compile(r"^# # +(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Declaration:
    """What a chapter says of itself: minutes to read, the law it obeys, the data it needs at each scale."""

    name: str
    title: str
    minutes: float | None = None
    law: str = ""
    data: dict[str, tuple[str, ...]] = field(default_factory=dict)


def find_chapters() -> Path:
    """The folder of the chapters: in the package (an installation) or beside it (a source checkout).

    Never the current folder: a file that happens to lie there must not be run.
    Raises FileNotFoundError if there are none.
    """
    places = PACKAGE / "chapters", PACKAGE.parent / "chapters"
    for place in places:
        if any(place.glob(PATTERN)):
            return place
    raise FileNotFoundError(f"no chapters found: neither {places[0]} nor {places[1]} holds a file like 00_name.py")


def chapter_paths(folder: Path) -> list[Path]:
    """The chapters of a folder, by number."""
    return sorted(folder.glob(PATTERN))


def is_source_checkout(folder: Path) -> bool:
    """Whether chapters in this folder are somebody's working files, rather than part of an installation."""
    return not folder.resolve().is_relative_to(PACKAGE)


def select(wanted: Sequence[str], paths: Iterable[Path]) -> list[Path]:
    """The chapters meant by numbers ("2", "02") or unique beginnings of names ("02_dig", "digits"); all for none.

    Raises ValueError, in one sentence that lists what exists, for a name that fits no chapter or several.
    """
    paths = list(paths)
    if not wanted:
        return paths
    chosen: dict[Path, None] = {}
    for word in wanted:
        fitting = _fitting(word.removesuffix(".py"), paths)
        if len(fitting) != 1:
            meant = (
                f"fits several chapters: {_names(fitting)}" if fitting else f"is no chapter; there are {_names(paths)}"
            )
            raise ValueError(f"{word!r} {meant}")
        chosen[fitting[0]] = None
    return list(chosen)


def _fitting(word: str, paths: list[Path]) -> list[Path]:
    if word.isascii() and word.isdigit():
        return [path for path in paths if int(path.stem[:2]) == int(word)]
    exact = [path for path in paths if word in (path.stem, path.stem[3:])]
    return exact or [path for path in paths if word and (path.stem.startswith(word) or path.stem[3:].startswith(word))]


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(path.stem for path in paths) or "none"


def declared(path: Path) -> Declaration:
    """Read the literal arguments of `report.chapter(...)` in a chapter, and its title, without running it.

    Raises ValueError if the call is missing, not literal, or names another chapter than the file does, and SyntaxError
    if the file is no Python.
    """
    source = path.read_text(encoding="utf-8")
    call = next((node for node in ast.walk(ast.parse(source, str(path))) if _declares(node)), None)
    if call is None:
        raise ValueError(f"{path.name} declares no chapter: it has no call report.chapter(...)")
    try:
        (name,) = map(ast.literal_eval, call.args)
        given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg != "out"}
    except (ValueError, TypeError):
        raise ValueError(
            f"{path.name}:{call.lineno}: report.chapter needs its name first and literal arguments only"
        ) from None
    if name != path.stem:
        raise ValueError(
            f"{path.name}:{call.lineno}: the chapter declares the name {name!r}, its file is {path.stem!r}"
        )
    data = {scale: tuple(names) for scale, names in (given.get("data") or {}).items()}
    return Declaration(name, title(source) or name, given.get("minutes"), given.get("law", ""), data)


def title(source: str) -> str | None:
    """The first markdown heading of a chapter in percent format, None if it has none."""
    found = HEADING.search(source)
    return found[1] if found else None


def _declares(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "chapter"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "report"
    )


def declared_or_named(path: Path) -> Declaration:
    """The declaration, or for a chapter that cannot be read only its name: running it will tell what is wrong."""
    try:
        return declared(path)
    except (ValueError, SyntaxError):
        return Declaration(path.stem, path.stem)
