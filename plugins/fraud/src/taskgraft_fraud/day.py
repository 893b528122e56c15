"""The rule of days: on which day a transaction happened, as a whole number.

A timestamp, a date, or text as ISO 8601 writes them: the days since 1970-01-01, in UTC where a zone is stated. A number, also
written as text: floor(seconds / 86,400), from wherever its seconds are counted, or as it is where it counts days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft.error import TaskgraftError
from taskgraft_fraud.column import array_of, is_text, numbers_of
from taskgraft_fraud.day_settings import Unit

SECONDS = 86_400
"""Of a day."""

PIECE = 1_000
"""Rows that are looked through together for one that cannot be read."""


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
        BadTimes: naming each row whose time is missing or cannot be read.
    """
    times = array_of(values)
    numbers = numbers_of(times)
    dated = numbers is None or pa.types.is_temporal(times.type)
    if numbers is None:
        numbers = _moments(times)
    if numbers is None:
        raise BadTimes(_unreadable(times, column))
    if np.isnan(numbers).any():
        raise BadTimes(dict.fromkeys(np.flatnonzero(np.isnan(numbers)).tolist(), f"the column '{column}' is empty"))
    if dated or unit == "seconds":
        numbers = numbers / SECONDS
    return Days(np.floor(numbers).astype(np.int64), dated)


def _moments(times: pa.Array) -> NDArray[np.float64] | None:
    """Read text as ISO 8601: seconds since 1970-01-01, NaN where there is none; None when something is written otherwise."""
    kinds = [pa.timestamp(unit, zone) for unit in ("us", "ns") for zone in (None, "UTC")]
    for kind in kinds if is_text(times) else ():
        try:
            return numbers_of(times.cast(kind))
        except pa.ArrowInvalid:
            continue
    return None


def _unreadable(times: pa.Array, column: str) -> Mapping[int, str]:
    """Name the rows that cannot be read as the first one that can be is."""
    rows = [row for row in range(len(times)) if times[row].is_valid]
    ways = {numbers_of: "no number", _moments: "no time like 2018-07-25 13:05:00"}
    readable = (way for row in rows for way in ways if way(times[row : row + 1]) is not None)
    way = next(readable, None)
    wrong = "neither a number nor a time like 2018-07-25 13:05:00" if way is None else f"{ways[way]}, as others are"
    reasons = {}
    for start in range(0, len(times), PIECE):
        if way is None or way(times[start : start + PIECE]) is None:
            for row in range(start, min(start + PIECE, len(times))):
                if times[row].is_valid and (way is None or way(times[row : row + 1]) is None):
                    reasons[row] = f"the column '{column}' is {times[row].as_py()!r:.60}, {wrong}"
    return reasons


@dataclass(eq=False)
class BadTimes(TaskgraftError):
    """Rows whose time cannot be read. Rows are counted from 0; whoever read the file adds the lines."""

    reasons: Mapping[int, str]

    def __str__(self) -> str:
        row, reason = min(self.reasons.items())
        return f"Row {row + 1:,}: {reason}. {len(self.reasons):,} rows have no time that can be read. Mend or leave them out."
