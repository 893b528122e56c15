"""What was chosen by the validation rows: a penalty, the epoch to stop at, a threshold. Their scores are a little too kind."""

from collections.abc import Mapping, Sequence
from typing import Any

from taskgraft.contract.targets import TargetDescription
from taskgraft.errors import join_words
from taskgraft.training.checkpoint import StageReport

Chosen = Mapping[str, float | None]
"""What was chosen ("threshold") → its value; None for what is not a single number."""


def chosen_on_validation(
    stages: Sequence[StageReport], target: TargetDescription, tuned: TargetDescription
) -> dict[str, float | None]:
    """Collect what the validation rows decided: in the stages, and in the target description that the head tuned.

    With several stages, what a stage chose has the name of the stage in front: ``tune.epoch``.
    """
    chosen: dict[str, float | None] = {}
    for stage in stages:
        prefix = f"{stage.name}." if len(stages) > 1 else ""
        chosen |= {f"{prefix}{name}": value for name, value in stage.chosen.items()}
    before, after = target.model_dump(mode="json"), tuned.model_dump(mode="json")
    for name, value in after.items():
        if value != before[name]:
            chosen |= _named_number(name, value)
    return chosen


def selection_note(chosen: Chosen, rows: int) -> str:
    """Say that metrics are of rows that also chose something; empty if they chose nothing."""
    if not chosen:
        return ""
    names = join_words(
        [f"the {name}" if value is None else f"the {name} {value:.4g}" for name, value in chosen.items()]
    )
    return (
        f"The metrics are of the {rows:,} validation rows, which also chose {names}: expect a little less on new rows."
    )


def _named_number(name: str, value: Any) -> dict[str, float | None]:
    """Name the single number of a field: ``{"threshold": {"value": 0.4}}`` is the threshold 0.4. None for several numbers."""
    if isinstance(value, Mapping) and ("value" in value or len(value) == 1):
        key = "value" if "value" in value else next(iter(value))
        return _named_number(name if key == "value" else key, value[key])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {name: float(value) if is_number else None}
