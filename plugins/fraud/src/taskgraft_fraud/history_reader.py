"""The reader of transactions: rows as other readers give them, with columns of what was known of customer and terminal.

A file is its own history. To predict, give a folder: ``history.SUFFIX`` holds earlier transactions with their labels,
``transactions.SUFFIX`` those to answer; the rows of the folder are the latter alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import FIX_ADVICE, InvalidRows, Rows, TaskgraftError, UnreadableFile, join_words, read_file
from taskgraft_fraud.cells import codes, null
from taskgraft_fraud.history import customer_windows, terminal_windows
from taskgraft_fraud.history_settings import TransactionsConfig
from taskgraft_fraud.times import DAY
from taskgraft_fraud.transactions import Transactions, transactions_of

HISTORY, ROWS = "history", "transactions"
"""The files of a folder, without their suffixes."""


def read_transactions(path: Path, config: TransactionsConfig) -> Rows:
    """Read transactions, and add the columns of the windows.

    Raises:
        UnreadableFile: for a file that no reader takes, or a folder that lacks one of its two files.
        TaskgraftError: as :func:`with_history` does.
    """
    if not path.is_dir():
        return with_history(read_file(path, config.reader), None, config)
    history, rows = (read_file(_only(path, name), config.reader) for name in (HISTORY, ROWS))
    return with_history(rows, history, config)


def with_history(rows: Rows, history: Rows | None, config: TransactionsConfig) -> Rows:
    """Add the columns of the windows to rows.

    Args:
        history: earlier transactions, none of which stands in the rows; None where the rows are their own history.

    Raises:
        MissingColumn, UnreadableFile: for a column that is missing, cannot be read, or is there already.
        InvalidRows: when a row of the history cannot be used.
        NeverPositive: when no label is that of a fraud.
        CountedTwice: when transactions stand in the history and in the rows.
    """
    own, refused = transactions_of(rows, config, labelled=history is None)
    all_known = own
    if history is not None:
        earlier, unusable = transactions_of(history, config, labelled=True)
        if unusable:
            raise InvalidRows(history, unusable, FIX_ADVICE)
        all_known = earlier.followed_by(own)
        if config.customer is not None:  # else two transactions may be alike in all that is read of them
            _check_apart(all_known, rows, history)
    _check_positive(all_known, (history or rows).source, config)
    table, start = rows.table, len(all_known) - len(rows)
    for name, values in _columns(all_known, config):
        if name in table.column_names:
            raise UnreadableFile(rows.source, f"it has a column '{name}' already. Rename it, or take it out.")
        table = table.append_column(name, pa.array(values[start:], mask=~own.usable))
    noted = {note: np.flatnonzero(which[start:] & own.usable).tolist() for note, which in _notes(all_known, config)}
    return replace(rows, table=table, invalid=refused, remarks={**rows.remarks, **noted})


def _only(folder: Path, name: str) -> Path:
    """Find the one file of a name, whatever its suffix."""
    found = sorted(folder.glob(f"{name}.*"))
    if len(found) != 1:
        here = join_words(file.name for file in found)
        raise UnreadableFile(
            str(folder),
            f"one file {name}.SUFFIX is needed in it, and there is {here}. A folder of transactions holds {HISTORY}.SUFFIX, "
            f"earlier transactions with their labels, and {ROWS}.SUFFIX, those to read.",
        )
    return found[0]


def _columns(known: Transactions, config: TransactionsConfig) -> Iterator[tuple[str, NDArray[Any]]]:
    """Give the added columns by name. A row that cannot be used is in no window."""
    if config.customer is not None:
        found = customer_windows(_keys(known, known.customers), known.times, known.amounts, config.windows)
        for days, window in zip(config.windows, found, strict=True):
            yield f"{config.customer}_count_{days}d", window.count
            yield f"{config.customer}_mean_{days}d", window.mean
    if config.terminal is not None and config.delay is not None:
        keys, frauds = _keys(known, known.terminals), _positive(known, config)
        found = terminal_windows(keys, known.times, frauds, config.windows, config.delay)
        for days, window in zip(config.windows, found, strict=True):
            yield f"{config.terminal}_count_{days}d", window.count
            yield f"{config.terminal}_risk_{days}d", window.mean
    if config.calendar:
        yield "weekend", ((known.times // DAY + 3) % 7 >= 5).astype(np.int8)  # the first day of 1970 was a Thursday
        yield "night", (known.times % DAY < 7 * DAY // 24).astype(np.int8)


def _notes(known: Transactions, config: TransactionsConfig) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Say what makes windows poorer than they seem, and of which transactions.

    No error: a history that begins late may be all there is, and the first rows of a training file always have a short one.
    """
    if not known.usable.any():
        return
    reach = max(config.windows) + (config.delay or 0 if config.terminal is not None else 0)
    first = int(known.times[known.usable].min())
    moment = datetime.fromtimestamp(first // 1_000_000, UTC).replace(tzinfo=None)
    yield (
        f"windows that reach {reach:,} days back begin before the history, of which the first moment is {moment}",
        known.times - reach * DAY < first,
    )
    if config.terminal is not None and config.delay is not None:
        missing = null(known.labels)
        if not missing.any():
            return
        keys = _keys(known, known.terminals)
        (window,) = terminal_windows(keys, known.times, missing, [max(config.windows)], config.delay)
        yield "windows hold transactions without a label, which count as no fraud", window.mean > 0


def _keys(known: Transactions, names: pa.Array) -> NDArray[np.int64]:
    return np.where(known.usable, codes(names)[0], -1)


def _positive(known: Transactions, config: TransactionsConfig) -> NDArray[np.bool_]:
    return pc.fill_null(pc.equal(known.labels, str(config.positive)), False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _check_positive(known: Transactions, source: str, config: TransactionsConfig) -> None:
    """Refuse labels of which none is that of a fraud. A single label may be: there may have been no fraud."""
    if not _positive(known, config).any():
        others = pc.unique(known.labels).drop_null().to_pylist()
        if len(others) > 1:
            raise NeverPositive(source, str(config.label), str(config.positive), tuple(sorted(others)))


def _check_apart(known: Transactions, rows: Rows, history: Rows) -> None:
    """Refuse transactions that stand in the history and in the rows, so that they would count twice."""
    columns = (known.amounts, known.times, codes(known.terminals)[0], codes(known.customers)[0])
    order = np.lexsort(columns)
    alike = np.logical_and.reduce([column[order][1:] == column[order][:-1] for column in columns])
    later, sooner = order[1:][alike], order[:-1][alike]  # equal ones stand in their order, those of the history first
    twice = later[(later >= len(history)) & (sooner < len(history)) & known.usable[later]]
    if len(twice):
        raise CountedTwice(history.source, rows.source, len(twice), rows.location(int(twice.min()) - len(history)))


@dataclass(eq=False)
class NeverPositive(TaskgraftError):
    """Labels of which none is that of a fraud."""

    source: str
    column: str
    positive: str
    labels: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.source}: the column '{self.column}' never is '{self.positive}'; it is {join_words(self.labels)}. "
            "Say which of them is the label of a fraud with the reader's setting 'positive'."
        )


@dataclass(eq=False)
class CountedTwice(TaskgraftError):
    """Transactions that stand in the history and among those to read."""

    history: str
    rows: str
    count: int
    place: str

    def __str__(self) -> str:
        return (
            f"{self.history} holds {self.count:,} of the transactions of {self.rows} (the first: {self.place}), so that they "
            "would count twice. Take them out of the history."
        )
