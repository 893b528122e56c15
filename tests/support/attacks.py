"""Attacks: something hostile is tried in a process of its own, and how it ended is counted in a table.

A test marked ``attack`` makes many of them; ``make attack`` runs these tests and prints the table. A small part of each kind is
in a plain test. An attack holds if the process ends in time, within memory, and as the test says.
"""

import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MEGABYTE = 2**20

SECONDS, MEMORY = 5.0, 300 * MEGABYTE
"""What a refusal may take, and memory in bytes beyond that of a process which only imported what it needs."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        code: the exit code; minus the signal that ended it.
        seconds: wall-clock.
        memory: peak bytes; of a forked process, beyond what it began with.
        text: standard output and standard error together.
        processor: seconds of processor time; where other work runs beside, the better measure.
    """

    code: int
    seconds: float
    memory: int
    text: str
    timed_out: bool
    processor: float = 0.0


@dataclass
class Tally:
    """What was tried, and what held."""

    kind: str
    tried: int = 0
    held: int = 0
    seconds: float = 0.0
    memory: int = 0
    failures: list[str] = field(default_factory=list)

    def count(self, name: str, held: bool, outcome: Outcome | None = None, why: str = "") -> None:
        self.tried, self.held = self.tried + 1, self.held + held
        if outcome is not None:
            self.seconds, self.memory = max(self.seconds, outcome.seconds), max(self.memory, outcome.memory)
        if not held:
            said = f": {outcome.text.strip()[-300:]}" if outcome is not None else ""
            self.failures.append(f"{name}{' ' * bool(why)}{why}{said}")

    def check(self) -> None:
        """Fail when an attack did not hold; keep the row for the table of this session."""
        TALLIES.append(self)
        assert self.tried, f"{self.kind}: nothing was tried"
        assert self.held == self.tried, f"{self.kind}: {self.held} of {self.tried} held\n" + "\n".join(
            self.failures[:20]
        )


TALLIES: list[Tally] = []


def table(tallies: Sequence[Tally]) -> str:
    rows = [("kind", "tried", "held", "longest seconds", "most memory, MB")]
    rows += [
        (t.kind, f"{t.tried:,}", f"{t.held:,}", f"{t.seconds:.1f}", f"{t.memory / MEGABYTE:,.0f}") for t in tallies
    ]
    widths = [max(len(row[index]) for row in rows) for index in range(5)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def forked(work: Callable[[], object], seconds: float = 60.0, folder: Path | None = None) -> Outcome:
    """Call a function in a forked process: nothing is imported again. The exit code is 0; 1 after an exception."""
    output = tempfile.TemporaryFile()  # noqa: SIM115, closed below
    start, (reading, writing) = time.monotonic(), os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()  # a Ctrl-C in the terminal is for the parent
            # Less than the parent has: pages of libraries come when they are touched.
            os.write(writing, str(_resident()).encode())
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            # Under pytest these are replaced, so what is printed would not arrive.
            sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
            if folder is not None:
                os.chdir(folder)
            work()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            for process in multiprocessing.active_children():
                process.kill()
            os._exit(code)
    os.close(writing)
    before = int(os.read(reading, 20) or 0)
    os.close(reading)
    outcome = _wait(child, start, seconds, output, before)
    output.close()
    return outcome


def spawned(
    command: Sequence[str | Path],
    seconds: float = 120.0,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> Outcome:
    """Run a command as a process of its own, in a session of its own."""
    import subprocess

    with tempfile.TemporaryFile() as output:
        start = time.monotonic()
        process = subprocess.Popen(
            [str(one) for one in command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        outcome = _wait(process.pid, start, seconds, output, 0)
        process.returncode = outcome.code  # it was waited for here
        return outcome


def _wait(child: int, start: float, seconds: float, output, before: int) -> Outcome:
    timed_out = False
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if not timed_out and time.monotonic() - start > seconds:
            timed_out = True
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    taken = time.monotonic() - start
    output.seek(0)
    text = output.read().decode(errors="replace")
    memory = max(usage.ru_maxrss * 1024 - before, 0)
    processor = usage.ru_utime + usage.ru_stime
    return Outcome(os.waitstatus_to_exitcode(status), taken, memory, text, timed_out, processor)


def _resident() -> int:
    """Return the memory of this process now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
