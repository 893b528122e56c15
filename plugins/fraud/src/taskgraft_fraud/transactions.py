"""The columns of a table of transactions, parsed for the time windows, with a reason for each invalid row."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import Rows, UnreadableFile, format_cells
from taskgraft_fraud.parse_cells import is_number, is_text, is_time, parse_numbers, parse_texts, to_arrow_array
from taskgraft_fraud.parse_times import parse_times
from taskgraft_fraud.transactions_settings import TransactionsConfig


@dataclass(frozen=True)
class Transactions:
    """Parsed columns, ``(row,)`` each. Columns that the settings do not name are null, amounts 0.

    Attributes:
        customers: large_string.
        terminals: large_string; null for a transaction without terminal.
        times: microseconds since 1970, int64.
        amounts: float64.
        labels: large_string; null if unknown.
        usable: whether the columns that a row requires are valid, bool.
    """

    customers: pa.Array
    terminals: pa.Array
    times: NDArray[np.int64]
    amounts: NDArray[np.float64]
    labels: pa.Array
    usable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.times)

    def concat(self, others: "Transactions") -> "Transactions":
        """Append other transactions."""
        return Transactions(
            pa.concat_arrays([self.customers, others.customers]),
            pa.concat_arrays([self.terminals, others.terminals]),
            np.concatenate([self.times, others.times]),
            np.concatenate([self.amounts, others.amounts]),
            pa.concat_arrays([self.labels, others.labels]),
            np.concatenate([self.usable, others.usable]),
        )


def parse_transactions(
    rows: Rows, config: TransactionsConfig, *, labelled: bool
) -> tuple[Transactions, dict[int, str]]:
    """Parse the columns that the windows use.

    Args:
        labelled: whether the label column is required.

    Returns:
        the transactions, one per row, and row → reason for invalid rows.

    Raises:
        MissingColumn, UnreadableFile: for a column that is missing or has an unsupported type.
    """
    verbatim = set(rows.columns) - {config.time, config.amount}
    rows = format_cells(rows, config.formats, verbatim)  # for parsing: the caller's rows stay as they were read
    time = parse_times(_column(rows, config.time), config.time, "seconds", config.since)
    required = [time]
    nulls = pa.nulls(len(rows), pa.large_string())
    customers, amounts, terminals, labels = nulls, np.zeros(len(rows)), nulls, nulls
    if config.customer is not None and config.amount is not None:
        customer = parse_texts(_column(rows, config.customer), config.customer)
        amount = parse_numbers(_column(rows, config.amount), config.amount)
        customers, amounts = customer.values, amount.values
        required += [customer, amount]
    if config.terminal is not None and config.label is not None:
        terminals = parse_texts(_column(rows, config.terminal), config.terminal).values
        if labelled or config.label in rows.columns:
            labels = _labels(_column(rows, config.label), config.label)
    invalid = dict(rows.invalid)
    for column in required:
        invalid = {**column.problems, **invalid}
    usable = np.ones(len(rows), np.bool_)
    usable[[*invalid]] = False
    return Transactions(customers, terminals, time.values, amounts, labels, usable), invalid


def _column(rows: Rows, name: str) -> pa.Array:
    cells = to_arrow_array(rows.column(name))
    if not (is_text(cells.type) or is_number(cells.type) or is_time(cells.type) or pa.types.is_boolean(cells.type)):
        raise UnreadableFile(
            rows.source, f"the column '{name}' has the type {cells.type}; texts, numbers and times are supported."
        )
    return cells


def _labels(cells: pa.Array, name: str) -> pa.Array:
    """Convert labels to texts. Truth values become "1" and "0", as in files without booleans."""
    text = parse_texts(cells, name).values
    for value, number in (("true", "1"), ("false", "0")):
        text = pc.if_else(pc.equal(text, value), number, text)
    return text
