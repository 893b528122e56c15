"""Commands in processes of their own that are ended by a signal, and what they leave."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes_left import children, ended_within, is_running
from small_recipe import RECIPE, fitted_recipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("default_signals")]

LONG = RECIPE.replace('strategy = {name = "linear-probe", penalty = 1e-3}', 'strategy = "full"') + (
    "\n[training]\nepochs = 3000\nbatch_size = 4\ncheckpoint_every = 1\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a fitted recipe, ``intents``, and one that takes long, ``long.toml``."""
    with fitted_recipe(tmp_path_factory.mktemp("signals")) as folder:
        (folder / "long.toml").write_text(LONG)
        yield folder


STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def _nothing_goes_on():
    """End what a failed test has left."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """Start a command, with a folder of temporary files of its own."""
    (folder / "temporary").mkdir(exist_ok=True)
    paths = os.pathsep.join([str(folder / "installed"), *filter(None, sys.path)])
    environment = os.environ | {"PYTHONPATH": paths, "TMPDIR": str(folder / "temporary"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "taskgraft", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def wait_for(condition, process: subprocess.Popen) -> None:
    until = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def ours(folder: Path) -> list[Path]:
    return sorted((folder / "temporary").glob("*taskgraft*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["TERM", "HUP"])
def test_a_fit_keeps_its_checkpoint_and_leaves_no_other_file(place, number, code):
    output = f"out-{code}"
    process = start(place, "fit", "long.toml", "-o", output, "-q")
    wait_for((place / f"{output}.run" / "state.safetensors").is_file, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (
        code,
        "",
        f"Interrupted. The checkpoint is in {output}.run. Continue with: taskgraft fit long.toml -o {output} -q --resume\n",
    )
    assert ours(place) == []
    assert not (place / output).exists()
    assert list(place.glob(".*")) == []


COMMANDS = {
    "predict": ("predict", "intents", "-", "-q"),
    "predict into a file": ("predict", "intents", "-", "-q", "-o", "out.csv"),
    "evaluate": ("evaluate", "intents", "-", "-q"),
    "features": ("features", "small-words", "-", "-q", "-o", "out.npy"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_reads_its_input_ends_and_leaves_nothing(place, name):
    process = start(place, *COMMANDS[name])
    wait_for(lambda: ours(place), process)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)  # its input is still open
    out, err = process.communicate()
    assert (process.returncode, out, err) == (143, "", "Interrupted.\n")
    assert ours(place) == []
    assert not list(place.glob("out.*"))
    assert list(place.glob(".*")) == []


def test_a_fit_under_nohup_goes_on(place):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited
    process = start(place, "fit", "long.toml", "-o", "nohup", "-q")
    wait_for((place / "nohup.run" / "state.safetensors").is_file, process)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def start_comparison(place: Path, output: str) -> tuple[subprocess.Popen, list[int]]:
    """Start a comparison, and wait until the process of its first run trains."""
    process = start(place, "compare", "long.toml", "--strategy", "full", "--strategy", "bitfit", "-o", output, "-q")
    wait_for(lambda: list(place.glob(f"{output}/runs/*/run/state.safetensors")), process)
    return process, children(process.pid)


def test_a_comparison_ends_with_its_runs(place):
    process, runs = start_comparison(place, "ended")
    assert len(runs) == 1
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert err == (
        "Interrupted. Finished runs are in ended. Continue with: taskgraft compare long.toml --strategy full --strategy bitfit "
        "-o ended -q --resume\n"
    )
    assert not any(map(is_running, runs))


def test_the_signal_of_a_closed_terminal_ends_a_comparison_in_the_same_way(place):
    """It reaches the processes of the runs as well."""
    process, runs = start_comparison(place, "closed")
    for one in (*runs, process.pid):
        os.kill(one, signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.split(". ")[0]) == (129, "Interrupted")
    assert not any(map(is_running, runs))


def test_the_run_of_a_comparison_that_is_killed_ends_within_a_second(place):
    process, runs = start_comparison(place, "killed")
    assert len(runs) == 1
    process.kill()
    process.wait()
    assert ended_within(1.0, runs)
    process.communicate()


def test_a_killed_command_leaves_temporary_files_until_the_next(place):
    process = start(place, "predict", "intents", "-", "-q")
    wait_for(lambda: ours(place), process)
    process.kill()
    process.communicate()
    assert len(ours(place)) == 1
    process = start(place, "predict", "intents", "-", "-q")
    _, err = process.communicate("text\nmy card\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    assert ours(place) == []
