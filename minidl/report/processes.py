"""Run commands as processes, some at a time, and leave none behind: not after a failure, not after Ctrl-C."""

import codecs
import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

GRACE = 2.0  # seconds that an interrupted process has to put its files away


@dataclass(frozen=True)
class Task:
    """A command with its environment, and the file that everything it prints goes to."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path


@dataclass(frozen=True)
class Outcome:
    """How a task ended: "ok", "failed" or "interrupted", its exit status (negative: the signal that killed it)."""

    name: str
    status: str
    exit: int
    seconds: float


def run_all(
    tasks: Sequence[Task],
    jobs: int,
    terminal: TextIO | None,
    started: Callable[[Task], None],
    ended: Callable[[Outcome], None],
) -> bool:
    """Run the tasks, at most `jobs` at a time; returns whether all were run, False after an interrupt.

    terminal: where their output goes besides their logs, or None. started and ended are called in this thread.
    On SIGINT and SIGTERM the running processes are killed with all that they started, and no other is begun.
    """
    waiting, running = deque(tasks), dict[str, _Process]()
    events: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
    interrupted = False
    with _interrupts_as_events(events):
        try:
            while running or (waiting and not interrupted):
                while waiting and len(running) < jobs and not interrupted:
                    task = waiting.popleft()
                    started(task)
                    running[task.name] = _Process(task, terminal, events)
                process = _next(events)
                if process is None:
                    interrupted = True
                    _kill(list(running.values()))
                    continue
                del running[process.task.name]
                ended(process.outcome(interrupted))
        finally:
            _kill(list(running.values()))  # none are left but after an error, such as a full disk
    return not interrupted


class _Process:
    """A started task. Two threads serve it: one copies its output, one waits for its end and then posts it."""

    def __init__(self, task: Task, terminal: TextIO | None, events: queue.SimpleQueue):
        self.task, self.terminal, self.events = task, terminal, events
        task.log.parent.mkdir(parents=True, exist_ok=True)
        self.log = open(task.log, "wb")  # noqa: SIM115, closed by the thread that copies
        self.began = time.perf_counter()
        # A session of its own makes the process and all that it starts one group, which is killed as one.
        self.process = subprocess.Popen(
            task.command,
            env=dict(task.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.copier = threading.Thread(target=self._copy, daemon=True)
        self.copier.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def outcome(self, interrupted: bool) -> Outcome:
        exit = self.process.returncode
        status = "ok" if exit == 0 else "interrupted" if interrupted else "failed"
        return Outcome(self.task.name, status, exit, self.seconds)

    def _copy(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        terminal = self.terminal
        with self.log:
            while chunk := self.process.stdout.read1(65536):
                self.log.write(chunk)
                self.log.flush()
                try:
                    if terminal is not None:
                        terminal.write(decoder.decode(chunk))
                        terminal.flush()
                except OSError:
                    terminal = None  # whoever read along has gone; the log goes on
        self.process.stdout.close()

    def _wait(self) -> None:
        self.process.wait()
        self.seconds = time.perf_counter() - self.began
        # What the process has started and not ended (workers of a killed chapter) would hold the pipe open for ever.
        self.send(_KILL)
        self.copier.join()
        self.events.put(self)

    def send(self, number: int) -> None:
        """Send a signal to the process and all that it started; on Windows, which has no groups, to it alone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)
            else:
                self.process.kill()


_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def _kill(processes: list[_Process]) -> None:
    """Ask first, so that half-written files are put away, then insist."""
    for process in processes:
        process.send(signal.SIGINT)
    deadline = time.monotonic() + GRACE
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.process.wait(max(0.0, deadline - time.monotonic()))
    for process in processes:
        process.send(_KILL)


def _next(events: queue.SimpleQueue) -> _Process | None:
    while True:
        # Windows does not let an interrupt through to a wait without a limit.
        with contextlib.suppress(queue.Empty):
            return events.get(timeout=0.5)


@contextlib.contextmanager
def _interrupts_as_events(events: queue.SimpleQueue) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into an event None: an exception could come between a process's start and its entry."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: events.put(None))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
