"""Text files without columns: each line is a row of one column, as it is in the file."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from taskgraft.builtin.readers.configs import LinesConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.files.open_file import open_plain_or_gzip
from taskgraft.reading.arrow_spool import ArrowSpool, RecordWriter

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(path: Path, config: LinesConfig) -> Rows:
    """Read one row per line. An empty line is a row with an empty text; a line that is not UTF-8 is invalid.

    Raises:
        UnreadableFile: for an empty file, or one that cannot be opened.
    """
    return _read(path, config.column or "text")


def read_line_columns(path: Path, config: LinesConfig, columns: Collection[str]) -> Rows:
    """Read the same rows; a column that the settings do not name has the name of the only one that is needed.

    Raises: as :func:`read_lines`.
    """
    only = next(iter(columns)) if len(columns) == 1 else "text"
    return _read(path, config.column or only)


def _read(path: Path, column: str) -> Rows:
    def table(records: Sequence[tuple[str] | None]) -> pa.Table:
        return pa.table({column: pa.array([record and record[0] for record in records], pa.large_string())})

    with open_plain_or_gzip(path, "utf-8") as file, ArrowSpool() as spool:
        writer = RecordWriter[tuple[str]](spool, table)
        writer.take(_read_records(file))
        rows = writer.rows(path.name)
    if not len(rows):
        raise UnreadableFile(str(path), "the file is empty; one text per line is needed.")
    return rows


def _read_records(lines: Iterable[bytes]) -> Iterator[tuple[int, tuple[str] | str]]:
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        try:
            yield number, (text.rstrip(b"\r\n").decode(),)
        except UnicodeDecodeError as error:
            yield number, f"the byte {text[error.start]:#04x} is not UTF-8"
