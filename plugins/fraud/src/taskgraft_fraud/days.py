"""The day of a transaction, as an integer.

A timestamp, a date or an ISO 8601 text gives the days since 1970-01-01, in UTC unless it states a zone. A number, also as text,
gives floor(seconds / 86,400), or floor(days) with that unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft_fraud.parse_cells import InvalidCells, to_arrow_array
from taskgraft_fraud.parse_times import DAY, are_numeric, parse_times
from taskgraft_fraud.time_unit import TimeUnit


@dataclass(frozen=True)
class Days:
    """The day of each row.

    Attributes:
        numbers: ``(row,)`` int64.
        dated: whether they count from 1970-01-01.
    """

    numbers: NDArray[np.int64]
    dated: bool

    def name(self, day: int) -> str:
        """Format a day for a message: a date, or "day 12"."""
        return str(np.datetime64(int(day), "D")) if self.dated else f"day {day:,}"


def parse_days(values: Sequence[Any] | pa.ChunkedArray, column: str, unit: TimeUnit) -> Days:
    """Parse the day of each row.

    Args:
        column: its name in messages.
        unit: the unit of numbers.

    Raises:
        InvalidCells: naming each row whose time is missing or invalid.
    """
    cells = to_arrow_array(values)
    times = parse_times(cells, column, unit)
    if problems := times.problems:
        raise InvalidCells(problems)
    return Days(times.values // DAY, not are_numeric(cells))
