"""`minidl reproduce`: run chapters as processes, gather what they recorded, write the page."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import minidl
from minidl import backend
from minidl.report import page, processes, store
from minidl.report.declaration import PACKAGE, Declaration, declared_or_named, is_source_checkout
from minidl.report.run import MEANINGLESS, THREAD_VARIABLES

OK, FAILED, BAD_ARGUMENTS, DATA_MISSING, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(frozen=True)
class Options:
    """How to run: scale, seed, backend, how many chapters at a time, where the report goes.

    fresh: forget the saved state. keep: store full-scale results with the chapters.
    """

    scale: str = "quick"
    seed: int = 0
    backend: str = "numpy"
    jobs: int = 1
    out: Path = Path("minidl-report")
    fresh: bool = False
    keep: bool = False


def reproduce(chapters: Sequence[Path], options: Options) -> int:
    """Run the chapters (their files, all in one folder) and write OUT/index.html and OUT/results.json.

    Returns the exit status: 0; 1 a chapter failed; 2 the options do not fit; 3 data is missing; 130 interrupted.
    """
    folder = chapters[0].parent
    out = options.out.absolute()
    if refusal := _refuse_options(folder, options):
        print(f"minidl reproduce: {refusal}", file=sys.stderr)
        return BAD_ARGUMENTS
    if absent := _missing_data([declared_or_named(path) for path in chapters], options.scale):
        print("\n".join(absent), file=sys.stderr)
        return DATA_MISSING
    if refusal := _make_folder(out):
        print(f"minidl reproduce: {refusal}", file=sys.stderr)
        return BAD_ARGUMENTS

    what = f"{len(chapters)} chapter{'s' if len(chapters) > 1 else ''}"
    print(f"minidl {minidl.__version__}: {what}, scale {options.scale}, seed {options.seed}, backend {options.backend}")
    if options.scale == "smoke":
        print(MEANINGLESS)
    book = _Bookkeeper(out, options, alone=min(options.jobs, len(chapters)) == 1)
    tasks = [_task(path, out, options) for path in chapters]
    complete = processes.run_all(tasks, options.jobs, sys.stdout if book.alone else None, book.started, book.ended)
    if options.keep:
        book.keep(folder / "results")
    store.write_results_json(out)
    page.write(out, folder)

    if len(chapters) > 1:
        print("\n" + book.summary([path.stem for path in chapters]))
    print(f"report: {options.out / 'index.html'}")
    if not complete:
        print("interrupted; the report has what was finished, and running it again goes on from there", file=sys.stderr)
        return INTERRUPTED
    return OK if all(outcome.status == "ok" for outcome in book.outcomes.values()) else FAILED


def _refuse_options(folder: Path, options: Options) -> str | None:
    """Why these options cannot be run, in a sentence; None if they can."""
    if options.keep and options.scale != "full":
        return f"--keep is for results at full scale, this is --scale {options.scale}"
    if options.keep and not (is_source_checkout(folder) and os.access(folder, os.W_OK)):
        return f"--keep writes into the chapters of a source checkout; {folder} is part of an installation or read-only"
    try:
        backend.load(options.backend)
    except backend.BackendError as error:
        return str(error)
    return None


def _make_folder(out: Path) -> str | None:
    """Make the out folder; returns why that cannot be done, in a sentence, or None."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"cannot make the folder {out}: {error.strerror}"
    if not os.access(out, os.W_OK):
        return f"cannot write into the folder {out}"
    return None


def _missing_data(declarations: Sequence[Declaration], scale: str) -> list[str]:
    """One sentence for each data set that some chapter needs at this scale and that is not there."""
    users: dict[str, list[str]] = {}
    for declaration in declarations:
        for name in declaration.data.get(scale, ()):
            users.setdefault(name, []).append(declaration.name)
    if not users:
        return []
    from minidl.data import registry

    return [
        f"chapter {', '.join(chapters)} at --scale {scale}: {sentence}"
        for name, chapters in users.items()
        if (sentence := registry.missing(name))
    ]


def _task(path: Path, out: Path, options: Options) -> processes.Task:
    environment = dict(os.environ)
    # One BLAS thread: another number of threads sums in another order.
    environment.update({variable: "1" for variable in THREAD_VARIABLES})
    environment.update(
        MPLBACKEND="Agg",
        PYTHONHASHSEED="0",
        PYTHONUNBUFFERED="1",
        PYTHONIOENCODING="utf-8",
        MINIDL_SCALE=options.scale,
        MINIDL_SEED=str(options.seed),
        MINIDL_BACKEND=options.backend,
        MINIDL_OUT=str(out),
        MINIDL_FRESH="1" if options.fresh else "0",
    )
    if (PACKAGE.parent / "pyproject.toml").exists():
        # A checkout that is not installed: its chapters must find the package that runs them.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), environment.get("PYTHONPATH")]))
    return processes.Task(path.stem, (sys.executable, str(path)), environment, out / "logs" / f"{path.stem}.txt")


class _Bookkeeper:
    """Notes how each chapter ends and which results it recorded; OUT/runs tells it to the page."""

    def __init__(self, out: Path, options: Options, alone: bool):
        self.out, self.options, self.alone = out, options, alone
        self.outcomes: dict[str, processes.Outcome] = {}
        self.recorded: dict[str, list[Path]] = {}
        self.before: dict[str, dict[Path, tuple]] = {}

    def started(self, task: processes.Task) -> None:
        self.before[task.name] = self._stamps(task.name)
        if self.alone:
            print(f"\n== {task.name} ==", flush=True)

    def ended(self, outcome: processes.Outcome) -> None:
        now = self._stamps(outcome.name)
        earlier = [path for path in now if self.before[outcome.name].get(path) == now[path]]
        if outcome.status == "ok":
            for path in earlier:
                path.unlink()  # the chapter does not record this any more
            earlier = []
        self.outcomes[outcome.name] = outcome
        self.recorded[outcome.name] = [path for path in now if path not in earlier]
        entry = {
            "chapter": outcome.name,
            "status": outcome.status,
            "exit": outcome.exit,
            "seconds": round(outcome.seconds, 3),
            "scale": self.options.scale,
            "seed": self.options.seed,
            "backend": self.options.backend,
            "earlier": [path.name for path in earlier],
        }
        store.write_json(self.out / "runs" / f"{outcome.name}.json", entry)
        print(_line(outcome), flush=True)
        if outcome.status == "failed" and not self.alone:
            print(page.last_lines(self.out / "logs" / f"{outcome.name}.txt"), file=sys.stderr)

    def _stamps(self, name: str) -> dict[Path, tuple]:
        found = sorted((self.out / "results" / name).glob("*.json"))
        return {path: ((stat := path.stat()).st_ino, stat.st_mtime_ns) for path in found}

    def keep(self, kept: Path) -> None:
        """Copy what the chapters that ended well recorded, with its figures, to the results kept with the chapters."""
        for name, outcome in self.outcomes.items():
            for path in self.recorded[name] if outcome.status == "ok" else ():
                kept.mkdir(exist_ok=True)
                entry = json.loads(path.read_text(encoding="utf-8"))
                if entry["figure"]:
                    figure = self.out / entry["figure"]
                    shutil.copyfile(figure, kept / figure.name)
                    entry["figure"] = figure.name
                store.write_json(kept / path.name, entry)
                print(f"kept: {kept / path.name}")

    def summary(self, names: Sequence[str]) -> str:
        return "\n".join(_line(self.outcomes[name]) if name in self.outcomes else f"{name}  not run" for name in names)


def _line(outcome: processes.Outcome) -> str:
    detail = ""
    if outcome.status == "failed":
        detail = f" (killed by signal {-outcome.exit})" if outcome.exit < 0 else f" (exit status {outcome.exit})"
    return f"{outcome.name}  {outcome.status}{detail}  {outcome.seconds:.1f} s"
