"""The command line: `minidl reproduce`, `minidl concordance`, `minidl data`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from minidl import __version__, backend

STATUSES = """exit status:
  0 done   1 a chapter failed, or the concordance is wrong   2 the arguments do not fit   3 data is missing
  130 interrupted"""

REPRODUCE = """Run chapters and write a page with their figures and, for every table or figure of the texts, the
paper's numbers beside ours: DIR/index.html, and DIR/results.json for programs. Results of chapters that are not run
this time stay in the report. A run that was interrupted goes on where it was if it is started again."""

SCALES = """scales:
  smoke   some seconds for all chapters; only shows that they run, the numbers mean nothing
  quick   at most 45 core-seconds a chapter, no network (the default)
  full    the text's own size; may take hours and may need data (see: minidl data list)"""

CONCORDANCE = """Say for every equation, table and figure of the texts where its code, its test and its chapter are.
The files are read, nothing is run."""

DATA = """List the data sets, download them, or say where downloads lie.
The variable MINIDL_DATA may name a folder that has them already."""

EXAMPLES = """examples:
  minidl reproduce                         all chapters at quick scale
  minidl reproduce 2 --scale full          chapter 02 at the size of the text
  minidl reproduce digits --jobs 2         by the beginning of its name"""


def main(argv: Sequence[str] | None = None, *, chapters: Path | None = None, package: Path | None = None) -> int:
    """Run the command line and return its exit status.

    argv: the arguments, those of the process if None. chapters: the folder of the chapters, package: that of the
    package whose concordance is read; found by themselves if None.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters is no reason to stop
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "reproduce":
            return _reproduce(arguments, chapters)
        if arguments.command == "concordance":
            return _concordance(arguments.missing, package)
        if arguments.command == "data":
            return _data(arguments)
        parser.print_help(sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as the shell says of a program that SIGPIPE ended


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="minidl",
        description="Six deep-learning texts as one small NumPy library. `minidl COMMAND --help` explains a command.",
        epilog=f"{EXAMPLES}\n\n{STATUSES}",
        formatter_class=raw,
    )
    parser.add_argument("--version", action="version", version=f"minidl {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_reproduce(commands, raw)
    one = commands.add_parser(
        "concordance",
        help="where each equation has its code, test and chapter",
        description=CONCORDANCE,
        epilog=STATUSES,
        formatter_class=raw,
    )
    one.add_argument("--missing", action="store_true", help="only the ids that lack one of them, and which")
    _add_data(commands, raw)
    return parser


def _add_reproduce(commands: argparse._SubParsersAction, raw: type) -> None:
    one = commands.add_parser(
        "reproduce",
        help="run chapters, write the report",
        description=REPRODUCE,
        epilog=f"{SCALES}\n\n{EXAMPLES}\n\n{STATUSES}",
        formatter_class=raw,
    )
    one.add_argument(
        "chapter", nargs="*", metavar="CHAPTER", help="number or unique beginning of the name; all if none is given"
    )
    one.add_argument("--scale", choices=("smoke", "quick", "full"), default="quick", help="how large (default: quick)")
    one.add_argument("--jobs", type=_at_least(1), default=1, metavar="N", help="chapters at a time (default: 1)")
    one.add_argument("--seed", type=_at_least(0), default=0, metavar="S", help="where randomness starts (default: 0)")
    one.add_argument(
        "--backend", choices=("numpy", "cupy"), default=backend.name(), help="array library (default: %(default)s)"
    )
    one.add_argument("--out", type=Path, default=Path("minidl-report"), metavar="DIR", help="default: minidl-report")
    one.add_argument("--fresh", action="store_true", help="forget what interrupted runs have saved")
    one.add_argument(
        "--keep", action="store_true", help="store full-scale results in chapters/results (source checkout only)"
    )


def _add_data(commands: argparse._SubParsersAction, raw: type) -> None:
    one = commands.add_parser(
        "data",
        help="list and fetch data sets",
        description=DATA,
        epilog=STATUSES,
        formatter_class=raw,
    )
    actions = one.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the data sets: size, licence, whether they are here")
    fetch = actions.add_parser("fetch", help="download data sets and check them")
    fetch.add_argument("name", nargs="+", metavar="NAME", help="as in `minidl data list`")
    actions.add_parser("path", help="print the folder of the downloads")


def _at_least(least: int):
    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
        return value

    return whole_number


def _reproduce(arguments: argparse.Namespace, folder: Path | None) -> int:
    from minidl.report import declaration, reproduce

    if arguments.backend not in ("numpy", "cupy"):  # argparse does not check a default
        print(f"minidl reproduce: MINIDL_BACKEND must be numpy or cupy, got {arguments.backend!r}", file=sys.stderr)
        return 2
    try:
        paths = declaration.chapter_paths(folder or declaration.find_chapters())
        chosen = declaration.select(arguments.chapter, paths)
    except (ValueError, FileNotFoundError) as error:
        print(f"minidl reproduce: {error}", file=sys.stderr)
        return 2
    options = reproduce.Options(
        scale=arguments.scale,
        seed=arguments.seed,
        backend=arguments.backend,
        jobs=arguments.jobs,
        out=arguments.out,
        fresh=arguments.fresh,
        keep=arguments.keep,
    )
    return reproduce.reproduce(chosen, options)


def _concordance(only_missing: bool, package: Path | None) -> int:
    from minidl import concordance

    found = concordance.scan(package or concordance.PACKAGE)
    if only_missing:
        for line in concordance.missing_lines(found):
            print(line)
        print(concordance.count(found), file=sys.stderr)
    else:
        for line in concordance.lines(found):
            print(line)
    if "test" not in found.found:
        print("The tests are not part of an installation: only code and chapters are shown.", file=sys.stderr)
    for mention in found.unknown:
        print(f"{mention}: unknown id {mention.id!r}", file=sys.stderr)
    for sentence in found.unreadable:
        print(sentence, file=sys.stderr)
    return 1 if found.unknown or found.unreadable else 0


def _data(arguments: argparse.Namespace) -> int:
    from minidl.data import registry
    from minidl.data.errors import DataError

    if arguments.action == "path":
        print(registry.cache_path())
        return 0
    if arguments.action == "list":
        for name in registry.names():
            description, licence, size = registry.describe(name)
            here = "here" if registry.missing(name) is None else "not here"
            print(f"{name:10}  {here:8}  {size / 1e6:8.2f} MB  {description}; licence: {licence}")
        return 0
    if unknown := [name for name in arguments.name if name not in registry.names()]:
        print(
            f"minidl data: no data set {', '.join(unknown)}; there are {', '.join(registry.names())}", file=sys.stderr
        )
        return 2
    status = 0
    for name in arguments.name:
        try:
            print(f"{name}: {registry.fetch(name)}")
        except DataError as error:
            print(error, file=sys.stderr)
            status = 3
    return status
