"""What a run tells as it goes: lines of metrics in its folder, and the trackers that the user named."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType

from taskgraft.errors import TaskgraftError, closest_match, join_words
from taskgraft.storage.run_directory import RunDirectory


@dataclass(eq=False)
class InvalidTracker(TaskgraftError):
    """A tracker that cannot be used."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"The tracker '{self.name}' cannot be used: {self.problem}."


@dataclass
class MetricsLogger:
    """Notes what happens, for whoever keeps track.

    Attributes:
        folder: where lines of metrics go; None keeps none.
    """

    accelerator: Accelerator
    folder: RunDirectory | None

    def note(self, step: int, line: Mapping[str, Any]) -> None:
        """Note some values.

        Args:
            step: of the whole run, from 1.
        """
        if self.folder is not None:
            self.folder.append_metrics(line)
        if self.accelerator.trackers:
            self.accelerator.log(
                {key: value for key, value in line.items() if isinstance(value, int | float)}, step=step
            )


def make_accelerator(trackers: Sequence[str], folder: Path | None) -> Accelerator:
    """Join the processes that were started together. On processors alone accelerate does so only when told to.

    Args:
        trackers: their names, as accelerate knows them.
        folder: of the run, where trackers may put files.

    Raises:
        InvalidTracker: for an unknown name, or one whose package is not installed.
    """
    known = [str(name) for name in LoggerType.list() if name != LoggerType.ALL]
    for name in trackers:
        if name not in known:
            near = closest_match(name, known)
            meant = f" (did you mean '{near}'?)" if near else ""
            raise InvalidTracker(name, f"there is none of that name{meant}; accelerate knows {join_words(known)}")
    if trackers and folder is None:
        raise InvalidTracker(trackers[0], "trackers may write files, so name a folder for the run with run=…")
    installed = {str(name) for name in get_available_trackers()}
    if missing := [name for name in trackers if name not in installed]:
        raise InvalidTracker(missing[0], f"its package is not installed here (pip install {_package(missing[0])})")
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        log_with=list(trackers) or None,
        project_dir=None if folder is None else str(folder),
    )


@contextmanager
def tracking(accelerator: Accelerator, trackers: Sequence[str]) -> Iterator[None]:
    """Let the trackers take what is noted."""
    if not trackers:
        yield
        return
    accelerator.init_trackers("taskgraft")
    try:
        yield
    finally:
        accelerator.end_training()


def _package(tracker: str) -> str:
    return tracker.replace("_", "-")
