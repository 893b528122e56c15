"""What the windows read of transactions: columns of a table made into numbers, with a reason for each row that has none."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.rows import Rows, UnreadableFile
from taskgraft_fraud.history_columns import moments, numbers, texts
from taskgraft_fraud.history_settings import TransactionsConfig


@dataclass(frozen=True)
class Transactions:
    """Columns of equal length; what the settings name no column for is missing, or 0.

    Attributes:
        customers: large_string.
        terminals: large_string; missing where a transaction has none.
        times: microseconds since 1970, int64.
        amounts: float64.
        labels: large_string; missing where it is not known what was fraud.
        usable: whether the columns that a row needs can be read.
    """

    customers: pa.ChunkedArray
    terminals: pa.ChunkedArray
    times: NDArray[np.int64]
    amounts: NDArray[np.float64]
    labels: pa.ChunkedArray
    usable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.times)

    def followed_by(self, others: "Transactions") -> "Transactions":
        """Put others behind these."""
        return Transactions(
            _joined(self.customers, others.customers),
            _joined(self.terminals, others.terminals),
            np.concatenate([self.times, others.times]),
            np.concatenate([self.amounts, others.amounts]),
            _joined(self.labels, others.labels),
            np.concatenate([self.usable, others.usable]),
        )


def transactions_of(rows: Rows, config: TransactionsConfig, *, labelled: bool) -> tuple[Transactions, dict[int, str]]:
    """Read what the windows need.

    Args:
        labelled: whether the column of labels has to be there.

    Returns:
        the transactions, one per row, and why some rows cannot be used.

    Raises:
        ColumnMissing, UnreadableFile: for a column that is not there, or of a kind that cannot be read.
    """
    refused = dict(rows.refused)
    nothing = pa.chunked_array([pa.nulls(len(rows), pa.large_string())])
    customers, amounts, terminals, labels = nothing, np.zeros(len(rows)), nothing, nothing
    column = _column(rows, config.time)
    times, known = moments(column, config.since)
    _refuse(refused, config.time, column, known, "which is no date and no number of seconds")
    if config.customer is not None and config.amount is not None:
        customers = texts(_column(rows, config.customer))
        _refuse(refused, config.customer, customers, pc.is_valid(customers).to_numpy(), "")
        column = _column(rows, config.amount)
        amounts, known = numbers(column)
        _refuse(refused, config.amount, column, known, "which is no number")
    if config.terminal is not None and config.label is not None:
        terminals = texts(_column(rows, config.terminal))
        if labelled or config.label in rows.columns:
            labels = texts(_column(rows, config.label))
    usable = np.ones(len(rows), np.bool_)
    usable[[*refused]] = False
    return Transactions(customers, terminals, times, amounts, labels, usable), refused


def _column(rows: Rows, name: str) -> pa.ChunkedArray:
    rows.values(name, 0, 0)  # raises when there is no such column
    column = rows.table.column(name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_duration(kind):
        problem = f"the column '{name}' holds {kind} values, where a text, a number or a moment is read."
        raise UnreadableFile(rows.source, problem)
    return column.cast(kind)


def _refuse(refused: dict[int, str], name: str, column: pa.ChunkedArray, known: NDArray[np.bool_], why: str) -> None:
    """Give each row whose value is not known a reason, unless it has one."""
    for row in np.flatnonzero(~known).tolist():
        value = column[row].as_py()
        empty = value is None or value == ""
        refused.setdefault(row, f"the column '{name}' is " + ("empty" if empty else f"{value!r:.60}, {why}"))


def _joined(these: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([*these.chunks, *others.chunks], these.type)
