"""CSV files, read verbatim: every value is the text in the file, so ``007`` stays ``007`` and ``NA`` stays text."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskgraft.builtin.readers.configs import CsvConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.errors import join_words
from taskgraft.reading.arrow_spool import ArrowSpool, RecordWriter
from taskgraft.reading.open_file import find_undecodable_line, open_plain_or_gzip

_MAX_CHARACTERS = 2**31 - 1
"""Limit of one value. The default of the csv module is 131,072, which documents and genomes exceed."""

_DELIMITERS = {";": ";", "\t": "\\t", "|": "|"}
"""Delimiters of files that are not comma-separated → how a recipe writes them."""


def read_csv(path: Path, config: CsvConfig) -> Rows:
    """Read a CSV file, also gzipped. A row with another number of values than the header is invalid.

    Raises:
        UnreadableFile: for a file that is empty, or has another encoding or delimiter.
    """
    delimiter = config.delimiter or ("\t" if path.name.removesuffix(".gz").endswith(".tsv") else ",")
    with _long_values(), open_plain_or_gzip(path) as file, ArrowSpool() as spool:
        encoding = "utf-8-sig" if config.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else config.encoding
        try:
            reader = csv.reader(io.TextIOWrapper(file, encoding, newline=""), delimiter=delimiter, strict=True)
            header = _read_header(path, reader, config)
            writer = RecordWriter[list[str]](spool, lambda records: _to_table(header, records))
            writer.take(_read_records(path, reader, len(header)))
        except UnicodeDecodeError as error:
            line, byte = find_undecodable_line(path, config.encoding), error.object[error.start]
            raise UnreadableFile(
                str(path),
                f"line {line:,}: the byte {byte:#04x} is not {config.encoding.upper()}. If the file has another "
                'encoding, name it: data.reader = {name = "csv", encoding = "latin-1"}.',
            ) from None
        return writer.rows(path.name)


def _read_header(path: Path, reader: Any, config: CsvConfig) -> list[str]:
    try:
        header: list[str] | None = next(reader, None)
    except csv.Error as error:
        raise UnreadableFile(str(path), f"line {reader.line_num:,}: {error}.") from None
    if not header:
        problem = "the file is empty" if header is None else "line 1 is empty"
        raise UnreadableFile(str(path), f"{problem}; a header line with the names of the columns is needed.")
    if duplicates := sorted({name for name in header if header.count(name) > 1}):
        raise UnreadableFile(str(path), f"line 1: {join_words(map(repr, duplicates))} names more than one column.")
    delimiters = [delimiter for delimiter in _DELIMITERS if delimiter in header[0]]
    if len(header) == 1 and config.delimiter is None and delimiters:
        raise UnreadableFile(
            str(path),
            f"line 1 names a single column, {header[0]!r}. If values are not separated by commas, name the delimiter: "
            f'data.reader = {{name = "csv", delimiter = "{_DELIMITERS[delimiters[0]]}"}}.',
        )
    return header


def _read_records(path: Path, reader: Any, width: int) -> Iterator[tuple[int, list[str] | str]]:
    """Iterate over records, each with the line where it starts. A text instead of values says why a record is invalid."""
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise UnreadableFile(str(path), f"line {line:,}: a quoted value is never closed.") from None
            yield line, f"the row cannot be parsed ({error})"
            continue
        if record is None:
            return
        if record and len(record) != width:
            values = "value" if len(record) == 1 else "values"
            yield line, f"the row has {len(record):,} {values}, but the header names {width:,} columns"
        elif record:
            yield line, record


def _to_table(header: Sequence[str], records: Sequence[list[str] | None]) -> pa.Table:
    missing: list[str | None] = [None] * len(header)
    columns = zip(*(record or missing for record in records), strict=True) if records else [()] * len(header)
    return pa.table({name: pa.array(column, pa.large_string()) for name, column in zip(header, columns, strict=True)})


@contextmanager
def _long_values() -> Iterator[None]:
    limit = csv.field_size_limit(_MAX_CHARACTERS)
    try:
        yield
    finally:
        csv.field_size_limit(limit)
