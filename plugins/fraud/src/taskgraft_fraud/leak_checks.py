"""Checks of a split for data leakage: rows in both parts, customers in both parts, training rows from the future."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft.plugin import Rows, join_words
from taskgraft_fraud.days import Days
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.parse_cells import factorize, parse_texts, to_arrow_array

RowIndices = NDArray[np.int64]
"""Indices of the rows of a part, ``(row,)``."""

TRAIN, VALIDATION = "train", "validation"


@dataclass(eq=False)
class DataLeak(FraudError):
    """Training rows that leak into the validation rows.

    Attributes:
        train, validation: the indices of one pair.
        problem: what is wrong with the pair, without a full stop.
        affected: the indices of all rows with that problem.
    """

    rows: Rows
    train: int
    validation: int
    problem: str
    affected: Sequence[int]
    advice: str

    def __str__(self) -> str:
        pair = f"{self.rows.location(self.train)} (train) and {self.rows.location(self.validation)} (validation)"
        numbers = join_words((self.rows.location(row).partition(" ")[2] for row in self.affected), 5)
        kind = "rows" if self.rows.lines is None else "lines"
        count = f"{len(self.affected):,} of {len(self.rows):,} rows are like this ({kind} {numbers}). "
        return f"{self.rows.source}, {pair}: {self.problem}. {count if len(self.affected) > 1 else ''}{self.advice}"


def parts_from_column(rows: Rows, column: str) -> dict[str, RowIndices]:
    """Take the parts that a column names. Rows where it is empty are left out.

    Raises:
        MissingColumn: if there is no such column.
    """
    codes, names = _factorize_column(rows, column)
    parts = {name: np.flatnonzero(codes == code) for code, name in enumerate(names)}
    empty = np.zeros(0, dtype=np.int64)
    return {TRAIN: empty, VALIDATION: empty} | parts


def customer_ids(rows: Rows, column: str) -> tuple[NDArray[np.int64], int]:
    """Number the customers in the sort order of their texts. A row without customer counts as one more, after the others.

    Returns:
        the id of each row's customer, ``(row,)``, and the number of customers.

    Raises:
        MissingColumn: if there is no such column.
    """
    codes, names = _factorize_column(rows, column)
    rank = np.empty(len(names), dtype=np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    missing = codes < 0
    ids = np.where(missing, 0, rank[codes]) if len(names) else np.zeros(len(codes), dtype=np.int64)
    ids[missing] = len(names) + np.arange(missing.sum())
    return ids, len(names) + int(missing.sum())


def check_no_shared_rows(rows: Rows, parts: Mapping[str, RowIndices], ignore: str | None) -> None:
    """Raise DataLeak if the same row is in both parts.

    Args:
        ignore: a column that is not compared: the one that names the part.
    """
    none = len(rows)
    first_row = {}
    for part in (TRAIN, VALIDATION):
        first_row[part] = np.full(len(rows), none)
        first_row[part][parts[part]] = parts[part]
    members = np.sort(np.concatenate([parts[TRAIN], parts[VALIDATION]]))
    names = [name for name in rows.columns if name != ignore]
    columns = {f"key {number}": _comparable(rows.table.column(name)) for number, name in enumerate(names)}
    table = pa.table(columns | {part: pa.array(row) for part, row in first_row.items()}).take(pa.array(members))
    groups = table.group_by(list(columns)).aggregate([(part, "min") for part in first_row])
    train, validation = (groups[f"{part}_min"].to_numpy() for part in first_row)
    shared = (train < none) & (validation < none)
    if shared.any():
        order = np.argsort(validation[shared])
        pair_train, affected = int(train[shared][order[0]]), validation[shared][order].tolist()
        raise DataLeak(rows, pair_train, affected[0], "both are the same row", affected, "Keep only one of them.")


def check_no_shared_customers(rows: Rows, parts: Mapping[str, RowIndices], column: str) -> None:
    """Raise DataLeak if a customer has rows in both parts."""
    ids, count = customer_ids(rows, column)
    train_row = np.full(count, -1)
    train_row[ids[parts[TRAIN]][::-1]] = parts[TRAIN][::-1]
    affected = parts[VALIDATION][train_row[ids[parts[VALIDATION]]] >= 0]
    if len(affected):
        first = int(affected[0])
        problem = f"both belong to customer {rows.value(column, first)!r:.60}"
        advice = "Put all rows of a customer in one part."
        raise DataLeak(rows, int(train_row[ids[first]]), first, problem, affected.tolist(), advice)


def check_no_future_rows(rows: Rows, parts: Mapping[str, RowIndices], days: Days, delay: int) -> None:
    """Raise DataLeak if the label of a training row was not yet known on the first validation day."""
    train, validation = parts[TRAIN], parts[VALIDATION]
    if not (len(train) and len(validation)):
        return
    first = validation[np.argmin(days.numbers[validation])]
    last_train_day = int(days.numbers[first]) - delay - 1
    affected = train[days.numbers[train] > last_train_day]
    if len(affected):
        late = f" and labels arrive {delay:,} days late" if delay else ""
        problem = (
            f"the first is from {days.name(days.numbers[affected[0]])}, but validation starts on "
            f"{days.name(days.numbers[first])}{late}, so the last training day is {days.name(last_train_day)}"
        )
        advice = "Remove such rows from training."
        raise DataLeak(rows, int(affected[0]), int(first), problem, affected.tolist(), advice)


def _factorize_column(rows: Rows, column: str) -> tuple[NDArray[np.int64], list[str]]:
    return factorize(parse_texts(to_arrow_array(rows.column(column)), column).values)


def _comparable(values: pa.ChunkedArray) -> pa.Array:
    """Make values groupable: Arrow cannot group by nested types, so they become texts."""
    array = values.combine_chunks()
    return pa.array([repr(value) for value in array.to_pylist()]) if pa.types.is_nested(array.type) else array
