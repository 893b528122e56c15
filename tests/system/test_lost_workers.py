"""A loader process that is killed, or waits for ever, ends every command in one sentence, in time, and leaves nothing."""

import multiprocessing
import os
import signal
import tempfile
import time

import backbones
import pytest
from attacks import Outcome, Tally, forked
from small_recipe import large_recipe

from taskgraft.cli.main import main

pytestmark = pytest.mark.slow

ADVICE = (
    "Load in this process: training.workers = 0 in the recipe, or TASKGRAFT_WORKERS=0 in the environment, which also applies "
    "to predict, evaluate and features"
)
KILLED = (
    f"Error: A loader process was killed by SIGKILL, as happens when memory runs out. {ADVICE}; or give the machine or "
    "container more memory.\n"
)
SILENT = (
    "Error: A loader process has not answered for 1 second. If a single batch takes longer, raise the environment variable "
    f"TASKGRAFT_WORKER_TIMEOUT (in seconds). {ADVICE}.\n"
)

COMMANDS = {
    "fit": ("fit", "many.toml", "-q", "-o", "out"),
    "predict": ("predict", "intents", "many.csv", "-q", "-o", "out.csv"),
    "evaluate": ("evaluate", "intents", "many.csv", "-q"),
    "features": ("features", "small-words", "many.csv", "--input", "text", "-q", "-o", "out.npy"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with large_recipe(tmp_path_factory.mktemp("lost")) as folder:
        yield folder


def kill(chunk: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait(chunk: int) -> None:
    time.sleep(600)


def run(place, command, act, after: int = 0) -> Outcome:
    """Run a command whose loader processes do something harmful with the chunk after some others."""
    chunks = multiprocessing.Value("i", 0)
    prepare = backbones.WordsProcessor.prepare

    def harmful(self, inputs):
        if multiprocessing.parent_process() is not None:
            with chunks.get_lock():
                chunks.value += 1
            if chunks.value > after:
                act(chunks.value)
        return prepare(self, inputs)

    def work():
        os.environ |= {"TASKGRAFT_WORKERS": "2", "TASKGRAFT_WORKER_TIMEOUT": "1"}
        tempfile.tempdir = str(place / "temporary")
        backbones.WordsProcessor.prepare = harmful
        main(COMMANDS[command])

    return forked(work, seconds=60, folder=place)


def left(place) -> list[str]:
    return [*os.listdir(place / "temporary"), *(name for name in os.listdir(place) if name.startswith(("out", ".")))]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("act", "message"), [(kill, KILLED), (wait, SILENT)], ids=["killed", "silent"])
def test_it_is_one_sentence(place, command, act, message):
    outcome = run(place, command, act)
    assert (outcome.code, outcome.text, outcome.timed_out) == (2, message, False)
    assert left(place) == []


def test_without_harm_every_command_succeeds(place, tmp_path):
    """Or the tests above would not show anything."""
    for command in COMMANDS:
        outcome = run(place, command, kill, after=100)
        assert (command, outcome.code) == (command, 0), outcome.text
    for name in ("out", "out.run", "out.csv", "out.npy"):
        (place / name).rename(tmp_path / name)


@pytest.mark.attack
def test_killed_at_every_chunk(place):
    tally = Tally("loader processes killed or silent")
    for command in COMMANDS:
        for after in range(4):
            for act, message in ((kill, KILLED), (wait, SILENT)):
                outcome = run(place, command, act, after)
                held = (outcome.code, outcome.text, outcome.timed_out) == (2, message, False) and left(place) == []
                tally.count(f"{command}, {act.__name__} after {after} chunks", held, outcome, str(left(place)))
    tally.check()
