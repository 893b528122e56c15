"""Leaks that can be seen: what is judged by and stands among what is learned from, or came before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft.plugin import Rows, TaskgraftError, join_words
from taskgraft_fraud.cells import codes, column_of, texts
from taskgraft_fraud.day import Days

Members = NDArray[np.int64]
"""Row numbers of a part, ``(row,)``."""

LEARNED, JUDGED = "train", "validation"


@dataclass(eq=False)
class Leak(TaskgraftError):
    """Rows on both sides that may not be.

    Attributes:
        learned, judged: a row that is learned from and one that is judged by.
        problem: what is wrong with the two, as a sentence without a full stop.
        alike: all rows with that problem.
    """

    rows: Rows
    learned: int
    judged: int
    problem: str
    alike: Sequence[int]
    advice: str

    def __str__(self) -> str:
        pair = f"{self.rows.location(self.learned)} (learned from) and {self.rows.location(self.judged)} (judged by)"
        places = join_words((self.rows.location(row).partition(" ")[2] for row in self.alike), 5)
        kind = "rows" if self.rows.lines is None else "lines"
        count = f"{len(self.alike):,} of {len(self.rows):,} rows are like this ({kind} {places}). "
        return f"{self.rows.source}, {pair}: {self.problem}. {count if len(self.alike) > 1 else ''}{self.advice}"


def given_parts(rows: Rows, column: str) -> dict[str, Members]:
    """Take the parts that a column names. Rows without part are left out.

    Raises:
        MissingColumn: when there is no such column.
    """
    numbers, names = _codes(rows, column)
    parts = {name: np.flatnonzero(numbers == number) for number, name in enumerate(names)}
    none = np.zeros(0, dtype=np.int64)
    return {LEARNED: none, JUDGED: none} | parts


def customers_of(rows: Rows, column: str) -> tuple[NDArray[np.int64], int]:
    """Number the customers, in the order of their texts; a row without customer is one of its own, after the others.

    Returns:
        the number of each row's customer, and how many there are.

    Raises:
        MissingColumn: when there is no such column.
    """
    numbers, names = _codes(rows, column)
    place = np.empty(len(names), dtype=np.int64)
    place[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    alone = numbers < 0
    found = np.where(alone, 0, place[numbers]) if len(names) else np.zeros(len(numbers), dtype=np.int64)
    found[alone] = len(names) + np.arange(alone.sum())
    return found, len(names) + int(alone.sum())


def refuse_same_rows(rows: Rows, parts: Mapping[str, Members], besides: str | None) -> None:
    """Raise when a row stands on both sides.

    Args:
        besides: a column that does not count: the one that says the side.
    """
    none = len(rows)
    sides = {}
    for side in (LEARNED, JUDGED):
        sides[side] = np.full(len(rows), none)
        sides[side][parts[side]] = parts[side]
    kept = np.sort(np.concatenate([parts[LEARNED], parts[JUDGED]]))
    names = [name for name in rows.columns if name != besides]
    columns = {f"key {place}": _plain(rows.table.column(name)) for place, name in enumerate(names)}
    table = pa.table(columns | {side: pa.array(found) for side, found in sides.items()}).take(pa.array(kept))
    groups = table.group_by(list(columns)).aggregate([(side, "min") for side in sides])
    learned, judged = (groups[f"{side}_min"].to_numpy() for side in (LEARNED, JUDGED))
    both = (learned < none) & (judged < none)
    if both.any():
        order = np.argsort(judged[both])
        first, alike = int(learned[both][order[0]]), judged[both][order].tolist()
        raise Leak(rows, first, alike[0], "both are the same row", alike, "Keep one of the two.")


def refuse_shared_customers(rows: Rows, parts: Mapping[str, Members], column: str) -> None:
    """Raise when rows of a customer stand on both sides."""
    customers, count = customers_of(rows, column)
    seen = np.full(count, -1)
    seen[customers[parts[LEARNED]][::-1]] = parts[LEARNED][::-1]
    alike = parts[JUDGED][seen[customers[parts[JUDGED]]] >= 0]
    if len(alike):
        judged = int(alike[0])
        problem = f"both are of the customer {rows.value(column, judged)!r:.60}"
        advice = "Put all rows of a customer on one side."
        raise Leak(rows, int(seen[customers[judged]]), judged, problem, alike.tolist(), advice)


def refuse_future(rows: Rows, parts: Mapping[str, Members], days: Days, delay: int) -> None:
    """Raise when a row is learned from whose label was not known before the first day that is judged by."""
    learned, judged = parts[LEARNED], parts[JUDGED]
    if not (len(learned) and len(judged)):
        return
    first = judged[np.argmin(days.numbers[judged])]
    last = int(days.numbers[first]) - delay - 1
    alike = learned[days.numbers[learned] > last]
    if len(alike):
        late = f", and labels are {delay:,} days late" if delay else ""
        problem = (
            f"the one is of {days.name(days.numbers[alike[0]])}, but judging begins on {days.name(days.numbers[first])}{late}, "
            f"so the last day to learn from is {days.name(last)}"
        )
        raise Leak(
            rows, int(alike[0]), int(first), problem, alike.tolist(), "Leave such rows out of what is learned from."
        )


def _codes(rows: Rows, column: str) -> tuple[NDArray[np.int64], list[str]]:
    return codes(texts(column_of(rows.column(column)), column).values)


def _plain(values: pa.ChunkedArray) -> pa.Array:
    """Let values be compared: nested ones by their text."""
    found = values.combine_chunks()
    return pa.array([repr(value) for value in found.to_pylist()]) if pa.types.is_nested(found.type) else found
