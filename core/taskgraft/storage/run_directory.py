"""The directory of a training run: its checkpoint, its identity, its metrics and a lock.

``run.json`` identifies the run; ``state.safetensors`` is the checkpoint: tensors and, in its header, JSON; ``metrics.jsonl``
has a line per step and epoch. A checkpoint is replaced by a rename, so it is complete even if the run is killed.
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

_START_AGAIN = "start again without resume (on the command line: --overwrite instead of --resume)"


class RunDirectoryError(TaskgraftError):
    """A folder that a run cannot use."""


@dataclass(eq=False)
class ResumeMismatch(TaskgraftError):
    """A run that cannot be resumed, since its settings or data changed."""

    path: str
    changed: tuple[str, ...]

    def __str__(self) -> str:
        changes = "; ".join(self.changed)
        return f"Cannot resume {self.path}: its settings or data changed: {changes}. Restore them, or {_START_AGAIN}."


@dataclass
class RunDirectory:
    """The folder of one run, locked while it is open. ``writes`` is true in the first of several processes only."""

    path: Path
    writes: bool = True
    _lock: FileLock | None = field(default=None, init=False, repr=False)
    _metrics: TextIO | None = field(default=None, init=False, repr=False)

    def open(self, identity: Mapping[str, Any], *, resume: bool) -> None:
        """Start or resume a run.

        Args:
            identity: what must be unchanged for the run to be resumed, as plain JSON.

        Raises:
            RunDirectoryError: when another process uses it, or it cannot be written.
            ResumeMismatch: when a run with another identity would be resumed.
        """
        before = self._read_identity() if resume else None
        if before is not None and (changed := _changes(before, identity)):
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
                (self.path / f".{RUN}").write_text(json.dumps(identity, indent=1), "utf-8")
                (self.path / f".{RUN}").replace(self.path / RUN)
            self._metrics = (self.path / METRICS).open("a", encoding="utf-8", buffering=1)
        except Timeout:
            self._lock = None
            raise self._error("another run is using it; wait, or choose another folder") from None
        except OSError as error:
            self.close()
            raise self._error(str(error.strerror or error)) from None

    def close(self) -> None:
        """Release the folder. Its files stay."""
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
        """Replace the checkpoint. Raises RunDirectoryError when it cannot be written; the previous one stays."""
        if not self.writes:
            return
        assert self._metrics is not None
        header = json.dumps({"values": values, "metrics": self._metrics.tell()})
        temporary = self.path / f".{STATE}"
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            save_file(contiguous, temporary, {"state": header})
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(self.path / STATE)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise self._error(f"its checkpoint cannot be written ({error})") from None

    def load_state(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Read the checkpoint, if there is one, and drop later metrics. Raises RunDirectoryError when it is damaged."""
        path = self.path / STATE
        if not path.is_file():
            self._cut_metrics(0)
            return None
        try:
            with safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise self._error(f"its checkpoint is damaged ({error}); {_START_AGAIN}") from None
        self._cut_metrics(state["metrics"])
        return state["values"], tensors

    def _cut_metrics(self, size: int) -> None:
        if self._metrics is not None:
            self._metrics.truncate(size)
            self._metrics.seek(size)

    def _read_identity(self) -> dict[str, Any] | None:
        try:
            identity = json.loads((self.path / RUN).read_text("utf-8"))
            if not isinstance(identity, dict):
                raise ValueError("it does not identify a run")
            return identity
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._error(f"its {RUN} cannot be read ({error})") from None

    def _error(self, problem: str) -> RunDirectoryError:
        return RunDirectoryError(f"The run folder {self.path} cannot be used: {problem}.")


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """List what differs, by dotted path."""
    changes = []
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes += _changes(old, new, f"{path}{key}.")
        elif old != new:
            changes.append(f"{path}{key} was {_short_json(old)}, is {_short_json(new)}")
    return changes


def _short_json(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, list) else join_words(map(json.dumps, value), 3)
    return text if len(text) <= 60 else f"{text[:60]}…"
