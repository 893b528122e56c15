"""Bootstrap: resamples of the rows, or of whole groups of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.contract.targets import is_missing
from taskgraft.evaluation.errors import EvaluationError

RESAMPLES = 1000
"""The default number of resamples."""


@dataclass(frozen=True)
class Bootstrap:
    """What varies between samples of rows: single rows or whole groups; and how they are resampled.

    Attributes:
        count: the number of resamples; 0 gives no intervals.
        seed: the same data and seed give the same intervals.
        groups: the name of the groups (a column), or None if rows are drawn one by one.
        members: the group of each row, if there are groups. Rows of one group are drawn together; a row whose group is missing
            is drawn alone.
    """

    count: int = RESAMPLES
    seed: int = 0
    groups: str | None = None
    members: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 0:
            advice = "Give a whole number of at least 0; 0 gives no intervals, 1000 is usual."
            raise EvaluationError(f"resamples is {self.count!r}. {advice}")

    def resamples(self, rows: int) -> Iterator[NDArray[np.int64]]:
        """Draw as many rows, or groups, as there are, with replacement.

        Yields:
            row indices, ``(row,)`` int64, each as often as it was drawn. Nothing if there are no two rows or groups.
        """
        unit, units = self.units(rows)
        if units < 2:
            return
        generator = np.random.default_rng(self.seed)
        for _ in range(self.count):
            times = np.bincount(generator.integers(units, size=units), minlength=units)
            yield np.repeat(np.arange(rows), times[unit])

    def units(self, rows: int) -> tuple[NDArray[np.int64], int]:
        """Return the index of each row's unit, ``(row,)``, and the number of units, which are rows or groups."""
        if self.members is None:
            return np.arange(rows), rows
        numbers: dict[Any, int] = {}
        keys = (row if is_missing(value) else repr(value) for row, value in enumerate(self.members))
        unit = [numbers.setdefault(key, len(numbers)) for key in keys]
        return np.array(unit, dtype=np.int64), len(numbers)


def finite_only(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values that are finite, as Python floats."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
