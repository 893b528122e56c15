"""Raw targets: what a head fits to them, and the errors for those it cannot use. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config
from taskgraft.errors import TaskgraftError


class TargetDescription(Config):
    """What a head fitted to the targets of the training split: vocabulary, scales, class weights. Frozen, and JSON."""


class TargetError(TaskgraftError):
    """Target columns that a head cannot be trained on."""


@dataclass(eq=False)
class InvalidTargets(TaskgraftError):
    """Rows whose target cannot be used: row, from 0 → reason. The code that read the file adds line numbers."""

    reasons: Mapping[int, str]

    def __str__(self) -> str:
        lines = [f"row {row}: {reason}" for row, reason in list(self.reasons.items())[:5]]
        more = [f"… and {len(self.reasons) - 5:,} more rows."] if len(self.reasons) > 5 else []
        return "\n".join([*lines, *more])


def raise_invalid(reasons: Mapping[int, str]) -> None:
    """Raise :class:`InvalidTargets` if there is any invalid row."""
    if reasons:
        raise InvalidTargets(reasons)


def single_column(targets: Columns, head: str) -> tuple[str, Sequence[Any]]:
    """Return name and values of the only target column, for a head that reads one."""
    if len(targets) != 1:
        raise TargetError(f"'{head}' reads one target column, but was given {len(targets)}: {', '.join(targets)}.")
    return next(iter(targets.items()))


def is_missing(value: object) -> bool:
    """Tell whether a raw value is an empty cell: None, an empty text, or NaN."""
    return value is None or (isinstance(value, str) and not value) or (isinstance(value, float) and value != value)
