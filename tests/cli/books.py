"""Small chapters in a temporary folder, and the command line on them as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

START = """import sys
from pathlib import Path
from minidl.cli import main
sys.exit(main(sys.argv[2:], chapters=Path(sys.argv[1])))
"""
CHAPTER = """# %% [markdown]
# # Title of {name}
# %%
from minidl import report
run = report.chapter("{name}", minutes=1{arguments})
{body}
"""
RECORD = 'report.record("minidl:{id}", "{id}", columns=("a",), rows=[{{"label": "x", "ours": {{"a": {value}}}}}])\n'


class Book:
    """A folder of chapters, an out folder, and the command on both."""

    def __init__(self, folder: Path):
        self.folder, self.chapters, self.out = folder, folder / "chapters", folder / "out"
        self.chapters.mkdir()

    def write(self, name, body, arguments=""):
        text = CHAPTER.format(name=name, body=body, arguments=arguments)
        (self.chapters / f"{name}.py").write_text(text)

    def start(self, *arguments, out=None, environment=None):
        given = ["reproduce", *map(str, arguments), "--out", str(out or self.out)]
        return subprocess.Popen(
            [sys.executable, "-c", START, str(self.chapters), *given],
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A suite that runs in the background may have been told to ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def reproduce(self, *arguments, **options):
        process = self.start(*arguments, **options)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def results(self, out=None):
        return {entry["id"]: entry for entry in json.loads(((out or self.out) / "results.json").read_text())}

    def page(self):
        return (self.out / "index.html").read_text()


def recording(id, value):
    """The line of a chapter that records one number of our own."""
    return RECORD.format(id=id, value=value)


def wait_for(condition, seconds=20.0):
    """Wait until condition() is true; fails the test if that takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def children_of(pid):
    """The processes that a process has started."""
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]


def is_alive(pid):
    """Whether a process still runs; one that only waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
