"""CSV, read verbatim: every value is the text that stands in the file, so ``007`` stays ``007`` and ``NA`` stays text."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskgraft.error import listed
from taskgraft.readers.settings import CsvConfig
from taskgraft.rows import Rows, UnreadableFile

LONGEST = 2**31 - 1
"""Characters that one value may have. The csv module stops at 131,072, which documents and genomes exceed."""


def read_csv(path: Path, config: CsvConfig) -> Rows:
    """Read a CSV file.

    Raises:
        UnreadableFile: naming the line, for a file that is empty, not UTF-8, or has rows of another length.
    """
    limit = csv.field_size_limit(LONGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=config.delimiter, strict=True)
            header = next(reader, None)
            if header is None:
                raise UnreadableFile(
                    str(path), "the file is empty; a header line with the names of the columns is needed."
                )
            if twice := sorted({name for name in header if header.count(name) > 1}):
                raise UnreadableFile(str(path), f"line 1: {listed(map(repr, twice))} names more than one column.")
            records = list(_records(path, reader, len(header)))
    except OSError as error:
        raise UnreadableFile(str(path), f"the file cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise UnreadableFile(str(path), f"the file is not UTF-8 (byte {error.object[error.start]:#04x}).") from None
    except csv.Error as error:
        raise UnreadableFile(str(path), f"line {reader.line_num:,}: {error}.") from None
    finally:
        csv.field_size_limit(limit)
    values = zip(*(record for _, record in records), strict=True) if records else [()] * len(header)
    table = pa.table({name: pa.array(column, pa.string()) for name, column in zip(header, values, strict=True)})
    return Rows(table, path.name, [line for line, _ in records])


def _records(path: Path, reader: Any, width: int) -> Iterator[tuple[int, list[str]]]:
    line = reader.line_num + 1
    for record in reader:
        if record and len(record) != width:
            problem = f"line {line:,} has {len(record):,} values, but the header names {width:,} columns."
            raise UnreadableFile(str(path), problem)
        if record:
            yield line, record
        line = reader.line_num + 1
