"""The time that each installed plugin adds to discovery: catalogs of 1 and of 200 plugins, each with one config class.

Each catalog is built in its own process, in turn; medians of CPU seconds are compared, which depend least on other work.
Goal: at most 2 ms for each plugin after the first. A third process only imports the 200 modules, which shows the plugins' own
share of the time (mostly their config classes).
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from listing import plant

PLUGINS, ROUNDS = 200, 15

CATALOG = """
import time
start = time.process_time()
from taskgraft.discovery.catalog import load_catalog
catalog = load_catalog()
print(time.process_time() - start)
assert not catalog.failures, catalog.failures
assert sum(entry.source.distribution.startswith("planted-") for entry in catalog.entries) == {count}
"""

IMPORTS = """
import importlib, time
from taskgraft.discovery.catalog import load_catalog
import taskgraft.builtin.plugin
start = time.process_time()
for number in range({count}):
    importlib.import_module(f"planted_plugin_{{number}}")
print(time.process_time() - start)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (1, PLUGINS):
            (folder / str(count)).mkdir()
            for number in range(count):
                plant(folder / str(count), number)
        runs = {
            "a catalog with 1 plugin": (CATALOG, 1),
            f"a catalog with {PLUGINS} plugins": (CATALOG, PLUGINS),
            f"importing {PLUGINS} plugins": (IMPORTS, PLUGINS),
        }
        seconds_of: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(ROUNDS + 1):  # the first round compiles, and is not counted
            for run, (script, count) in runs.items():
                seconds = timed(script.format(count=count), folder / str(count), folder / "compiled")
                if turn:
                    seconds_of[run].append(seconds)
    one, many, imports = (statistics.median(seconds) for seconds in seconds_of.values())
    for run, seconds in seconds_of.items():
        print(f"{run:30} {statistics.median(seconds):.3f} s  ({min(seconds):.3f} to {max(seconds):.3f})")
    each, own = 1_000 * (many - one) / (PLUGINS - 1), 1_000 * imports / PLUGINS
    print(f"Each plugin after the first adds {each:.2f} ms, of which {own:.2f} ms are the import of its module.")


def timed(script: str, plugins: Path, compiled: Path) -> float:
    """Run a script that prints its CPU seconds. Compiled modules go to a folder of this run."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(plugins), environment.get("PYTHONPATH", "")]))
    environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
