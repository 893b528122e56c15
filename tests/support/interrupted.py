"""Commands that are interrupted, by SIGKILL or by a power cut, and what must be true afterwards.

Right afterwards each output is the old one or the new one, whole, or not there; one that was there before is in its place or
beside it. Then the command is repeated, to resume: every file is, bit for bit, that of a command that was not interrupted, and
nothing else is there.
"""

import csv
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from attacks import Outcome, Tally, forked
from commands import typed
from power import CUTS, Disk
from small_recipe import RECIPE, write_rows

from taskgraft.comparison import figure, worker  # noqa: F401, forks import nothing again

Files = Mapping[str, str]
"""Path → the digest of a file, or of what of it must be the same."""


@dataclass(frozen=True)
class Interrupted:
    """A command to interrupt.

    Attributes:
        words: the command.
        again: the commands that are tried afterwards, one after another, until one succeeds.
        outputs: the files and folders that it writes for the user.
        setup: prepares the folder; may run commands itself.
    plant: called before the command, in its process, which is watched already.
    first: a command that imports what this one needs; by default this one.
    """

    name: str
    words: Sequence[str]
    again: Sequence[Sequence[str]]
    outputs: Sequence[str]
    setup: Callable[[Path], None]
    plant: Callable[[], None] | None = None
    first: Sequence[str] = ()


SETTINGS = ("--set", "training.epochs=3", "--set", "strategy=full")


def write_data(folder: Path) -> None:
    write_rows(folder / "train.csv", 24, 0)
    write_rows(folder / "valid.csv", 12, 1)
    (folder / "intents.toml").write_text(RECIPE)


def _after(*commands: Sequence[str]) -> Callable[[Path], None]:
    """Prepare a folder with data, and what some commands write."""

    def setup(folder: Path) -> None:
        write_data(folder)
        with chdir(folder):
            for words in commands:
                done = typed(*words)
                assert done.code == 0, done.err

    return setup


_FIT = ("fit", "intents.toml", "-q", *SETTINGS)
_REFIT = (*_FIT, "--overwrite", "--set", "training.seed=1")
_COMPARE = ("compare", "intents.toml", "-q", "--strategy", "linear-probe", "--strategy", "partial:1")
_PREDICT = ("predict", "intents", "train.csv", "-q", "--overwrite", "-o")
_FEATURES = ("features", "small-words", "train.csv", "-q", "--overwrite", "-o")
_EXPORT = ("export", "intents", "plain", "-q", "--overwrite")
_PLUGIN = ("new", "plugin", "acme-words", "--kind", "backbone")

FIT = Interrupted("fit", _FIT, [(*_FIT, "--resume")], ["intents"], _after(("list",)))
REFIT = Interrupted("fit --overwrite", _REFIT, [(*_REFIT, "--resume"), _REFIT], ["intents"], _after(_FIT))
COMPARE = Interrupted(
    "compare",
    _COMPARE,
    [(*_COMPARE, "--resume")],
    ["intents.compare/comparison.json"],
    write_data,
    plant=lambda: setattr(subprocess, "Popen", ForkedWorker),
    first=_FIT,
)
COMPARE_SPAWNED = replace(COMPARE, name="compare, runs in new processes", plant=None)
PREDICT = Interrupted(
    "predict -o",
    (*_PREDICT, "out.csv"),
    [(*_PREDICT, "out.csv")],
    ["out.csv"],
    _after(_FIT, ("predict", "intents", "valid.csv", "-q", "-o", "out.csv")),
)
FEATURES = Interrupted(
    "features -o",
    (*_FEATURES, "out.npz"),
    [(*_FEATURES, "out.npz")],
    ["out.npz"],
    _after(("features", "small-words", "valid.csv", "-q", "-o", "out.npz")),
)
EXPORT = Interrupted(
    "export", _EXPORT, [_EXPORT], ["plain"], _after(_FIT, ("export", "intents", "plain", "-q"), _REFIT)
)
PLUGIN = Interrupted("new plugin", _PLUGIN, [_PLUGIN, ("list", "--json")], ["acme-words"], write_data)


def strategy_fit(name: str, strategy: object, backbone: object, rows: Mapping[str, Sequence[object]]) -> Interrupted:
    """Fit a strategy on four rows, repeated to 24; a quarter of them is for validation."""
    recipe = {
        "backbone": backbone,
        "head": "classification",
        "strategy": strategy,
        "data": {"train": "rows.csv", "split": "fraction:0.25", "inputs": ["text"], "target": ["label"]},
        "training": {"epochs": 2, "batch_size": 6},
    }

    def setup(folder: Path) -> None:
        (folder / "model.json").write_text(json.dumps(recipe))
        with (folder / "rows.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(rows)
            writer.writerows(row for number in range(6) for row in zip(*rows.values(), strict=True))

    words = ("fit", "model.json", "-q")
    return Interrupted(f"fit {name}", words, [(*words, "--resume")], ["model"], setup)


class ForkedWorker:
    """Stands in for a process of a comparison's run: the same function in a fork, which imports nothing again."""

    def __init__(self, command: Sequence[str], **options: object):
        assert command[3] == worker.__name__, command
        reading, writing = os.pipe()
        self._code: int | None = None
        self._child = os.fork()
        if self._child == 0:
            code = 1
            try:
                os.close(writing)
                os.dup2(reading, 0)
                sys.stdin = os.fdopen(0, closefd=False)
                worker.execute(Path(command[4]), only_base=command[5:] == ["base"])
                code = 0
            finally:
                os._exit(code)
        os.close(reading)
        self.stdin = os.fdopen(writing, "wb")

    def wait(self) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        return self._code


@dataclass
class Trials:
    """Interrupts a command again and again in one folder, each time starting from the same files."""

    command: Interrupted
    place: Path
    tally: Tally
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    before: Files = field(default_factory=dict)
    after: Files = field(default_factory=dict)
    points: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.work, self.start = self.place / "work", self.place / "start"
        self.temporary = self.place / "temporary"
        self.temporary.mkdir(parents=True)
        self.work.mkdir()
        self.command.setup(self.work)
        self._import_all()
        self.work.rename(self.start)
        self.before = digests(self.start)
        outcome = self._run(self._disk(0))
        assert outcome.code == 0, f"{self.command.name}, uninterrupted: {outcome.text}"
        self.after, self.points, self.seconds = digests(self.work), self._disk_now.points, outcome.seconds
        assert self.points > 5, f"{self.command.name}: {self.points} changes were seen"

    def _import_all(self) -> None:
        """Run a command once in this process, which imports what the processes need, and forget what it wrote."""
        copy = self.place / "copy"
        shutil.copytree(self.work, copy)
        with chdir(copy):
            done = typed(*(self.command.first or self.command.words))
        assert done.code == 0, f"{self.command.name}: {done.err}"
        shutil.rmtree(copy)

    def cut_before(self, point: int, how: str) -> None:
        """Cut the power before a change; one after the last is a cut after the end."""
        disk = self._disk(point)
        outcome = self._run(disk)
        disk.cut(how, self.chance)
        self._check(f"{self.command.name}, cut before change {point} of {self.points}, {how}", outcome)

    def kill_before(self, point: int) -> None:
        outcome = self._run(self._disk(point))
        self._check(f"{self.command.name}, killed before change {point} of {self.points}", outcome)

    def kill_after(self, seconds: float) -> None:
        disk = self._disk(0)
        outcome = self._run(disk, seconds)
        self._check(f"{self.command.name}, killed after {seconds:.3f} s of {self.seconds:.3f} s", outcome)

    def some_cuts(self, count: int) -> None:
        for number in range(count):
            point = self.points + 1 if number % 5 == 4 else self.chance.randint(1, self.points)
            self.cut_before(point, CUTS[number % len(CUTS)])

    def some_kills(self, count: int) -> None:
        """Kill at random moments, some after the end, and before changes, some of them the last ones; in turn."""
        for number in range(count):
            if number % 2 == 0:
                self.kill_after(self.chance.uniform(0.02, 1.1) * self.seconds)
            else:
                self.kill_before(self.chance.randint(self.points - 3 if number % 6 == 5 else 1, self.points))

    def _disk(self, point: int) -> Disk:
        """Put the first files back."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.start, self.work)
        self._disk_now = Disk(self.work, self.place / "record", point)
        self._disk_now.start()
        return self._disk_now

    def _run(self, disk: Disk | None, seconds: float = 120.0, words: Sequence[str] | None = None) -> Outcome:
        def work() -> None:
            tempfile.tempdir = str(self.temporary)
            if disk is not None:
                disk.watch()
            if self.command.plant is not None:
                self.command.plant()
            done = typed(*(words or self.command.words))
            print(done.out, done.err)
            sys.exit(done.code)

        return forked(work, seconds, self.work)

    def _check(self, name: str, outcome: Outcome) -> None:
        problems = list(self._broken(ended=outcome.code == 0))
        for words in self.command.again:
            outcome = self._run(None, words=words)
            if outcome.code == 0:
                break
        if outcome.code != 0 or outcome.timed_out:
            problems.append(f"{' '.join(words)} ends with {outcome.code}")
        else:
            now = digests(self.work)
            problems += [f"{path} is missing" for path in sorted(self.after.keys() - now)]
            problems += [f"{path} was left" for path in sorted(now.keys() - self.after)]
            problems += [f"{path} differs" for path in sorted(now.keys() & self.after) if now[path] != self.after[path]]
            problems += [f"{path.name} was left in TMPDIR" for path in self.temporary.glob("taskgraft*")]
        shutil.rmtree(self.temporary)
        self.temporary.mkdir()
        self.tally.count(name, not problems, outcome, "; ".join(problems))

    def _broken(self, *, ended: bool) -> Iterator[str]:
        """Name the outputs that are not whole, that were there and are nowhere now, or that are not there after the end."""
        now = digests(self.work)
        for output in self.command.outputs:
            found, old, new = (_under(files, output) for files in (now, self.before, self.after))
            if ended and found != new:
                yield f"{output} is not on the disk though the command had ended"
            elif found and found not in (old, new):
                yield f"{output} is neither the old nor the new one: {sorted(found)}"
            elif old and not found:
                beside = {path.split("/")[0] for path in now if ".taskgraft-old/" in path}
                if not any(_under(now, folder) in (old, new) for folder in beside):
                    yield f"{output} is gone"


def _under(files: Files, place: str) -> Files:
    """Select a file, or those of a folder, by their paths in it."""
    return {
        path[len(place) :]: digest for path, digest in files.items() if path == place or path.startswith(f"{place}/")
    }


def digests(folder: Path) -> Files:
    """Digest all files, and note empty folders. Times and memory are left out of JSON."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("lock", "job.json"):  # of no use after the end
            found[str(path.relative_to(folder))] = _digest(path)
        elif path.is_dir() and not any(path.iterdir()):
            found[str(path.relative_to(folder))] = "an empty folder"
    return found


_DIFFERING = ("seconds", "memory", "interrupted", "sha256", "best_trade_off")
"""In keys of JSON whose values differ between runs: times, and what depends on them."""


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".png":
        content = content[:8]  # times are drawn
    with suppress(ValueError):
        if path.suffix == ".json" and path.name != "taskgraft.json":
            content = json.dumps(_timeless(json.loads(content))).encode()
        if path.name == "metrics.jsonl":
            content = json.dumps([_timeless(json.loads(line)) for line in content.splitlines()]).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _timeless(value):
    if isinstance(value, dict):
        return {key: _timeless(inside) for key, inside in value.items() if not any(word in key for word in _DIFFERING)}
    return [_timeless(inside) for inside in value] if isinstance(value, list) else value
