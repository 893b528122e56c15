"""The threshold rule of a head, applied to baselines: tuned for each of them on the same validation rows as for the model."""

from dataclasses import dataclass
from typing import Any

from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.head import Head
from taskgraft.contract.rows import Rows


@dataclass(frozen=True)
class TuningRows:
    """The validation rows, and their encoded targets."""

    rows: Rows
    targets: Batch


def select_tuning_columns(head: Head[Any], rows: Rows) -> Columns:
    """Return the columns that a head's tuning reads."""
    return rows.lazy_columns({column: column for column in head.description.tuning_columns})


def tunes_baselines(head: Head[Any]) -> bool:
    """Tell whether a head tunes something that it also decides by on predictions of a baseline."""
    return bool(head.description.tunes) and type(head).decide is not Head.decide


def threshold_note(name: str, reason: str) -> str:
    """Format why a baseline decides by its own threshold."""
    return f"the baseline '{name}' keeps its own threshold: {reason}"
