"""Rows on their way from a file into memory-mapped Arrow: written piece by piece to a file without a name."""

import os
import tempfile
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import pyarrow as pa

from taskgraft.contract.rows import Rows
from taskgraft.errors import TaskgraftError

PIECE = 4_096
"""Rows that are written at a time."""

Record = TypeVar("Record")


class ArrowSpool:
    """Takes tables one after another and gives them back as one, memory-mapped.

    The file lies among the temporary files and loses its name when the rows are there, so nothing is left of it once the
    process ends, however that ends.
    """

    def __init__(self) -> None:
        handle, self._path = tempfile.mkstemp(prefix="taskgraft-", suffix=".arrow")
        self._file = os.fdopen(handle, "wb")
        self._schemas: list[pa.Schema] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what could not be written is known already
            self._file.close()
        with suppress(PermissionError):  # Windows keeps a file that is mapped
            os.unlink(self._path)

    def write(self, table: pa.Table) -> None:
        """Keep some rows. Their types may differ from those of the rows before.

        Raises:
            DiskFull: when the file cannot grow.
        """
        try:
            with pa.ipc.new_stream(self._file, table.schema) as stream:
                stream.write_table(table)
            self._file.flush()
        except OSError as error:
            raise DiskFull(tempfile.gettempdir(), str(error.strerror)) from None
        self._schemas.append(table.schema)

    def finish(self, unify: Callable[[Sequence[pa.Schema]], pa.Schema] = pa.unify_schemas) -> pa.Table:
        """Give all rows back with one schema. A column that was written with another type is cast, in memory."""
        schema = unify(self._schemas)
        with pa.memory_map(self._path) as file:
            tables = [_as(pa.ipc.open_stream(file).read_all(), schema) for _ in self._schemas]
        return pa.concat_tables(tables)


class RecordWriter(Generic[Record]):
    """Rows of a text file, taken one by one with the lines on which they start.

    Args:
        spill: where they go.
        table: makes a table of some of them; None stands for one that cannot be used.
    """

    def __init__(self, spill: ArrowSpool, table: Callable[[Sequence[Record | None]], pa.Table]):
        self._spill, self._table = spill, table
        self._waiting: list[Record | None] = []
        self._lines = array("q")
        self._refused: dict[int, str] = {}

    def take(self, records: Iterable[tuple[int, Record | str]]) -> None:
        """Take records by line; a text in place of a record says why it cannot be used."""
        for line, record in records:
            if isinstance(record, str):
                self._refused[len(self._lines)] = record
            self._waiting.append(None if isinstance(record, str) else record)
            self._lines.append(line)
            if len(self._waiting) == PIECE:
                self._flush()
        self._flush()

    def rows(self, source: str, unify: Callable[[Sequence[pa.Schema]], pa.Schema] = pa.unify_schemas) -> Rows:
        """Give all that was taken."""
        return Rows(self._spill.finish(unify), source, self._lines, self._refused)

    def _flush(self) -> None:
        self._spill.write(self._table(self._waiting))
        self._waiting = []


@dataclass(eq=False)
class DiskFull(TaskgraftError):
    """Rows that do not fit among the temporary files."""

    folder: str
    problem: str

    def __str__(self) -> str:
        return (
            f"The rows cannot be written to the folder of temporary files, {self.folder}: {self.problem}. "
            "Make room there, or name another folder in the environment variable TMPDIR."
        )


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.chunked_array([pa.nulls(len(table), field.type)]))
        else:
            columns.append(table.column(field.name).cast(field.type))
    return pa.table(columns, schema=schema)
