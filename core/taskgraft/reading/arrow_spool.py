"""Spool rows from a file to memory-mapped Arrow: written batch by batch to an unlinked temporary file."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

import pyarrow as pa

from taskgraft.contract.rows import Rows
from taskgraft.files.temporary_folder import TemporaryFilesError, no_room, temporary_folder

ROWS_PER_WRITE = 4_096
"""Rows that a reader should write at a time."""

_Record = TypeVar("_Record")
_UnifySchemas = Callable[[Sequence[pa.Schema]], pa.Schema]


class ArrowSpool:
    """Takes tables one after another and returns them as one memory-mapped table.

    The file is in a temporary folder and is unlinked as soon as the rows are complete, but stays mapped.
    """

    def __init__(self) -> None:
        self._folder = ExitStack()
        self._path = self._folder.enter_context(temporary_folder()) / "rows.arrow"
        self._file = self._path.open("wb")
        self._schemas: list[pa.Schema] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a failed write was reported already
            self._file.close()
        self._folder.close()

    def write(self, table: pa.Table) -> None:
        """Append rows. Their types may differ from those of the rows before.

        Raises:
            TemporaryFilesError: when the disk is full.
        """
        try:
            with pa.ipc.new_stream(self._file, table.schema) as stream:
                stream.write_table(table)
            self._file.flush()
        except OSError as error:
            raise TemporaryFilesError(no_room("rows", self._path, error)) from None
        self._schemas.append(table.schema)

    def finish(self, unify: _UnifySchemas = pa.unify_schemas) -> pa.Table:
        """Return all rows with one schema. A column that was written with another type is cast, in memory."""
        schema = unify(self._schemas)
        with pa.memory_map(str(self._path)) as file:
            tables = [_cast(pa.ipc.open_stream(file).read_all(), schema) for _ in self._schemas]
        return pa.concat_tables(tables)


class RecordWriter(Generic[_Record]):
    """Writes the records of a text file to a spool, with the line on which each starts.

    Args:
        table: makes a table of some records; None stands for an invalid one.
    """

    def __init__(self, spool: ArrowSpool, table: Callable[[Sequence[_Record | None]], pa.Table]):
        self._spool, self._table = spool, table
        self._pending: list[_Record | None] = []
        self._lines = array("q")
        self._invalid: dict[int, str] = {}

    def take(self, records: Iterable[tuple[int, _Record | str]]) -> None:
        """Write (line, record) pairs. A text in place of a record says why that record is invalid."""
        for line, record in records:
            if isinstance(record, str):
                self._invalid[len(self._lines)] = record
            self._pending.append(None if isinstance(record, str) else record)
            self._lines.append(line)
            if len(self._pending) == ROWS_PER_WRITE:
                self._flush()
        self._flush()

    def rows(self, source: str, unify: _UnifySchemas = pa.unify_schemas) -> Rows:
        """Return all rows written."""
        return Rows(self._spool.finish(unify), source, self._lines, self._invalid)

    def _flush(self) -> None:
        self._spool.write(self._table(self._pending))
        self._pending = []


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    given = dict(zip(table.column_names, table.columns, strict=True))
    columns = []
    for field in schema:
        cells = given.get(field.name)
        columns.append(
            pa.chunked_array([pa.nulls(len(table), field.type)]) if cells is None else cells.cast(field.type)
        )
    return pa.table(columns, schema=schema)
