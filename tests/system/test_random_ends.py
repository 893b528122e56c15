"""Commands with loader processes, ended by a signal at a random moment: nothing is left, or the next process removes it."""

import gc
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from attacks import Outcome, Tally
from processes_left import children, ended_within
from small_recipe import large_recipe

from taskgraft.cli.main import main
from taskgraft.files.temporary_folder import remove_left_folders
from taskgraft.storage.atomic_write import remove_leftovers_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("default_signals")]

CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGHUP: 129}

MOST_SECONDS = 15.0
"""From a signal to the end. Most end within a tenth of a second; on a busy disk what is being synced is waited for."""

COMMANDS = {
    "fit": ("fit", "many.toml", "-q", "-o", "out", "--overwrite"),
    "predict": ("predict", "intents", "many.csv", "-q", "-o", "out.csv", "--overwrite"),
    "evaluate": ("evaluate", "intents", "many.csv", "-q"),
    "features": ("features", "small-words", "many.csv", "--input", "text", "-q", "-o", "out.npy", "--overwrite"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with large_recipe(tmp_path_factory.mktemp("ends")) as folder:
        yield folder


def start(place: Path, command: str) -> int:
    """Start a command in a forked process; return its number once it handles signals."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chdir(place)
            os.dup2(os.open("output", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 1)
            os.dup2(1, 2)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
            os.environ["TASKGRAFT_WORKERS"] = "2"
            tempfile.tempdir = str(place / "temporary")
            handled = signal.signal

            def signal_and_say(number, handler):
                result = handled(number, handler)
                if number == signal.SIGHUP and callable(handler):
                    os.write(writing, b"1")
                return result

            signal.signal = signal_and_say
            main(COMMANDS[command])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            Path("ended").touch()
        finally:
            with suppress(Exception):
                gc.collect()  # as Python does when it ends: generators that an interruption left are closed
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    return child


def attack(place: Path, command: str, number: signal.Signals, delay: float) -> tuple[bool, Outcome, str]:
    """End a command after some seconds; return whether that held, and why not."""
    (place / "ended").unlink(missing_ok=True)
    process = start(place, command)
    time.sleep(delay)
    workers = children(process)
    began = time.monotonic()  # a busy machine may have slept much longer
    os.kill(process, number)
    _, status = os.waitpid(process, 0)
    seconds, code = time.monotonic() - began, os.waitstatus_to_exitcode(status)
    outcome = Outcome(code, seconds, 0, (place / "output").read_text(), False)
    problems = []
    if not ended_within(1.0, workers):
        problems.append("a loader process goes on")
    if seconds > MOST_SECONDS:
        problems.append(f"it took {seconds:.1f} s to end")
    if code not in (CODES[number], 0) and not (code == -number and (place / "ended").exists()):
        problems.append(f"the code is {code}")
    if code == CODES[signal.SIGTERM] and not outcome.text.startswith("Interrupted"):
        problems.append("it says something else")
    until = time.monotonic() + 5  # a process that had just been forked when its parent was killed
    while (
        number == signal.SIGKILL
        and time.monotonic() < until
        and (os.listdir(place / "temporary") or any(place.glob(".*")))
    ):
        remove_left_folders(
            place / "temporary"
        )  # as the next process does, before its first folder and its first output
        remove_leftovers_in(place)
    if hidden := [path.name for path in place.glob(".*")]:
        problems.append(f"left: {hidden}")
    if temporary := os.listdir(place / "temporary"):
        problems.append(f"temporary: {temporary}")
    return not problems, outcome, "; ".join(problems)


def ends(place: Path, trials: int, seed: int) -> Tally:
    tally, chance = Tally("commands ended by a signal at a random moment"), random.Random(seed)
    for trial in range(trials):
        command, number = [*COMMANDS][trial % len(COMMANDS)], [*CODES][trial % len(CODES)]
        delay = chance.uniform(0.0, 1.5)
        held, outcome, why = attack(place, command, number, delay)
        tally.count(f"trial {trial}: {command}, {number.name} after {delay:.3f} s", held, outcome, why)
    return tally


def test_nothing_is_left(place):
    tally = ends(place, 6, seed=0)
    assert tally.failures == []


@pytest.mark.attack
def test_nothing_is_left_after_many_ends(place):
    ends(place, 240, seed=1).check()
