"""What was chosen by the validation rows: a penalty, the epoch to stop at, a threshold. Their scores are a little too kind."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taskgraft.contract.targets import TargetDescription
from taskgraft.errors import join_words
from taskgraft.recipe import DataConfig


def chosen_on_validation(
    stages: Sequence[tuple[str, Mapping[str, float]]], target: TargetDescription, tuned: TargetDescription
) -> dict[str, float | None]:
    """Collect what the validation rows decided: in the stages, and in the target description that the head tuned.

    With several stages, what a stage chose has the name of the stage in front: ``tune.epoch``.

    Args:
        stages: the name of each, and what was chosen in it.
    """
    chosen: dict[str, float | None] = {}
    for stage, found in stages:
        prefix = f"{stage}." if len(stages) > 1 else ""
        chosen |= {f"{prefix}{name}": value for name, value in found.items()}
    before, after = target.model_dump(mode="json"), tuned.model_dump(mode="json")
    for name, value in after.items():
        if value != before[name]:
            chosen |= _named_number(name, value)
    return chosen


def selection_note(chosen: Mapping[str, float | None], rows: int) -> str:
    """Say that metrics are of rows that also chose something; empty if they chose nothing."""
    if not chosen:
        return ""
    also = f"which also chose {_names(chosen)}: expect a little less on new rows"
    return f"The metrics are of the {rows:,} validation rows, {also}."


def seen_rows_note(data: Any, recipe: DataConfig, chosen: Mapping[str, float | None]) -> str:
    """Say that rows to evaluate are from the file that the model was trained on, or that chose something; else empty."""
    if not isinstance(data, str | Path):
        return ""
    if _is_same_file(data, recipe.train):
        return "from the file that the model was trained on, so expect less on new rows"
    if chosen and _is_same_file(data, recipe.validation):
        return f"from the validation file, which also chose {_names(chosen)}, so expect a little less on new rows"
    return ""


def _names(chosen: Mapping[str, float | None]) -> str:
    return join_words(f"the {name}" if value is None else f"the {name} {value:.4g}" for name, value in chosen.items())


def _is_same_file(path: str | Path, other: str | None) -> bool:
    try:
        return other is not None and os.path.samefile(path, other)
    except (OSError, ValueError):  # one of them is not a file
        return False


def _named_number(name: str, value: Any) -> dict[str, float | None]:
    """Name the single number of a field: ``{"threshold": {"value": 0.4}}`` is the threshold 0.4. None for several numbers."""
    if isinstance(value, Mapping) and ("value" in value or len(value) == 1):
        key = "value" if "value" in value else next(iter(value))
        return _named_number(name if key == "value" else key, value[key])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {name: float(value) if is_number else None}
