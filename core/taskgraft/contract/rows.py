"""Labelled data as the user gave it: columns of equal length, and where each row came from."""

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from taskgraft.errors import TaskgraftError, closest_match, join_words

REASONS = 5
"""Reasons that are told apart; what comes after them is counted together."""

PIECE = 65_536
"""Rows that are hashed at a time."""


FIX_OR_SKIP_ADVICE = 'Fix these rows, or drop them with data.on_bad_row = "skip".'
FIX_ADVICE = "Fix these rows, or take them out of the data."
"""Advice on rows that cannot be used: where some may be left out, and where each is to be answered."""


@dataclass(frozen=True)
class Rows:
    """A table of raw values.

    Attributes:
        table: the columns, in Arrow memory. Values are as the source holds them; nothing is converted.
        source: what messages call it: a file name, "the DataFrame".
        lines: the line of the file on which each row starts, from 1; None where there is no file.
        invalid: row → why it cannot be used, for rows that the reader could not make sense of.
        skipped: what was left out so far, with its count ("skipped, since the target column 'label' is empty" → 3).
        remarks: what a reader says of rows that can be used all the same → which rows ("the customer is new" → 3, 8).
        folder: where relative paths in the values start; None where that is the working directory.
    """

    table: pa.Table
    source: str
    lines: Sequence[int] | None = None
    invalid: Mapping[int, str] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    folder: Path | None = None
    remarks: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.table.column_names)

    @property
    def notes(self) -> dict[str, int]:
        """What happened to how many rows: those that were skipped, and those that a reader says something of."""
        return {**self.skipped, **{note: len(members) for note, members in self.remarks.items() if len(members)}}

    def values(self, column: str, start: int = 0, stop: int | None = None) -> list[Any]:
        """Give the raw values of a column, for some of the rows.

        Raises:
            MissingColumn: when there is no such column.
        """
        length = (len(self) if stop is None else min(stop, len(self))) - start
        return self.column(column).slice(start, length).to_pylist()  # type: ignore[no-any-return]

    def column(self, name: str) -> pa.ChunkedArray:
        """Give the raw values of a column, in Arrow memory. Raises as :meth:`values` does."""
        if name not in self.table.column_names:
            raise MissingColumn(name, self.source, self.columns)
        return self.table.column(name)

    def value(self, column: str, row: int) -> Any:
        """Give one raw value. Raises as :meth:`values` does."""
        return self.column(column)[row].as_py()

    def resolve_path(self, value: Any) -> Any:
        """Let the text of a value that names a file start at the folder of the data. An absolute path stays as it is."""
        return str(self.folder / value) if self.folder is not None and isinstance(value, str) and value else value

    def chunks(self, names: Mapping[str, str], size: int) -> Iterator[tuple[int, dict[str, list[Any]]]]:
        """Go through the rows in pieces.

        Args:
            names: what to call a column → the column.

        Yields:
            the number of the first row of a piece, and its values by name.
        """
        for start in range(0, len(self), size):
            yield start, {name: self.values(column, start, start + size) for name, column in names.items()}

    def take(self, rows: Sequence[int]) -> "Rows":
        """Choose some rows, in the order given."""
        lines = None if self.lines is None else array("q", (self.lines[row] for row in rows))
        noted = {note: np.flatnonzero(np.isin(rows, members)).tolist() for note, members in self.remarks.items()}
        return replace(self, table=self.table.take(pa.array(rows, pa.int64())), lines=lines, invalid={}, remarks=noted)

    def drop(self, reasons: Mapping[int, str]) -> "Rows":
        """Leave out some rows, and count them by their reasons."""
        rest = self.take([row for row in range(len(self)) if row not in reasons])
        skipped = Counter(self.skipped)
        for reason in reasons.values():
            note = f"skipped, since {reason}"
            skipped[note if note in skipped or len(skipped) < REASONS else "skipped for other reasons"] += 1
        return replace(rest, skipped=dict(skipped))

    def digest(self) -> str:
        """Give the SHA-256 of all values, in their order."""
        found = hashlib.sha256(str(self.table.schema.remove_metadata()).encode())
        for start in range(0, len(self), PIECE):
            piece = self.table.slice(start, PIECE).replace_schema_metadata(None).combine_chunks()
            for batch in piece.to_batches():
                found.update(batch.serialize())
        return found.hexdigest()

    def location(self, row: int) -> str:
        """Say where a row is, for a message."""
        return f"row {row:,}" if self.lines is None else f"line {self.lines[row]:,}"


class RenamedColumns(Mapping[str, Sequence[Any]]):
    """Columns of rows under other names. Values are read when they are asked for; how many there are is known before."""

    def __init__(self, rows: Rows, names: Mapping[str, str]):
        self._rows, self._names = rows, names

    def __getitem__(self, name: str) -> "LazyColumn":
        return LazyColumn(self._rows.column(self._names[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class LazyColumn(Sequence[Any]):
    """Raw values of one column. Reading them one by one is slow; who works on whole columns takes :func:`to_arrow` it."""

    def __init__(self, values: pa.ChunkedArray):
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: Any) -> Any:
        chosen = range(len(self))[place]
        if isinstance(chosen, int):
            return self.values[chosen].as_py()
        return [self[row] for row in chosen]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), 4096):
            yield from self.values.slice(start, 4096).to_pylist()


def to_arrow(values: Sequence[Any]) -> pa.ChunkedArray:
    """Give raw values as one Arrow column: those of a :class:`LazyColumn` as they lie in memory, any others converted.

    Raises:
        pyarrow.ArrowException: for values of kinds that do not mix.
    """
    return values.values if isinstance(values, LazyColumn) else pa.chunked_array([pa.array(values, from_pandas=True)])


@dataclass(eq=False)
class MissingColumn(TaskgraftError):
    """A column that the data do not have."""

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
        alike: dict[str, list[int]] = defaultdict(list)
        for row, reason in sorted(self.reasons.items()):
            alike[reason].append(row)
        sentences = []
        for reason, bad in list(alike.items())[:REASONS]:
            sentence = f"{self.rows.source}, {self.rows.location(bad[0])}: {reason}."
            if len(bad) > 1:
                places = join_words((self.rows.location(row).partition(" ")[2] for row in bad), 5)
                kind = "rows" if self.rows.lines is None else "lines"
                sentence += f" {len(bad):,} of {len(self.rows):,} rows are like this ({kind} {places})."
            sentences.append(sentence)
        if len(alike) > REASONS:
            sentences.append(f"… and {len(alike) - REASONS:,} more reasons.")
        return "\n".join([*sentences, self.advice])


@dataclass(eq=False)
class UnreadableFile(TaskgraftError):
    """A file that a reader cannot make rows of."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"
