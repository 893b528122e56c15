"""CSV, read verbatim: every value is the text that stands in the file, so ``007`` stays ``007`` and ``NA`` stays text."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskgraft.builtin.readers.configs import CsvConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.data.arrow_spool import ArrowSpool, RecordWriter
from taskgraft.data.open_file import line_that_is_not, open_plain_or_gzip
from taskgraft.errors import join_words

LONGEST = 2**31 - 1
"""Characters that one value may have. The csv module stops at 131,072, which documents and genomes exceed."""

DELIMITERS = {";": ";", "\t": "\\t", "|": "|"}
"""What stands between values in files that are not comma-separated, and how it is written in a recipe."""


def read_csv(path: Path, config: CsvConfig) -> Rows:
    """Read a CSV file, also gzipped. A row with another number of values than the header is refused.

    Raises:
        UnreadableFile: for a file that is empty or of another encoding, or that has another delimiter.
    """
    delimiter = config.delimiter or ("\t" if path.name.removesuffix(".gz").endswith(".tsv") else ",")
    with _long_values(), open_plain_or_gzip(path) as file, ArrowSpool() as spill:
        encoding = "utf-8-sig" if config.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else config.encoding
        try:
            reader = csv.reader(io.TextIOWrapper(file, encoding, newline=""), delimiter=delimiter, strict=True)
            header = _header(path, reader, config)
            records = RecordWriter[list[str]](spill, lambda some: _table(header, some))
            records.take(_records(path, reader, len(header)))
        except UnicodeDecodeError as error:
            line, byte = line_that_is_not(path, config.encoding), error.object[error.start]
            raise UnreadableFile(
                str(path),
                f"line {line:,}: the byte {byte:#04x} is not {config.encoding.upper()}. If the file is of another "
                'encoding, name it: data.reader = {name = "csv", encoding = "latin-1"}.',
            ) from None
        return records.rows(path.name)


def _header(path: Path, reader: Any, config: CsvConfig) -> list[str]:
    try:
        header: list[str] | None = next(reader, None)
    except csv.Error as error:
        raise UnreadableFile(str(path), f"line {reader.line_num:,}: {error}.") from None
    if not header:
        problem = "the file is empty" if header is None else "line 1 is empty"
        raise UnreadableFile(str(path), f"{problem}; a header line with the names of the columns is needed.")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise UnreadableFile(str(path), f"line 1: {join_words(map(repr, twice))} names more than one column.")
    between = [mark for mark in DELIMITERS if mark in header[0]]
    if len(header) == 1 and config.delimiter is None and between:
        raise UnreadableFile(
            str(path),
            f"line 1 names a single column, {header[0]!r}. If values are not separated by commas, say by what: "
            f'data.reader = {{name = "csv", delimiter = "{DELIMITERS[between[0]]}"}}.',
        )
    return header


def _records(path: Path, reader: Any, width: int) -> Iterator[tuple[int, list[str] | str]]:
    """Go through records by the line on which each starts; a text says what is wrong with one."""
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise UnreadableFile(
                    str(path), f"line {line:,}: a quotation mark opens a value that never ends."
                ) from None
            yield line, f"the row cannot be taken apart ({error})"
            continue
        if record is None:
            return
        if record and len(record) != width:
            values = "value" if len(record) == 1 else "values"
            yield line, f"the row has {len(record):,} {values}, but the header names {width:,} columns"
        elif record:
            yield line, record


def _table(header: Sequence[str], records: Sequence[list[str] | None]) -> pa.Table:
    nothing: list[str | None] = [None] * len(header)
    columns = zip(*(record or nothing for record in records), strict=True) if records else [()] * len(header)
    return pa.table({name: pa.array(column, pa.large_string()) for name, column in zip(header, columns, strict=True)})


@contextmanager
def _long_values() -> Iterator[None]:
    limit = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(limit)
