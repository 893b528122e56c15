"""What the windows read of transactions: columns of a table made into numbers, with a reason for each row that has none."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft.plugin import Rows, UnreadableFile
from taskgraft_fraud.cells import column_of, is_text, numbers, texts
from taskgraft_fraud.columns import kind_of
from taskgraft_fraud.history_settings import TransactionsConfig
from taskgraft_fraud.times import times


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

    customers: pa.Array
    terminals: pa.Array
    times: NDArray[np.int64]
    amounts: NDArray[np.float64]
    labels: pa.Array
    usable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.times)

    def followed_by(self, others: "Transactions") -> "Transactions":
        """Put others behind these."""
        return Transactions(
            pa.concat_arrays([self.customers, others.customers]),
            pa.concat_arrays([self.terminals, others.terminals]),
            np.concatenate([self.times, others.times]),
            np.concatenate([self.amounts, others.amounts]),
            pa.concat_arrays([self.labels, others.labels]),
            np.concatenate([self.usable, others.usable]),
        )


def transactions_of(rows: Rows, config: TransactionsConfig, *, labelled: bool) -> tuple[Transactions, dict[int, str]]:
    """Read what the windows need.

    Args:
        labelled: whether the column of labels has to be there.

    Returns:
        the transactions, one per row, and why some rows cannot be used.

    Raises:
        MissingColumn, UnreadableFile: for a column that is not there, or of a kind that cannot be read.
    """
    time = times(_column(rows, config.time), config.time, "seconds", config.since)
    needed = [time]
    nothing = pa.nulls(len(rows), pa.large_string())
    customers, amounts, terminals, labels = nothing, np.zeros(len(rows)), nothing, nothing
    if config.customer is not None and config.amount is not None:
        customer = texts(_column(rows, config.customer), config.customer)
        amount = numbers(_column(rows, config.amount), config.amount)
        customers, amounts = customer.values, amount.values
        needed += [customer, amount]
    if config.terminal is not None and config.label is not None:
        terminals = texts(_column(rows, config.terminal), config.terminal).values
        if labelled or config.label in rows.columns:
            labels = _labels(_column(rows, config.label), config.label)
    refused = dict(rows.invalid)
    for read in needed:
        refused = {**read.problems, **refused}
    usable = np.ones(len(rows), np.bool_)
    usable[[*refused]] = False
    return Transactions(customers, terminals, time.values, amounts, labels, usable), refused


def _column(rows: Rows, name: str) -> pa.Array:
    cells = column_of(rows.column(name))
    if not is_text(cells.type) and kind_of(cells) is None:
        problem = f"the column '{name}' holds {cells.type} values, where a text, a number or a moment is read."
        raise UnreadableFile(rows.source, problem)
    return cells


def _labels(cells: pa.Array, name: str) -> pa.Array:
    """Give labels as texts: true is "1" and false "0", as they are where a file has no truth values."""
    return texts(cells.cast(pa.int8()) if pa.types.is_boolean(cells.type) else cells, name).values
