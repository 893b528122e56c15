"""The directory of a training run: its checkpoint, its identity, its metrics and a lock.

``run.json`` identifies the run; ``state.safetensors`` is the checkpoint: tensors and, in its header, JSON and a digest of
both; ``metrics.jsonl`` has a line per step and epoch. A checkpoint is replaced by a rename, so it is complete even if the run
is killed.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import Tensor

from taskgraft.errors import MachineError, TaskgraftError, error_reason, join_words
from taskgraft.files.json_text import parse_json
from taskgraft.files.regular_file import check_regular_file, open_regular_file, read_small_file
from taskgraft.storage.atomic_write import make_folder, remove_leftovers_in, replaced_file, sync, write_problem
from taskgraft.storage.finished_run import FINISHED, STATE
from taskgraft.storage.verified_tensors import read_verified, write_verified

RUN, METRICS, LOCK = "run.json", "metrics.jsonl", "lock"
"""The files of a run, beside its checkpoint."""

_FORMAT = 2
"""Of the folder. Runs of format 1, which knew neither their base nor versions, had no such key."""

MAX_IDENTITY = 64 << 20
"""Bytes of an identity; that of a table with 20,000 columns has 2 MB."""

_START_AGAIN = "start again without resume (on the command line: --overwrite instead of --resume)"


class RunDirectoryError(MachineError):
    """A folder that a run cannot use."""


@dataclass(eq=False)
class DamagedRun(RunDirectoryError):
    """A run that cannot be resumed, since a file of it is damaged or has another format. It can start again."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"The run folder {self.path} cannot be used: {self.problem}; {_START_AGAIN}."


@dataclass(eq=False)
class ResumeMismatch(TaskgraftError):
    """A run that cannot be resumed, since its settings, its data, its base or versions of packages changed."""

    path: str
    changed: tuple[str, ...]

    def __str__(self) -> str:
        changes = "; ".join(self.changed)
        return f"Cannot resume {self.path}: {changes}. Undo this, or {_START_AGAIN}."


@dataclass
class RunDirectory:
    """The folder of one run, locked while it is open.

    Attributes:
        writes: true in the first of several processes only.
        results: names in the folder that are deleted with the checkpoint when a run starts anew.
    """

    path: Path
    writes: bool = True
    results: tuple[str, ...] = ()
    _lock: FileLock | None = field(default=None, init=False, repr=False)
    _metrics: TextIO | None = field(default=None, init=False, repr=False)

    def open(self, identity: Mapping[str, Any], *, resume: bool) -> bool:
        """Start or resume a run.

        Args:
            identity: what must be unchanged for the run to be resumed, as plain JSON.

        Returns:
            whether a run to resume was found that has no checkpoint, and so starts from the beginning.

        Raises:
            RunDirectoryError: when another process uses it, or it cannot be written.
            ResumeMismatch: when a run with another identity would be resumed.
        """
        before = self._read_identity() if resume else None
        if resume and before is None and (self.path / STATE).exists():
            raise self._damaged(f"it has a checkpoint, but no {RUN} that identifies the run")
        if before is not None and (changed := identity_changes(before, identity)):
            raise ResumeMismatch(str(self.path), tuple(changed))
        from_start = before is not None and not (self.path / STATE).exists()
        if not self.writes:
            return from_start
        try:
            make_folder(self.path)
            self._lock = FileLock(self.path / LOCK)
            self._lock.acquire(timeout=0)
            if before is None:
                self._clear()
                document = {"format": _FORMAT, **identity}
                with replaced_file(self.path / RUN) as temporary:
                    temporary.write_text(json.dumps(document, indent=1), "utf-8")
            remove_leftovers_in(self.path)
            if (self.path / METRICS).exists():
                check_regular_file(self.path / METRICS)
            self._metrics = (self.path / METRICS).open("a", encoding="utf-8", buffering=1)
        except Timeout:
            self._lock = None
            raise self._error("another run is using it; wait, or choose another folder") from None
        except OSError as error:
            self.close()
            raise self._error(error_reason(error)) from None
        return from_start

    def close(self) -> None:
        """Release the folder. Its files stay."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
            with suppress(OSError):  # the last lines belong to no checkpoint
                sync(self.path / METRICS)
                sync(self.path)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add a line to the metrics."""
        if self._metrics is not None:
            self._metrics.write(json.dumps(line) + "\n")

    def save_state(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Replace the checkpoint. Raises RunDirectoryError when it cannot be written; the previous one stays."""
        if not self.writes:
            return
        assert self._metrics is not None
        try:
            sync(self.path / METRICS)  # the checkpoint says how much of it there is
            with replaced_file(self.path / STATE) as temporary:
                write_verified(temporary, {"values": values, "metrics": self._metrics.tell()}, tensors)
        except (OSError, SafetensorError) as error:
            raise self._error(f"its checkpoint cannot be written ({write_problem(error)})") from None

    def load_state(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Read the checkpoint, if there is one, and drop later metrics. Raises RunDirectoryError when it is damaged."""
        path = self.path / STATE
        try:
            state, tensors = read_verified(path)
        except (OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError) and not path.is_symlink():  # a link to nothing is damage
                self._cut_metrics(0)
                return None
            raise self.damaged(error_reason(error)) from None
        values, size = state.get("values"), state.get("metrics")
        if not isinstance(values, dict) or type(size) is not int or size < 0:
            raise self.damaged("it is not a checkpoint of a run")
        self._cut_metrics(size)
        return values, tensors

    def damaged(self, problem: str) -> DamagedRun:
        """Return the error of a checkpoint that must not be used."""
        return self._damaged(f"its checkpoint is damaged ({problem})")

    def _cut_metrics(self, size: int) -> None:
        """Drop the metrics after a checkpoint, which were ``size`` bytes of whole lines then."""
        if self._metrics is None:
            return
        with open_regular_file(self.path / METRICS) as file:
            file.seek(max(size - 1, 0))
            if size and file.read(1) != b"\n":
                problem = f"its {METRICS} lacks some of the {size:,} bytes that were written before the checkpoint"
                raise self._damaged(problem)
        self._metrics.truncate(size)
        self._metrics.seek(size)

    def _clear(self) -> None:
        """Delete a previous run, and that for good before its identity is replaced: no run may resume another's state."""
        for name in (STATE, METRICS, FINISHED, *self.results):
            if (self.path / name).is_dir():
                shutil.rmtree(self.path / name)
            else:
                (self.path / name).unlink(missing_ok=True)
        sync(self.path)

    def _read_identity(self) -> dict[str, Any] | None:
        try:
            return read_identity(self.path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._damaged(f"its {RUN} cannot be read ({error_reason(error)})") from None

    def _damaged(self, problem: str) -> DamagedRun:
        return DamagedRun(str(self.path), problem)

    def _error(self, problem: str) -> RunDirectoryError:
        return RunDirectoryError(f"The run folder {self.path} cannot be used: {problem}.")


def read_identity(folder: Path) -> dict[str, Any]:
    """Read the identity of the run in a folder. Raises OSError and, with a clause for a sentence, ValueError."""
    identity = parse_json(read_small_file(folder / RUN, MAX_IDENTITY))
    if not isinstance(identity, dict):
        raise ValueError("it does not identify a run")
    if (version := identity.pop("format", 1)) != _FORMAT:
        raise ValueError(f"it has format {version!r:.20}, but this version of taskgraft reads format {_FORMAT}")
    return identity


def identity_changes(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """List what differs between two identities, by dotted path."""
    changes = []
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes += identity_changes(old, new, f"{path}{key}.")
        elif old != new:
            changes.append(f"{path}{key} was {_short_json(old)} and is now {_short_json(new)}")
    return changes


def _short_json(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, list) else join_words(map(json.dumps, value), 3)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_SHOWN = 66
"""Characters of a changed value; a fingerprint in quotes has so many."""
