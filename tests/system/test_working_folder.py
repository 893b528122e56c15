"""No command runs code of the working folder. Modules, plugins and the files that Python itself looks for are planted there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attacks import Tally, spawned
from planting import install
from small_recipe import fitted_recipe

from taskgraft.cli.app import COMMANDS
from taskgraft.discovery.catalog import load_catalog
from taskgraft.import_path import child_environment

LIBRARIES = (
    "torch",
    "numpy",
    "yaml",
    "rich",
    "typer",
    "pydantic",
    "pluggy",
    "lazy_loader",
    "transformers",
    "small_plugin",
)
PLANTED = sorted({*sys.stdlib_module_names, *LIBRARIES, "sitecustomize", "usercustomize", "evil_plugin"})

CODE = """
import posix, sys
with_name = posix.open({mark!r}, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND)
posix.write(with_name, (__name__ + "\\n").encode())
path, here = list(sys.path), {here!r}
sys.path[:] = [entry for entry in path if entry not in ("", ".", here)]
sys.modules.pop(__name__, None)
try:
    __import__(__name__)  # goes on as if nothing had happened
finally:
    sys.path[:] = path
"""

UNAVOIDABLE = {"importlib", "contextlib", "types", "warnings"}
"""What ``python -m`` imports before it looks for the module to run."""

BY_PYTHONPATH = {"encodings", "sitecustomize", "usercustomize"}
"""What Python imports from ``PYTHONPATH`` while it starts."""

TYPED = {
    "list": [],
    "show": ["linear-probe"],
    "doctor": ["--json"],
    "schema": [],
    "fit": ["small.toml", "-q", "-o", "again"],
    "evaluate": ["intents", "valid.csv", "-q"],
    "compare": ["small.toml", "--strategy", "linear-probe", "--strategy", "partial:9", "-q", "-o", "compared"],
    "predict": ["intents", "valid.csv", "-q", "-o", "predicted.csv"],
    "export": ["intents", "exported"],
    "features": ["small-words", "valid.csv", "-q", "-o", "features.parquet", "--layout", "vector"],
    "new": ["plugin", "acme-plugin", "--kind", "head"],
}

OUTPUTS = ("again", "compared", "predicted", "exported", "features", "acme-plugin")

CODES = {"compare": 1}
"""Exit codes other than 0: one of two strategies does not fit the backbone."""

QUICK = ("list", "show", "doctor", "schema", "new")


class Trap:
    """A folder that is full of planted code, and what of it ran."""

    def __init__(self, folder: Path, mark: Path):
        self.folder, self.mark = folder, mark
        for name in PLANTED:
            (folder / f"{name}.py").write_text(CODE.format(mark=str(mark), here=str(folder)))
        install(folder, "evil", "evil_plugin")
        (folder / "matplotlibrc").write_text("backend: module://evil_plugin\ntext.usetex: True\n")  # starts LaTeX

    def outputs(self) -> list[Path]:
        """What the commands wrote."""
        return [path for path in self.folder.iterdir() if path.name.startswith(OUTPUTS)]

    def ran(self) -> set[str]:
        names = set(self.mark.read_text().split()) if self.mark.exists() else set()
        self.mark.unlink(missing_ok=True)
        return names


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    with fitted_recipe(tmp_path_factory.mktemp("fitted")) as folder:
        yield folder


@pytest.fixture
def trap(fitted, tmp_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trap")
    shutil.copytree(fitted / "intents", folder / "intents")
    for name in ("train.csv", "valid.csv"):
        shutil.copy(fitted / name, folder / name)
    shutil.copy(fitted / "intents.toml", folder / "small.toml")
    return Trap(folder, tmp_path / "mark")


def environment(**more: str) -> dict[str, str]:
    """The environment of a user who has the small plugin installed."""
    return {**child_environment(), "OMP_NUM_THREADS": "1", **more}


def unsafe(**more: str) -> dict[str, str]:
    return {key: value for key, value in environment(**more).items() if key != "PYTHONSAFEPATH"}


SCRIPT = [str(Path(sys.executable).with_name("taskgraft"))]
MODULE = [sys.executable, "-m", "taskgraft"]


def attack(trap: Trap, start: list[str], command: str, allowed: set[str], **more: str) -> None:
    outcome = spawned([*start, command, *TYPED[command]], folder=trap.folder, environment=unsafe(**more))
    assert outcome.code == CODES.get(command, 0), outcome.text
    assert "evil" not in outcome.text
    assert trap.ran() - allowed == set()


def test_every_command_is_tried():
    assert TYPED.keys() == COMMANDS.keys()


@pytest.mark.slow
def test_planted_code_runs_where_nothing_prevents_it(trap):
    """The trap works: a script of the user's own, in that folder, does import from it."""
    (trap.folder / "script.py").write_text(
        "import queue, taskgraft.discovery.catalog as it; print(it.catalog().failures)"
    )
    outcome = spawned([sys.executable, "script.py"], folder=trap.folder, environment=unsafe())
    assert outcome.code == 0, outcome.text
    assert {"queue", "evil_plugin"} <= trap.ran()


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name in COMMANDS if name in QUICK])
def test_a_command_runs_no_code_of_the_working_folder(trap, command):
    attack(trap, SCRIPT, command, set())


@pytest.mark.slow
def test_a_comparison_and_its_runs_run_no_code_of_the_working_folder(trap):
    attack(trap, SCRIPT, "compare", set())


@pytest.mark.slow
@pytest.mark.parametrize("option", ["-m", "-um"])
def test_python_m_taskgraft_runs_no_more_of_it_than_python_itself_does(trap, option):
    attack(trap, [sys.executable, option, "taskgraft"], "list", UNAVOIDABLE)
    attack(trap, [sys.executable, "-P", option, "taskgraft"], "list", set())


@pytest.mark.slow
@pytest.mark.parametrize("accident", ["", "."])
def test_an_entry_of_pythonpath_that_is_empty_or_a_dot_is_left_out_and_said(trap, accident):
    path = os.pathsep.join([unsafe()["PYTHONPATH"], accident])
    outcome = spawned([*SCRIPT, "list"], folder=trap.folder, environment=unsafe(PYTHONPATH=path))
    assert outcome.code == 0
    assert trap.ran() - BY_PYTHONPATH == set()
    assert outcome.text.startswith(
        "Warning: PYTHONPATH contains the working folder, as an empty entry or '.'. Nothing is imported from there; write its "
        "absolute path if you mean it.\n"
    )
    assert "evil" not in outcome.text


@pytest.mark.slow
def test_a_working_folder_that_pythonpath_names_in_full_is_meant(trap):
    for name in BY_PYTHONPATH:
        (trap.folder / f"{name}.py").unlink()
    path = os.pathsep.join([unsafe()["PYTHONPATH"], str(trap.folder)])
    outcome = spawned([*SCRIPT, "list"], folder=trap.folder, environment=unsafe(PYTHONPATH=path))
    assert outcome.code == 0
    assert "evil_plugin" in trap.ran()


@pytest.mark.slow
def test_an_interactive_python_finds_no_plugins_in_its_working_folder(trap, monkeypatch):
    monkeypatch.chdir(trap.folder)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    found = load_catalog()
    assert [one for one in (*found.failures, *found.entries) if one.source.distribution == "evil"] == []
    assert trap.ran() == set()


def test_a_child_inherits_the_import_path_without_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", ".", str(tmp_path), str(tmp_path / "plugins"), "lib", "/a:b"])
    monkeypatch.setenv("PYTHONPATH", "")
    environment = child_environment()
    assert environment["PYTHONPATH"] == os.pathsep.join([str(tmp_path / "plugins"), str(tmp_path / "lib")])
    assert environment["PYTHONSAFEPATH"] == "1"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert str(tmp_path) in child_environment()["PYTHONPATH"].split(os.pathsep)


@pytest.mark.slow
def test_a_command_works_in_a_folder_that_was_removed(tmp_path):
    (tmp_path / "gone").mkdir()
    command = f'cd gone && rmdir "$PWD" && exec {SCRIPT[0]} list'
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=unsafe(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.attack
def test_all_commands_started_in_every_way(trap):
    tally = Tally("code in the working folder")
    starts = {
        "taskgraft": (SCRIPT, set()),
        "python -m": (MODULE, UNAVOIDABLE),
        "python -P -m": ([sys.executable, "-P", "-m", "taskgraft"], set()),
    }
    for command in COMMANDS:
        for name, (start, allowed) in starts.items():
            for left in trap.outputs():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            outcome = spawned([*start, command, *TYPED[command]], folder=trap.folder, environment=unsafe())
            ran = sorted(trap.ran() - allowed)
            held = not ran and outcome.code == CODES.get(command, 0)
            tally.count(f"{name} {command}", held, outcome, str(ran))
    tally.check()
