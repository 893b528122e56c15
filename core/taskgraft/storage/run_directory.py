"""Where a run keeps what it needs to go on after it was killed: its state, its identity, and its metrics.

``run.json`` says which run this is; ``state.safetensors`` holds tensors and, in its header, JSON; ``metrics.jsonl`` holds a
line per step and epoch. The state is replaced by a rename, so it is whole whenever the run is killed.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from taskgraft.errors import TaskgraftError, join_words

RUN, STATE, METRICS, LOCK = "run.json", "state.safetensors", "metrics.jsonl", "lock"
"""The files of a run."""

ANEW = "begin anew without resume (on the command line: --overwrite in place of --resume)"
"""Advice where a run cannot go on."""


@dataclass(eq=False)
class RunDirectoryError(TaskgraftError):
    """A folder that a run cannot use."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"The run folder {self.path} cannot be used: {self.problem}."


@dataclass(eq=False)
class ResumeMismatch(TaskgraftError):
    """A run that was to go on, but with something changed."""

    path: str
    changed: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"The run in {self.path} cannot go on, since something else is asked for now: {'; '.join(self.changed)}. "
            f"Ask for the same as before, or {ANEW}."
        )


@dataclass
class RunDirectory:
    """The folder of one run, locked while it is open.

    Attributes:
        writes: whether this process writes; with several processes only the first does.
    """

    path: Path
    writes: bool = True
    _lock: FileLock | None = field(default=None, init=False, repr=False)
    _metrics: TextIO | None = field(default=None, init=False, repr=False)

    def open(self, identity: Mapping[str, Any], *, resume: bool) -> None:
        """Begin, or go on.

        Args:
            identity: what must be the same for the run to go on: plain JSON.

        Raises:
            BackboneFailed: when another process is at work in it, or it cannot be written.
            ResumeMismatch: when it is to go on with another identity.
        """
        before = self._identity() if resume else None
        if before is not None and (changed := list(_changed(before, identity))):
            raise ResumeMismatch(str(self.path), tuple(changed))
        if not self.writes:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path / LOCK)
            self._lock.acquire(timeout=0)
            if before is None:
                for name in (STATE, METRICS):
                    (self.path / name).unlink(missing_ok=True)
                _replace(self.path / RUN, json.dumps(identity, indent=1).encode())
            self._metrics = (self.path / METRICS).open("a", encoding="utf-8", buffering=1)
        except Timeout:
            self._lock = None
            raise RunDirectoryError(
                str(self.path), "another run is at work in it; wait for its end or name another folder"
            ) from None
        except OSError as error:
            self.close()
            raise RunDirectoryError(str(self.path), str(error.strerror or error)) from None

    def close(self) -> None:
        """Let others use the folder. What lies in it stays."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add a line to the metrics."""
        if self._metrics is not None:
            self._metrics.write(json.dumps(line) + "\n")

    def save_state(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Replace the state.

        Raises:
            BackboneFailed: when it cannot be written; the state before stays.
        """
        if not self.writes:
            return
        assert self._metrics is not None
        header = json.dumps({"values": values, "metrics": self._metrics.tell()})
        fresh = self.path / f".{STATE}"
        try:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, fresh, {"state": header}
            )
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            fresh.replace(self.path / STATE)
        except (OSError, SafetensorError) as error:
            fresh.unlink(missing_ok=True)
            raise RunDirectoryError(str(self.path), f"its state cannot be written ({error})") from None

    def load_state(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Read the state, and forget the metrics that came after it; None when there is none.

        Raises:
            BackboneFailed: when it is damaged.
        """
        path = self.path / STATE
        if not path.is_file():
            self._cut_metrics(0)
            return None
        try:
            with safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise RunDirectoryError(str(self.path), f"its state is damaged ({error}); {ANEW}") from None
        self._cut_metrics(state["metrics"])
        return state["values"], tensors

    def _cut_metrics(self, size: int) -> None:
        if self._metrics is not None:
            self._metrics.truncate(size)
            self._metrics.seek(size)

    def _identity(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.path / RUN).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RunDirectoryError(str(self.path), f"its {RUN} cannot be read ({error})") from None
        if not isinstance(found, dict):
            raise RunDirectoryError(str(self.path), f"its {RUN} does not say which run it is")
        return found


def _changed(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """Name what differs, by dotted path."""
    found = []
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _changed(old, new, f"{path}{key}.")
        elif old != new:
            found.append(f"{path}{key} was {_short(old)}, is {_short(new)}")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, list) else join_words(map(json.dumps, value), 3)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}")
    fresh.write_bytes(content)
    fresh.replace(path)
