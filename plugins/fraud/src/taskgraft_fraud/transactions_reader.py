"""The reader ``transactions``: any file that another reader reads, with aggregates over each customer's and terminal's past.

A file is its own history. To predict, give a folder: ``history.SUFFIX`` has earlier transactions with their labels,
``transactions.SUFFIX`` those to predict. Only the latter are the rows of the folder.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import FIX_ADVICE, InvalidRows, MissingColumn, Rows, UnreadableFile, join_words, read_file
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.parse_cells import factorize, null_mask
from taskgraft_fraud.parse_times import DAY
from taskgraft_fraud.positive_label import is_rare
from taskgraft_fraud.time_windows import customer_windows, terminal_windows
from taskgraft_fraud.transactions import Transactions, parse_transactions
from taskgraft_fraud.transactions_settings import TransactionsConfig

HISTORY, TRANSACTIONS = "history", "transactions"
"""The files of a folder, without their suffixes."""


def read_transactions(path: Path, config: TransactionsConfig) -> Rows:
    """Read a file or folder of transactions and add the window columns.

    Raises:
        UnreadableFile: for a file that no reader reads, or a folder that lacks one of its two files.
        TaskgraftError: as :func:`add_window_columns` does.
    """
    return _read(path, config, labelled=True)


def read_transaction_columns(path: Path, config: TransactionsConfig, columns: Collection[str]) -> Rows:
    """Read the same transactions for these columns alone: labels are required only if one of them is the risk of a terminal.

    Raises: as :func:`read_transactions`.
    """
    labelled = any(column.startswith(f"{config.terminal}_risk_") for column in columns)
    try:
        return _read(path, config, labelled=labelled)
    except MissingColumn as error:
        if not labelled or error.column != config.label:
            raise
        problem = (
            f"it has no column '{config.label}', and the windows of '{config.terminal}' need the labels of the past. Give a "
            f"folder with {HISTORY}.SUFFIX, earlier transactions with their labels, and {TRANSACTIONS}.SUFFIX, these."
        )
        raise UnreadableFile(error.source, problem) from None


def _read(path: Path, config: TransactionsConfig, *, labelled: bool) -> Rows:
    if not path.is_dir():
        return add_window_columns(_read_file(path, config), None, config, labelled=labelled)
    history, rows = (_read_file(_find_file(path, name), config) for name in (HISTORY, TRANSACTIONS))
    return add_window_columns(rows, history, config, labelled=labelled)


def add_window_columns(rows: Rows, history: Rows | None, config: TransactionsConfig, *, labelled: bool = True) -> Rows:
    """Append the window columns to rows.

    Args:
        history: earlier transactions, none of which is in ``rows``; None if the rows are their own history.
        labelled: whether the past needs labels, for the risk of terminals.

    Raises:
        MissingColumn, UnreadableFile: for a column that is missing, has an unsupported type, or would be overwritten.
        InvalidRows: if a row of the history is invalid.
        FraudError: if no row has the label of fraud, or if transactions are in both the history and the rows.
    """
    own, invalid = parse_transactions(rows, config, labelled=history is None and labelled)
    known = own
    if history is not None:
        earlier, invalid_history = parse_transactions(history, config, labelled=labelled)
        if invalid_history:
            raise InvalidRows(history, invalid_history, FIX_ADVICE)
        known = earlier.concat(own)
        if config.customer is not None:  # without it, different transactions may agree in every column that is parsed
            _check_no_duplicates(known, rows, history)
    if labelled:
        _check_fraud_label(known, (history or rows).source, config)
    table, start = rows.table, len(known) - len(rows)
    for name, values in _window_columns(known, config):
        if name in table.column_names:
            raise UnreadableFile(rows.source, f"it already has a column '{name}'. Rename or remove that column.")
        table = table.append_column(name, pa.array(values[start:], mask=~own.usable))
    remarks = {text: np.flatnonzero(mask[start:] & own.usable).tolist() for text, mask in _remarks(known, config)}
    remarks |= _label_remark(own, config)
    return replace(rows, table=table, invalid=invalid, remarks={**rows.remarks, **remarks})


_READER_SETTING = re.compile(r"data\.reader = (\{[^}]*\})")


def _read_file(path: Path, config: TransactionsConfig) -> Rows:
    """Read a file with its own reader. What that reader advises to set is the setting ``reader`` of this one."""
    try:
        rows = read_file(path, config.reader)
    except UnreadableFile as error:
        raise UnreadableFile(error.path, _as_nested(error.problem)) from None
    return replace(
        rows,
        invalid={row: _as_nested(reason) for row, reason in rows.invalid.items()},
        remarks={_as_nested(remark): members for remark, members in rows.remarks.items()},
    )


def _as_nested(message: str) -> str:
    return _READER_SETTING.sub(r'data.reader = {name = "transactions", reader = \1, …}', message)


def _find_file(folder: Path, name: str) -> Path:
    """Find the one file of a name, with any suffix."""
    files = sorted(folder.glob(f"{name}.*"))
    if len(files) != 1:
        raise UnreadableFile(
            str(folder),
            f"it must contain exactly one file {name}.SUFFIX, but has {join_words(file.name for file in files)}. A folder of "
            f"transactions has {HISTORY}.SUFFIX, earlier transactions with their labels, and {TRANSACTIONS}.SUFFIX, those to "
            "read.",
        )
    return files[0]


def _window_columns(known: Transactions, config: TransactionsConfig) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the new columns by name. Invalid rows are in no window."""
    if config.customer is not None:
        windows = customer_windows(_keys(known, known.customers), known.times, known.amounts, config.windows)
        for days, window in zip(config.windows, windows, strict=True):
            yield f"{config.customer}_count_{days}d", window.count
            yield f"{config.customer}_mean_{days}d", window.mean
    if config.terminal is not None and config.delay is not None:
        keys, frauds = _keys(known, known.terminals), _is_fraud(known, config)
        windows = terminal_windows(keys, known.times, frauds, config.windows, config.delay)
        for days, window in zip(config.windows, windows, strict=True):
            yield f"{config.terminal}_count_{days}d", window.count
            yield f"{config.terminal}_risk_{days}d", window.mean
    if config.calendar:
        yield "weekend", ((known.times // DAY + 3) % 7 >= 5).astype(np.int8)  # 1970-01-01 was a Thursday
        yield "night", (known.times % DAY < 7 * DAY // 24).astype(np.int8)


def _remarks(known: Transactions, config: TransactionsConfig) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield why windows are less complete than they seem, and the transactions concerned: ``(row,)``.

    Not an error: a history that starts late may be all there is, and the first rows of a training file always have a short one.
    """
    if not known.usable.any():
        return
    reach = max(config.windows) + (config.delay or 0 if config.terminal is not None else 0)
    first = int(known.times[known.usable].min())
    start = datetime.fromtimestamp(first // 1_000_000, UTC).replace(tzinfo=None)
    yield (
        f"windows reach back {reach:,} days, to before the start of the history at {start}",
        known.times - reach * DAY < first,
    )
    if config.terminal is not None and config.delay is not None:
        unlabelled = null_mask(known.labels)
        if not unlabelled.any():
            return
        keys = _keys(known, known.terminals)
        (window,) = terminal_windows(keys, known.times, unlabelled, [max(config.windows)], config.delay)
        yield "windows contain transactions without a label, which count as not fraud", window.mean > 0


def _label_remark(own: Transactions, config: TransactionsConfig) -> dict[str, list[int]]:
    """Say which rows count as fraud if nobody named the label and it is not rare."""
    labelled, fraud = own.usable & ~null_mask(own.labels), _is_fraud(own, config) & own.usable
    if "positive" in config.model_fields_set or is_rare(int(fraud.sum()), int(labelled.sum())):
        return {}
    note = f"'{config.label}' is '{config.positive}', which counts as fraud (the reader's setting positive) but is not rare"
    return {note: np.flatnonzero(fraud).tolist()}


def _keys(known: Transactions, names: pa.Array) -> NDArray[np.int64]:
    return np.where(known.usable, factorize(names)[0], -1)


def _is_fraud(known: Transactions, config: TransactionsConfig) -> NDArray[np.bool_]:
    matches = pc.fill_null(pc.equal(known.labels, str(config.positive)), False)
    return np.asarray(matches.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _check_fraud_label(known: Transactions, source: str, config: TransactionsConfig) -> None:
    """Raise FraudError if there are two or more labels, none of them fraud. A single label may be: no fraud happened."""
    if not _is_fraud(known, config).any():
        labels = pc.unique(known.labels).drop_null().to_pylist()
        if len(labels) > 1:
            raise FraudError(
                f"{source}: the column '{config.label}' is never '{config.positive}'; its values are "
                f"{join_words(sorted(labels))}. Name the label of fraud with the reader's setting 'positive'."
            )


def _check_no_duplicates(known: Transactions, rows: Rows, history: Rows) -> None:
    """Raise FraudError if transactions are in both the history and the rows, since they would count twice."""
    columns = (known.amounts, known.times, factorize(known.terminals)[0], factorize(known.customers)[0])
    order = np.lexsort(columns)
    equal = np.logical_and.reduce([column[order][1:] == column[order][:-1] for column in columns])
    later, sooner = order[1:][equal], order[:-1][equal]  # the sort is stable, so history comes before rows
    twice = later[(later >= len(history)) & (sooner < len(history)) & known.usable[later]]
    if len(twice):
        first = rows.location(int(twice.min()) - len(history))
        raise FraudError(
            f"{history.source} contains {len(twice):,} of the transactions of {rows.source} (the first: {first}), so they "
            "would be counted twice. Remove them from the history."
        )
