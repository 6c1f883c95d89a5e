"""Ctrl-C and kill -9: nothing is left running, nothing finished is lost, and a run goes on where it was."""

import os
import signal
import sys

import pytest
from cli.books import children_of, is_alive, recording, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")

# Starts a process of its own, as a chapter with workers does, tells both numbers, and never ends.
HANGING = """import os, pathlib, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("pids.tmp").write_text(f"{os.getpid()} {worker.pid}")
os.rename("pids.tmp", "pids")
time.sleep(600)
"""
STUBBORN = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"

STEPS = """import pathlib, time
import numpy as np

def first():
    with open("calls", "a") as file:
        file.write("first ")
    rng = np.random.default_rng(run.seed)
    return {"W": rng.standard_normal((7, 5)).T, "file": np.float32(1) / 3}

arrays = run.cached("first", first)
pathlib.Path("reached").touch()
while pathlib.Path("wait").exists():
    time.sleep(0.02)
total = (arrays["W"] @ np.arange(7.0)).sum()
"""


@pytest.mark.parametrize(("number", "stubborn"), [(signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGINT, STUBBORN)])
def test_an_interrupt_kills_the_children_and_keeps_what_is_finished(book, number, stubborn):
    book.write("00_done", recording("done", 1))
    book.write("01_hangs", stubborn + recording("begun", 2) + HANGING)
    book.write("02_never", recording("never", 3))
    process = book.start()
    wait_for((book.folder / "pids").exists)
    pids = [int(pid) for pid in (book.folder / "pids").read_text().split()]
    assert all(map(is_alive, pids))
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    wait_for(lambda: not any(map(is_alive, pids)), seconds=2)
    assert list(book.results()) == ["minidl:done", "minidl:begun"]
    assert "00_done  ok" in output and "01_hangs  interrupted" in output and "02_never  not run" in output
    assert "interrupted" in errors
    assert "This chapter was interrupted" in book.page()


def test_a_run_killed_without_warning_resumes_bit_for_bit(book):
    book.write("00_steps", STEPS + recording("total", "float(total).hex()"))
    (book.folder / "wait").touch()
    process = book.start()
    wait_for((book.folder / "reached").exists)
    children = children_of(process.pid)
    assert children
    for pid in (process.pid, *children):
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert not (book.out / "results.json").exists()
    (book.folder / "wait").unlink()

    assert book.reproduce().returncode == 0
    assert (book.folder / "calls").read_text() == "first ", "the saved step is not computed again"
    book.reproduce(out=book.folder / "uninterrupted")
    assert (book.folder / "calls").read_text() == "first first "
    resumed, uninterrupted = book.results(), book.results(book.folder / "uninterrupted")
    assert resumed["minidl:total"]["rows"] == uninterrupted["minidl:total"]["rows"]

    book.reproduce("--fresh")
    assert (book.folder / "calls").read_text() == "first first first ", "--fresh forgets the saved step"
    book.reproduce("--seed", 1)
    assert (book.folder / "calls").read_text() == "first first first first ", "another seed has its own state"
