"""Labelled data as the user gave it: columns of equal length, and the source of each row."""

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from taskgraft.errors import TaskgraftError, closest_match, join_words

FIX_OR_SKIP_ADVICE = 'Fix these rows, or drop them with data.on_bad_row = "skip".'
"""Advice on invalid rows where they may be dropped."""

FIX_ADVICE = "Fix these rows, or take them out of the data."
"""Advice on invalid rows where every row needs a result."""

_REASONS = 5  # reasons that are counted separately; further ones are counted together
_CHUNK = 65_536  # rows hashed at a time


@dataclass(frozen=True)
class Rows:
    """A table of raw values.

    Attributes:
        table: the columns, in Arrow memory. Values are as in the source; nothing is converted.
        source: its name in messages: a file name, "the DataFrame".
        lines: the line of the file on which each row starts, from 1; None where there are no lines.
        numbers: the place of each row in what the user gave, from 0, as in a list or ``DataFrame.iloc``; left out, all rows in
            their order. A split, a drop or a window keeps them.
        index: label of each place in the index of a DataFrame; None where it is 0, 1, 2, …, or there is no DataFrame.
        invalid: row → why it cannot be used, for rows that the reader could not parse.
        skipped: what was dropped so far, with its count ("skipped, since the target column 'label' is empty" → 3).
        remarks: a reader's remark on usable rows → those rows ("the customer is new" → 3, 8).
        folder: the folder that relative paths in the values start from; None for the working directory.
        formatted: whether the settings ``data.missing``, ``decimal``, ``thousands``, ``units`` and ``dates`` have been applied.
    """

    table: pa.Table
    source: str
    lines: Sequence[int] | None = None
    invalid: Mapping[int, str] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    folder: Path | None = None
    remarks: Mapping[str, Sequence[int]] = field(default_factory=dict)
    numbers: Sequence[int] | None = None
    index: Sequence[Any] | None = None
    formatted: bool = False

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.table.column_names)

    @property
    def notes(self) -> dict[str, int]:
        """Note → number of rows: the skipped rows, and the reader's remarks."""
        return {**self.skipped, **{note: len(members) for note, members in self.remarks.items() if len(members)}}

    def values(self, column: str, start: int = 0, stop: int | None = None) -> list[Any]:
        """Return the raw values of a column from row ``start`` to before ``stop``. Raises MissingColumn."""
        length = (len(self) if stop is None else min(stop, len(self))) - start
        return self.column(column).slice(start, length).to_pylist()  # type: ignore[no-any-return]

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the raw values of a column, in Arrow memory. Raises MissingColumn."""
        if not isinstance(name, str) or (index := self.table.schema.get_field_index(name)) < 0:
            raise MissingColumn(name, self.source, self.columns)
        return self.table.column(index)

    def value(self, column: str, row: int) -> Any:
        """Return one raw value. Raises MissingColumn."""
        return self.column(column)[row].as_py()

    def resolve_path(self, value: Any) -> Any:
        """Resolve a value that names a file relative to the folder of the data. An absolute path stays as it is."""
        return str(self.folder / value) if self.folder is not None and isinstance(value, str) and value else value

    def lazy_columns(self, names: Mapping[str, str]) -> "dict[str, LazyColumn]":
        """Return columns under other names, without reading their values yet. Raises MissingColumn.

        Args:
            names: new name → column.
        """
        return {name: LazyColumn(self.column(column)) for name, column in names.items()}

    def take(self, rows: Sequence[int]) -> "Rows":
        """Select rows, in the order given."""
        lines = None if self.lines is None else _select(self.lines, rows)
        numbers = _select(range(len(self)) if self.numbers is None else self.numbers, rows)
        remarks = {text: _positions(members, rows) for text, members in self.remarks.items()}
        table = self.table.take(pa.array(rows, pa.int64()))
        return replace(self, table=table, lines=lines, numbers=numbers, invalid={}, remarks=remarks)

    def drop(self, reasons: Mapping[int, str]) -> "Rows":
        """Drop rows, and count them by reason."""
        rest = self.take([row for row in range(len(self)) if row not in reasons])
        skipped = Counter(self.skipped)
        for reason in reasons.values():
            note = f"skipped, since {reason}"
            skipped[note if note in skipped or len(skipped) < _REASONS else "skipped for other reasons"] += 1
        return replace(rest, skipped=dict(skipped))

    def digest(self) -> str:
        """Return the SHA-256 of all values, in their order."""
        digest = hashlib.sha256(str(self.table.schema.remove_metadata()).encode())
        for start in range(0, len(self), _CHUNK):
            chunk = self.table.slice(start, _CHUNK).replace_schema_metadata(None).combine_chunks()
            for batch in chunk.to_batches():
                digest.update(batch.serialize())
        return digest.hexdigest()

    def location(self, row: int) -> str:
        """Return the line of a row in the user's file, or its number in the user's data, for messages."""
        if self.lines is not None:
            return f"line {self.lines[row]:,}"
        number = row if self.numbers is None else self.numbers[row]
        return f"row {number:,}" if self.index is None else f"row {number:,} (index {self.index[number]!s:.40})"


def _select(numbers: Sequence[int], rows: Sequence[int]) -> Sequence[int]:
    """Select some of the lines or numbers of rows; consecutive rows of a range stay one."""
    if isinstance(rows, range) and rows.step == 1:
        return numbers[rows.start : rows.stop]
    return array("q", (numbers[row] for row in rows))


def _positions(members: Sequence[int], rows: Sequence[int]) -> Sequence[int]:
    """Find where members are among the selected rows."""
    if isinstance(members, range) and isinstance(rows, range) and members.step == rows.step == 1:
        return range(max(members.start - rows.start, 0), max(min(members.stop, rows.stop) - rows.start, 0))
    return np.flatnonzero(np.isin(rows, members)).tolist()


class LazyColumn(Sequence[Any]):
    """Raw values of one column, converted when they are read. For a whole column, :func:`to_arrow` is much faster."""

    def __init__(self, values: pa.ChunkedArray):
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        selected = range(len(self))[index]
        if isinstance(selected, int):
            return self.values[selected].as_py()
        return [self[row] for row in selected]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), 4096):
            yield from self.values.slice(start, 4096).to_pylist()


def to_arrow(values: Sequence[Any]) -> pa.ChunkedArray:
    """Return raw values as one Arrow column: those of a :class:`LazyColumn` without a copy, any others converted.

    Raises:
        pyarrow.ArrowException: for values of types that do not mix.
    """
    return values.values if isinstance(values, LazyColumn) else pa.chunked_array([pa.array(values, from_pandas=True)])


@dataclass(eq=False)
class MissingColumn(TaskgraftError):
    """A column that is missing from the data."""

    column: str
    source: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        near = closest_match(self.column, self.columns)
        meant = f" Did you mean '{near}'?" if near else ""
        return f"{self.source} has no column '{self.column}'.{meant} Columns: {join_words(self.columns)}."


@dataclass(eq=False)
class InvalidRows(TaskgraftError):
    """Rows that cannot be used, each with its reason."""

    rows: Rows
    reasons: Mapping[int, str]
    advice: str = FIX_OR_SKIP_ADVICE

    def __str__(self) -> str:
        by_reason: dict[str, list[int]] = defaultdict(list)
        for row, reason in sorted(self.reasons.items()):
            by_reason[reason].append(row)
        sentences = []
        for reason, rows in list(by_reason.items())[:_REASONS]:
            sentence = f"{self.rows.source}, {self.rows.location(rows[0])}: {reason}."
            if len(rows) > 1:
                numbers = join_words((self.rows.location(row).partition(" ")[2] for row in rows), 5)
                kind = "rows" if self.rows.lines is None else "lines"
                sentence += f" {len(rows):,} of {len(self.rows):,} rows are like this ({kind} {numbers})."
            sentences.append(sentence)
        if len(by_reason) > _REASONS:
            sentences.append(f"Further reasons: {len(by_reason) - _REASONS:,}.")
        return "\n".join([*sentences, self.advice])


@dataclass(eq=False)
class UnreadableFile(TaskgraftError):
    """A file that a reader cannot parse."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"
