"""What each installed plugin adds to discovery: a catalog of 1 plugin beside one of 200, each of one config class.

Each catalog is built in a process of its own, in turn; medians are compared, of seconds of the processor, which other work
changes least. A plugin beyond the first is to add at most 2 ms.
A third process only imports the 200 modules, which shows how much of that is the plugins' own (their config class above all).
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
began = time.process_time()
from taskgraft.discovery.catalog import load_catalog
found = load_catalog()
print(time.process_time() - began)
assert not found.failures, found.failures
assert sum(entry.source.distribution.startswith("planted-") for entry in found.entries) == {count}
"""

IMPORTS = """
import importlib, time
from taskgraft.discovery.catalog import load_catalog
import taskgraft.builtin.plugin
began = time.process_time()
for number in range({count}):
    importlib.import_module(f"planted_plugin_{{number}}")
print(time.process_time() - began)
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
        taken: dict[str, list[float]] = {what: [] for what in runs}
        for turn in range(ROUNDS + 1):  # the first one compiles, and is not counted
            for what, (script, count) in runs.items():
                seconds = timed(script.format(count=count), folder / str(count), folder / "compiled")
                if turn:
                    taken[what].append(seconds)
    one, many, imports = (statistics.median(seconds) for seconds in taken.values())
    for what, seconds in taken.items():
        print(f"{what:30} {statistics.median(seconds):.3f} s  ({min(seconds):.3f} to {max(seconds):.3f})")
    each, own = 1_000 * (many - one) / (PLUGINS - 1), 1_000 * imports / PLUGINS
    print(f"A plugin beyond the first adds {each:.2f} ms, of which {own:.2f} ms are the import of its module.")


def timed(script: str, plugins: Path, compiled: Path) -> float:
    """Run a script that prints the seconds of the processor it took. Compiled modules go to a folder of this run."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(plugins), environment.get("PYTHONPATH", "")]))
    environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
