"""The rule of days: on which day a transaction happened, as a whole number.

A timestamp, a date, or text as ISO 8601 writes them: the days since 1970-01-01, in UTC where a zone is stated. A number, also
written as text: floor(seconds / 86,400), from wherever its seconds are counted, or as it is where it counts days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft_fraud.cells import BadCells, column_of
from taskgraft_fraud.day_settings import Unit
from taskgraft_fraud.times import DAY, counted, times


@dataclass(frozen=True)
class Days:
    """The day of each row.

    Attributes:
        numbers: ``(row,)`` int64.
        dated: whether they are counted from 1970-01-01.
    """

    numbers: NDArray[np.int64]
    dated: bool

    def name(self, day: int) -> str:
        """Say which day a number is: a date, or "day 12"."""
        return str(np.datetime64(int(day), "D")) if self.dated else f"day {day:,}"


def days_of(values: Sequence[Any] | pa.ChunkedArray, column: str, unit: Unit) -> Days:
    """Find the day of each row.

    Args:
        column: what messages call it.
        unit: what numbers count.

    Raises:
        BadCells: naming each row whose time is missing or cannot be read.
    """
    cells = column_of(values)
    found = times(cells, column, unit)
    if problems := found.problems:
        raise BadCells(problems)
    return Days(found.values // DAY, not counted(cells))
