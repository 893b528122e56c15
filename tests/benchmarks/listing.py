"""The time of ``taskgraft list``, compared to a small typer program, and with 50 more plugins.

The small program has two commands; the one that runs reads the entry points of a group and prints a rich table of 40 rows.
Both run in turn, in their own processes, and medians are compared. Goals: ``list`` takes at most 1.6 times as long as the small
program, and 50 plugins add at most 0.1 s.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REFERENCE = """
from importlib.metadata import entry_points

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer()


@app.command("list")
def list_all() -> None:
    points = list(entry_points(group="taskgraft"))
    table = Table()
    for column in ("axis", "name", "summary", "source"):
        table.add_column(column)
    for row in range(40):
        point = points[row % len(points)]
        table.add_row("heads", f"{point.name}-{row}", "a line that describes what it does", point.value)
    Console().print(table)


@app.command()
def show(name: str) -> None:
    print(name)


app()
"""

PLUGIN = '''
from pydantic import Field

from taskgraft.plugin import Config, HeadSpec, hookimpl

TASKGRAFT_CONTRACT = "1.0"


class Settings(Config):
    """Settings of a sample head."""

    rate: float = Field(default=0.1, ge=0, lt=1, description="a rate")
    rounds: int = Field(default=3, ge=1, description="a number of rounds")


@hookimpl
def taskgraft_heads():
    yield HeadSpec(name="planted-NUMBER", summary="a sample head", config=Settings, describe=print, build=print)
'''

PLUGINS, ROUNDS = 50, 21


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "reference.py").write_text(REFERENCE)
        (folder / "planted").mkdir()
        for number in range(PLUGINS):
            plant(folder / "planted", number)
        commands = {
            "a small typer program": ([str(folder / "reference.py"), "list"], None),
            "taskgraft list": (["-m", "taskgraft", "list"], None),
            f"taskgraft list with {PLUGINS} more plugins": (["-m", "taskgraft", "list"], folder / "planted"),
        }
        seconds_of: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(ROUNDS + 1):  # the first round compiles, and is not counted
            for name, (arguments, more) in commands.items():
                seconds = measure(arguments, more, folder)
                if turn:
                    seconds_of[name].append(seconds)
    small, alone, many = (statistics.median(seconds) for seconds in seconds_of.values())
    for name, seconds in seconds_of.items():
        print(f"{name:40} {statistics.median(seconds):.3f} s  ({min(seconds):.3f} to {max(seconds):.3f})")
    print(
        f"taskgraft list takes {alone / small:.2f} times as long as the small program; plugins add {many - alone:.3f} s."
    )


def plant(folder: Path, number: int) -> None:
    """Write a plugin and the metadata of an installed distribution."""
    metadata = folder / f"planted_{number}-1.0.dist-info"
    metadata.mkdir()
    metadata.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: planted-{number}\nVersion: 1.0\n")
    metadata.joinpath("entry_points.txt").write_text(f"[taskgraft]\nmain = planted_plugin_{number}\n")
    (folder / f"planted_plugin_{number}.py").write_text(PLUGIN.replace("NUMBER", str(number)))


def measure(arguments: list[str], more: Path | None, folder: Path) -> float:
    """Run Python and return its seconds. Compiled modules go to a folder of this run."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    paths = [str(more) if more else "", environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
