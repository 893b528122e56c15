"""A disk whose power can fail: what a process changes under a folder and what it syncs, and what is left of it after a cut.

A process that calls :meth:`Disk.watch` tells every change of the file system, before and after it happens, and can be killed
before each of them. :meth:`Disk.cut` then rebuilds the folder as it may be when the power fails at that moment:

- a file that was never synced is empty, cut short, full of zeros, or complete; one that was changed since may be as before;
- an entry of a folder (a new file, a rename, a deletion) may be missing as long as that folder was not synced.

That is what POSIX promises; most file systems keep more.
"""

import fcntl
import json
import os
import pickle
import random
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CUTS = ("nothing synced later", "names without contents", "in order", "in any order")
"""What is left of the changes that were not synced: none; names only; the first ones; any of them."""

_HOOKED = ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "truncate", "fsync")
_WATCHED = "TASKGRAFT_TEST_DISK"


@dataclass
class _Model:
    """What is on the disk for certain, and which names changed since. Files and folders are numbered; the root is 0.

    Attributes:
        entries: folder → name → number.
        seen: path → inode and number, at the last look.
        pending: changes; each is (folder, name, number or None) for all names that change together.
        known: for each number, whether it is a folder.
        points: how many changes there were.
    """

    entries: dict[int, dict[str, int]] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)  # path → inode, number; the folder itself is "."
    pending: list[list[tuple[int, str, int | None]]] = field(
        default_factory=list
    )  # (folder, name, number or none) that go together
    known: list[bool] = field(default_factory=list)  # number → whether it is a folder
    points: int = 0


class Disk:
    """A folder, the record of what happens to it, and the number of the change before which the process is killed (0: none)."""

    def __init__(self, root: Path, record: Path, kill_at: int = 0):
        self.root, self.record, self.kill_at = root.resolve(), record, kill_at
        self._inside = False

    def start(self) -> None:
        """Take all that is there as synced."""
        model = _Model()
        self._look(model)
        for path, (_, number) in model.seen.items():
            self._sync(model, self.root / path, number)
        model.pending = []
        self._write(model)

    def watch(self) -> None:
        """Record what this process does, and what processes do that it starts (with :func:`watch_as_parent`)."""
        os.environ.setdefault(_WATCHED, json.dumps([str(self.root), str(self.record), self.kill_at, os.getpgrp()]))
        for name in _HOOKED:
            setattr(os, name, self._hooked(name, getattr(os, name)))
        sys.addaudithook(self._opened)

    @property
    def points(self) -> int:
        """How many changes there were."""
        return self._read().points

    def cut(self, how: str, chance: random.Random) -> None:
        """Rebuild the folder as it may be after a power cut, once all processes have ended."""
        model = self._read()
        self._look(model)  # what was done natively, or just before the end
        current = {number: self.root / path for path, (_, number) in model.seen.items()}
        now = {number: path.read_bytes() for number, path in current.items() if path.is_file()}
        kept = {
            "nothing synced later": [],
            "names without contents": model.pending,
            "in order": model.pending[: chance.randint(0, len(model.pending))],
            "in any order": [change for change in model.pending if chance.random() < 0.5],
        }[how]
        entries = {number: dict(names) for number, names in model.entries.items()}
        for folder, name, number in (entry for change in kept for entry in change):
            entries.setdefault(folder, {})
            if number is None:
                entries[folder].pop(name, None)
            else:
                entries[folder][name] = number
        shutil.rmtree(self.root)
        self.root.mkdir()
        places = [(0, self.root)]
        for folder, place in places:
            for name, number in entries.get(folder, {}).items():
                if model.known[number]:
                    (place / name).mkdir()
                    places.append((number, place / name))
                else:
                    content = _content(model.contents.get(number), now.get(number), how, chance)
                    (place / name).write_bytes(content)

    def _hooked(self, name: str, original):
        def call(*arguments, **options):
            paths = arguments[:2] if name in ("rename", "replace") else arguments[:1]
            if self._inside or not any(self._covers(one, options) for one in paths):
                return original(*arguments, **options)
            self._point()
            result = original(*arguments, **options)
            with self._changing() as model:
                if name == "fsync":
                    path = Path(os.readlink(f"/proc/self/fd/{arguments[0]}"))
                    found = model.seen.get(str(path.relative_to(self.root)))
                    if found is not None:
                        self._sync(model, path, found[1])
            return result

        return call

    def _covers(self, one: object, options: dict) -> bool:
        """Tell whether a path, or an open file, is under the folder."""
        if isinstance(one, int):
            path = os.readlink(f"/proc/self/fd/{one}")
        elif isinstance(one, str | bytes | os.PathLike):
            start = options.get("dir_fd")
            path = os.path.join(
                os.getcwd() if start is None else os.readlink(f"/proc/self/fd/{start}"), os.fsdecode(one)
            )
        else:
            return False
        return os.path.normpath(path).startswith(f"{self.root}{os.sep}") or path == str(self.root)

    def _opened(self, event: str, arguments: tuple) -> None:
        """Opening a file to write is a change, too."""
        if event == "open" and not self._inside and isinstance(arguments[0], str | bytes | os.PathLike):
            changes = (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if changes and self._covers(arguments[0], {}):
                self._point()

    def _point(self) -> None:
        """Look at what is there before a change, and end all processes of this session if it is the chosen one."""
        with self._changing() as model:
            model.points += 1
            last = model.points == self.kill_at
        if last:
            os.killpg(json.loads(os.environ[_WATCHED])[-1], signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def _changing(self) -> Iterator[_Model]:
        self._inside = True
        try:
            with self.record.with_suffix(".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                model = self._read()
                self._look(model)
                yield model
                self._write(model)
        finally:
            self._inside = False

    def _look(self, model: _Model) -> None:
        """Number what is new, and add what changed since the last look to the changes that were not synced."""
        numbers, before = dict(model.seen.values()), _entries(model.seen)
        model.seen = {}
        for path, inode, is_folder in _walk(self.root):
            if inode not in numbers:
                numbers[inode] = len(model.known)
                model.known.append(is_folder)
            model.seen[path] = inode, numbers[inode]
        after = _entries(model.seen)
        changes: dict[int, list[tuple[int, str, int | None]]] = {}
        for place in dict.fromkeys((*before, *after)):
            old, new = before.get(place), after.get(place)
            if new is not None and new != old:
                changes.setdefault(new, []).append((*place, new))
            elif new is None and old is not None:
                changes.setdefault(old, []).append((*place, None))
        model.pending += changes.values()  # all names of one file or folder together: a rename is one change

    def _sync(self, model: _Model, path: Path, number: int) -> None:
        """Take the contents of a file, or the names in a folder, as synced."""
        if not model.known[number]:
            model.contents[number] = path.read_bytes()
            return
        now = _entries(model.seen)
        model.entries[number] = {name: inside for (folder, name), inside in now.items() if folder == number}
        left = ([entry for entry in change if entry[0] != number] for change in model.pending)
        model.pending = [change for change in left if change]

    def _read(self) -> _Model:
        return pickle.loads(self.record.read_bytes())

    def _write(self, model: _Model) -> None:
        temporary = self.record.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(pickle.dumps(model))
        temporary.replace(self.record)


def watch_as_parent() -> None:
    """Watch the folder that the process watched which started this one."""
    if _WATCHED in os.environ:
        root, record, kill_at, _ = json.loads(os.environ[_WATCHED])
        Disk(Path(root), Path(record), kill_at).watch()


def _entries(seen: dict[str, tuple[int, int]]) -> dict[tuple[int, str], int]:
    """Return (folder, name) → number."""
    places = ((os.path.split(path), number) for path, (_, number) in seen.items() if path != ".")
    return {(seen[parent or "."][1], name): number for (parent, name), number in places}


def _walk(root: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield (path, inode, whether it is a folder) of everything, a folder before what is in it."""
    yield ".", root.stat().st_ino, True
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            try:
                found = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode):
                yield str(path.relative_to(root)), found.st_ino, stat.S_ISDIR(found.st_mode)


def _content(synced: bytes | None, now: bytes | None, how: str, chance: random.Random) -> bytes:
    """Choose what a file holds after the cut."""
    if synced == now or now is None or how in ("nothing synced later", "names without contents"):
        return synced or b""
    if synced is None:
        return chance.choice((b"", bytes(len(now)), now[: chance.randint(0, len(now))], now))
    if now.startswith(synced):  # it was appended to
        return now[: chance.randint(len(synced), len(now))]
    return chance.choice((synced, now, b""))
