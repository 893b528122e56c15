"""Files of predictions: CSV, JSON lines or Parquet, by suffix.

A file is written beside its place and renamed, so that no half-written one is ever found.
"""

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

import pyarrow as pa
from pyarrow import parquet

from taskgraft.storage import atomic_write as output_file

WHAT = "predictions"
"""What messages call that which is written."""

Form = Literal["csv", "jsonl", "parquet"]
"""How predictions are written."""


@contextmanager
def open_file(path: Path) -> "Iterator[Writer]":
    """Open a file for predictions. It takes its place when all went well; else nothing is left of it.

    Raises:
        OutputError: when it cannot be written.
    """
    with output_file.atomic_file(path, WHAT) as fresh, WRITERS[SUFFIXES[path.suffix.lower()]](fresh) as writer:
        yield writer


def text_writer(stream: TextIO, form: Form) -> "Writer":
    """Write to an open text stream, as CSV or JSON lines."""
    assert form != "parquet", "Parquet is no text"
    return Csv(stream) if form == "csv" else JsonLines(stream)


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that could not be written in the end, before any work is done.

    Raises:
        OutputError: saying why.
    """
    output_file.check_output_path(path, SUFFIXES, WHAT, overwrite=overwrite)


class Writer(ABC):
    """Writes one table after another, all with the same columns."""

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Add some rows."""


class Csv(Writer):
    """Comma-separated values with a header. A list is written as JSON, what is missing as an empty cell."""

    def __init__(self, stream: TextIO):
        self._writer = csv.writer(stream, lineterminator="\n")
        self._begun = False

    def write(self, table: pa.Table) -> None:
        if not self._begun:
            self._writer.writerow(table.column_names)
            self._begun = True
        columns = [map(_cell, _plain(table.column(name))) for name in table.column_names]
        self._writer.writerows(zip(*columns, strict=True))


class JsonLines(Writer):
    """One JSON object per line."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, table: pa.Table) -> None:
        columns = [_plain(table.column(name)) for name in table.column_names]
        for values in zip(*columns, strict=True):
            row = dict(zip(table.column_names, values, strict=True))
            self._stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


class Parquet(Writer):
    """Parquet. The first table decides the types."""

    def __init__(self, path: Path):
        self._path = path
        self._writer: parquet.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@contextmanager
def _csv_file(path: Path) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        yield Csv(stream)


@contextmanager
def _json_file(path: Path) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        yield JsonLines(stream)


@contextmanager
def _parquet_file(path: Path) -> Iterator[Writer]:
    writer = Parquet(path)
    try:
        yield writer
    finally:
        writer.close()


WRITERS: Mapping[Form, Callable[[Path], AbstractContextManager[Writer]]] = {
    "csv": _csv_file,
    "jsonl": _json_file,
    "parquet": _parquet_file,
}
"""What opens a file of each form."""

SUFFIXES: Mapping[str, Form] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""The form of a file, by its suffix."""


def _plain(column: pa.ChunkedArray) -> Sequence[Any]:
    """Give Python values. A probability is written with as many digits as tell it from its neighbours in float32."""
    if pa.types.is_float32(column.type):
        return [None if text is None else float(text) for text in column.cast(pa.string()).to_pylist()]
    return column.to_pylist()  # type: ignore[no-any-return]


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value
