"""CSV files, read verbatim: every value is the text in the file, so ``007`` stays ``007`` and ``NA`` stays text."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from taskgraft.builtin.readers.configs import CsvConfig
from taskgraft.builtin.readers.csv_header import check_first_records, drop_unnamed_column, header_remarks, read_header
from taskgraft.builtin.readers.csv_records import RecordChecks
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.files.csv_parser import CsvError, csv_reader
from taskgraft.files.limits import LINE_VARIABLE, MAX_LINE_BYTES, limit
from taskgraft.files.open_file import open_plain_or_gzip
from taskgraft.files.undecodable_text import undecodable_text
from taskgraft.reading.arrow_spool import ArrowSpool, RecordWriter

Record = tuple[int, int, list[str] | str]
"""First line, last line, and the values; a text instead of values says why the record is invalid."""

FIRST_RECORDS = 20
"""Records below the header that show whether it is one."""


def read_csv(path: Path, config: CsvConfig) -> Rows:
    """Read a CSV file, also gzipped. A row with another number of values than the header is invalid.

    Raises:
        UnreadableFile: for a file that is empty, no text, or has another encoding, delimiter or header than the settings say.
    """
    with open_records(path, config) as (header, delimiter, records), ArrowSpool() as spool:
        checks = RecordChecks(header, delimiter, config)
        writer = RecordWriter[list[str]](spool, lambda some: _to_table(header, some))
        writer.take(checks.check(records))
        rows = writer.rows(path.name)
    remarks = header_remarks(header, config.skip + 1, len(rows)) | checks.remarks(len(rows))
    return drop_unnamed_column(path, replace(rows, remarks=remarks), config.skip + 1)


@contextmanager
def open_records(path: Path, config: CsvConfig) -> Iterator[tuple[list[str], str, Iterator[Record]]]:
    """Open a CSV file: give its header, the delimiter, and its records.

    Raises:
        UnreadableFile: as :func:`read_csv` does; a wrong encoding may be found only while the records are read.
    """

    def setting(encoding: str) -> str:
        return config.with_setting(encoding=encoding)

    delimiter = config.delimiter or ("\t" if _is_tsv(path) else ",")
    try:
        with open_plain_or_gzip(path, config.encoding, setting) as file:
            lines = io.TextIOWrapper(file, _text_decoder(file, config.encoding), newline="")
            skipped = sum(1 for _ in islice(lines, config.skip))
            quoting: Any = csv.QUOTE_NONE if config.quoting == "none" else csv.QUOTE_MINIMAL
            reader = csv_reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
            header = read_header(path, reader, delimiter, config)
            records = read_records(path, reader, skipped, config)
            first = list(islice(records, FIRST_RECORDS))
            check_first_records(path, header, first, config)
            yield header, delimiter, chain(first, records)
    except UnicodeError:
        raise undecodable_text(path, config.encoding, setting) from None


def _is_tsv(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".tsv")


def _text_decoder(file: BinaryIO, encoding: str) -> str:
    """Return the codec that drops a byte order mark, if the encoding has one."""
    name = codecs.lookup(encoding).name
    if name == "utf-8":
        return "utf-8-sig"
    first: bytes = file.peek(2)[:2]  # type: ignore[attr-defined]
    return "utf-16" if name.startswith("utf-16-") and first in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else name


def read_records(path: Path, reader: Any, skipped: int, config: CsvConfig) -> Iterator[Record]:
    """Iterate over records, each with its first and last line. A text instead of values says why a record is invalid."""
    advice = f"if quotation marks are ordinary characters, set {config.with_setting(quoting='none')}"
    while True:
        line = reader.line_num + skipped + 1
        try:
            record = next(reader, None)
        except CsvError as error:
            if "unexpected end of data" in str(error):
                raise UnreadableFile(str(path), f"line {line:,}: a quoted value is never closed; {advice}.") from None
            if "field limit" in str(error):
                most = limit(LINE_VARIABLE, MAX_LINE_BYTES)
                problem = f"line {line:,}: a value has more than {most:,} characters; {LINE_VARIABLE} sets the limit"
                raise UnreadableFile(
                    str(path), f"{problem}. Perhaps a quotation mark is never closed; {advice}."
                ) from None
            last, reason = reader.line_num + skipped, str(error).replace("\t", "\\t")
            what = "a quoted value swallows the next lines" if last > line else "the row cannot be parsed"
            yield line, last, f"{what} ({reason}); {advice}"
            continue
        if record is None:
            return
        if record and record != [_END_OF_FILE]:
            yield line, reader.line_num + skipped, record


_END_OF_FILE = "\x1a"
"""The last character of files of DOS."""


def _to_table(header: Sequence[str], records: Sequence[list[str] | None]) -> pa.Table:
    missing: list[str | None] = [None] * len(header)
    columns = zip(*(record or missing for record in records), strict=True) if records else [()] * len(header)
    return pa.table({name: pa.array(column, pa.large_string()) for name, column in zip(header, columns, strict=True)})
