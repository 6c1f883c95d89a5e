"""Make docs/errata.md from the docstrings' `Erratum:` lines: `python docs/build_errata.py [--check]`."""

import argparse
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "errata.md"
HEAD = """# What the texts print, and what the code does

Made from the `Erratum:` lines of the docstrings by `python docs/build_errata.py`; a test keeps it up to date.
Each stands where the formula is, so that nobody who compares the code with the page has to wonder.

| text, place | what | where |
|---|---|---|
"""
STARTS = re.compile(r"\s*(Erratum|Source|Raises|Returns):?\s")


def errata(path: Path) -> list[tuple[str, str, str]]:
    """(place, what, where) of each erratum in the docstrings of a file."""
    found = []
    relative = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            found += [(*_split(text), f"`{relative}`, {getattr(node, 'name', 'module')}") for text in _paragraphs(node)]
    return found


def _paragraphs(node: ast.AST) -> list[str]:
    texts, open_ = [], False
    for line in (ast.get_docstring(node) or "").splitlines():
        if line.strip().startswith("Erratum:"):
            texts.append(line.strip().removeprefix("Erratum:").strip())
            open_ = True
        elif not line.strip() or STARTS.match(line):
            open_ = False
        elif open_:
            texts[-1] += " " + line.strip()
    return texts


def _split(text: str) -> tuple[str, str]:
    place, colon, what = text.partition(": ")
    if not colon or "," not in place:
        raise SystemExit(f"an erratum must read 'Erratum: text, place: printed ..., right ...', got: {text}")
    return place, what


def page() -> str:
    """The whole page."""
    rows = sorted(row for path in (ROOT / "minidl").rglob("*.py") for row in errata(path))
    lines = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows)  # a bar would end its cell
    return HEAD + "".join(f"| {line} |\n" for line in lines)


def main() -> None:
    """Write the page, or with --check say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        sys.exit(0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page() else "docs/errata.md is out of date")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
