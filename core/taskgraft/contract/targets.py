"""Raw targets: what a head fitted to them, and how it names those that are invalid. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config
from taskgraft.errors import TaskgraftError


class TargetDescription(Config):
    """A target description: what a head learned about its targets. Frozen, and JSON (vocabulary, scales, weights)."""


@dataclass(eq=False)
class InvalidTargets(TaskgraftError):
    """Rows whose target cannot be used. Rows are counted from 0; whoever read the file adds the lines."""

    reasons: Mapping[int, str]
    places: Mapping[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        first = list(self.reasons.items())
        shown = [f"{self.places.get(row, f'row {row}')}: {reason}" for row, reason in first[:5]]
        more = f"\n… and {len(first) - 5:,} more rows." if len(first) > 5 else ""
        return "\n".join(shown) + more


def raise_invalid(reasons: Mapping[int, str]) -> None:
    """Raise when there is a bad row."""
    if reasons:
        raise InvalidTargets(reasons)


def single_column(targets: Columns, head: str) -> tuple[str, Sequence[Any]]:
    """Give the one target column of a head that reads one."""
    if len(targets) != 1:
        raise NeedsOneColumn(head, tuple(targets))
    return next(iter(targets.items()))


@dataclass(eq=False)
class NeedsOneColumn(TaskgraftError):
    """A head that reads one target column was given another number."""

    head: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"'{self.head}' reads one target column, but was given {len(self.columns)}: {', '.join(self.columns)}."


def is_missing(value: object) -> bool:
    """Say whether a raw value is an empty cell: None, an empty text, or a NaN."""
    return value is None or value == "" or (isinstance(value, float) and value != value)
