"""Files that are not files: one kind in each place that is read; all kinds in all places are tried by ``make attack``."""

import os
import subprocess
import sys
from itertools import cycle

import pytest
from attacks import Tally
from hostile_files import FAULTS, PLACES, REPLACEMENTS, Attack, attempt, build_world, holds
from refusals import refused
from small_recipe import fitted_recipe

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("small_plugin_installed")
def test_one_kind_in_each_place_is_refused(tmp_path):
    world, kinds = build_world(tmp_path), cycle((*REPLACEMENTS, *FAULTS))
    tally = Tally("files that are not files")
    for place in PLACES:
        kind = next(kind for kind in kinds if place.ours or kind in REPLACEMENTS)
        outcome = attempt(Attack(place, kind), world)
        tally.count(f"{place.file} ({kind})", holds(outcome), outcome)
    tally.check()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    with fitted_recipe(tmp_path_factory.mktemp("work")) as folder:
        yield folder


@pytest.fixture
def pipe(fitted, monkeypatch):
    """What the shell gives for ``<(cat valid.csv)``."""
    monkeypatch.chdir(fitted)
    reading, writing = os.pipe()
    os.write(writing, (fitted / "valid.csv").read_bytes())
    os.close(writing)
    yield f"/dev/fd/{reading}"
    os.close(reading)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_data_from_another_process_are_piped_into_the_command(command, pipe):
    assert refused(command, "intents", pipe) == (
        f"{pipe}: the file cannot be read (it is a pipe, not a regular file). Write its output to a file; or, for predict and "
        "evaluate, pipe it in and pass - in place of the file."
    )


def test_a_recipe_from_another_process_is_refused(pipe):
    assert refused("fit", pipe) == f"{pipe}: the file cannot be read (it is a pipe, not a regular file)."


def test_standard_input_may_be_a_pipe(fitted):
    command = [sys.executable, "-P", "-m", "taskgraft", "predict", "intents", "-", "-q"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(fitted / "installed"), *sys.path])}
    with (fitted / "valid.csv").open("rb") as rows:
        source = subprocess.Popen(["cat"], stdin=rows, stdout=subprocess.PIPE)
        done = subprocess.run(
            command, stdin=source.stdout, cwd=fitted, env=environment, capture_output=True, timeout=60, check=False
        )
        source.communicate(timeout=10)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 13
