"""Metric logging: metrics.jsonl in the run directory, and accelerate's trackers; makes the Accelerator."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType

from taskgraft.errors import closest_match, join_words
from taskgraft.preparation.errors import TrainingError
from taskgraft.storage.run_directory import RunDirectory


def log_metrics(accelerator: Accelerator, directory: RunDirectory | None, step: int, values: Mapping[str, Any]) -> None:
    """Log values to the run directory, if there is one, and numbers to the trackers; ``step`` is that of the run, from 1.

    A number that is not finite is null in the run directory: JSON has none of those.
    """
    if directory is not None:
        lost = {key for key, value in values.items() if isinstance(value, float) and not math.isfinite(value)}
        directory.append_metrics({key: None if key in lost else value for key, value in values.items()})
    if accelerator.trackers:
        numbers = {key: value for key, value in values.items() if isinstance(value, int | float)}
        accelerator.log(numbers, step=step)


def make_accelerator(trackers: Sequence[str], folder: Path | None) -> Accelerator:
    """Make the accelerator, which joins the processes that were started together.

    Args:
        trackers: their names in accelerate.
        folder: of the run; trackers may write files there.

    Raises:
        TrainingError: for an unknown tracker, or one whose package is not installed.
    """
    known = [str(name) for name in LoggerType.list() if name != LoggerType.ALL]
    for name in trackers:
        if name not in known:
            match = closest_match(name, known)
            hint = f" (did you mean '{match}'?)" if match else ""
            raise _tracker_error(name, f"there is no such tracker{hint}; accelerate knows {join_words(known)}")
    if trackers and folder is None:
        raise _tracker_error(trackers[0], "trackers may write files, so name a folder for the run with run=…")
    installed = {str(name) for name in get_available_trackers()}
    if missing := [name for name in trackers if name not in installed]:
        package = missing[0].replace("_", "-")
        raise _tracker_error(missing[0], f"its package is not installed (pip install {package})")
    return Accelerator(
        cpu=not torch.accelerator.is_available(),  # without an accelerator, accelerate joins processes only if asked to
        log_with=list(trackers) or None,
        project_dir=None if folder is None else str(folder),
    )


def _tracker_error(name: str, problem: str) -> TrainingError:
    return TrainingError(f"The tracker '{name}' cannot be used: {problem}.")
