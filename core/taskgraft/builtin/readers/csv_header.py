"""The header of a CSV file: read, and compared with what follows; a file that another delimiter or header fits is rejected."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.builtin.readers.configs import CsvConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.errors import join_words
from taskgraft.files.csv_parser import CsvError
from taskgraft.files.limits import too_many_columns

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""Common delimiters, and their names."""

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)
_EXCEL_NOTE = re.compile(r"sep=(.?)", re.IGNORECASE)
_JSON = re.compile(r"\s*(\{\s*\"|\[\s*[\[{]|[\[{]\s*$)")


def read_header(path: Path, reader: Any, delimiter: str, config: CsvConfig) -> list[str]:
    """Read the names of the columns.

    Args:
        reader: of the csv module, at the header.

    Raises:
        UnreadableFile: for a line that cannot be a header, or is one with another delimiter.
    """
    line = config.skip + 1
    try:
        header: list[str] | None = next(reader, None)
    except CsvError as error:
        advice = f"if quotation marks are ordinary characters, set {config.with_setting(quoting='none')}"
        raise UnreadableFile(str(path), f"line {line:,}: the header cannot be parsed ({error}); {advice}.") from None
    if not header:
        problem = "the file is empty" if header is None else f"line {line:,} is empty"
        raise UnreadableFile(str(path), f"{problem}; a header line with the names of the columns is needed.")
    if too_many := too_many_columns(len(header)):
        raise UnreadableFile(str(path), f"line {line:,}: {too_many}.")
    if wrong := _other_format(header, delimiter, config) or _ambiguous_names(header):
        raise UnreadableFile(str(path), f"line {line:,}{wrong}")
    return header


def check_first_records(
    path: Path, header: Sequence[str], records: Sequence[tuple[int, int, list[str] | str]], config: CsvConfig
) -> None:
    """Compare the header with the records below it.

    Args:
        records: first line, last line and values of the first records; a text instead of values for an invalid record.

    Raises:
        UnreadableFile: where the lines below are alike and longer, so that the first line is a title or a comment.
    """
    widths = [len(record) for _, _, record in records if isinstance(record, list)]
    if not widths:
        return
    width, count = Counter(widths).most_common(1)[0]
    above = widths.index(width)
    longer = width > len(header) + 1 or (width > len(header) == 1)
    if not longer or count < 2 or len(header) in widths[above:]:
        return
    columns = "column" if len(header) == 1 else "columns"
    start = next(first for first, _, record in records if len(record) == width and isinstance(record, list))
    raise UnreadableFile(
        str(path),
        f"line {config.skip + 1:,} names {len(header)} {columns}, {join_words(map(repr, header), 3)}, but from line {start:,} "
        f"there are {width:,} values in a line. If line {start:,} is the header, skip the lines above it: "
        f"{config.with_setting(skip=start - 1)}.",
    )


def header_remarks(header: Sequence[str], line: int, count: int) -> dict[str, Sequence[int]]:
    """Say what is odd about the names of the columns.

    Args:
        line: that of the header.
        count: number of rows.

    Returns:
        remark → all rows.
    """
    remarks = []
    if padded := [name for name in header if name != name.strip()]:
        remarks.append(f"there is white space around the column names {join_words(map(repr, padded), 5)}")
    numbers = [float(name) for name in header if _NUMBER.fullmatch(name)]
    rising = all(first < second for first, second in pairwise(numbers))
    if len(numbers) > 1 and 2 * len(numbers) >= len(header) and not rising:
        remarks.append(
            f"line {line:,} is read as the header, but looks like values ({join_words(header, 4)}); if the file has no header, "
            "add a line with the names of the columns"
        )
    return {remark: range(count) for remark in remarks}


def drop_unnamed_column(path: Path, rows: Rows, line: int) -> Rows:
    """Drop the column that a delimiter at the end of each line makes, without name and values.

    Args:
        line: that of the header.

    Raises:
        UnreadableFile: when the last column has values, but no name.
    """
    if len(rows.columns) == 1 or rows.columns[-1] != "":
        return rows
    filled = pc.indices_nonzero(pc.fill_null(pc.not_equal(rows.column(""), pa.scalar("", pa.large_string())), False))
    if len(filled):
        row = filled[0].as_py()
        raise UnreadableFile(
            str(path),
            f"line {line:,}: the last column has no name, but on {rows.location(row)} the value "
            f"{rows.value('', row)!r:.60}. Name it.",
        )
    note = "the last column has neither a name nor values, so it is left out"
    return replace(rows, table=rows.table.drop_columns([""]), remarks={**rows.remarks, note: range(len(rows))})


def _other_format(header: Sequence[str], delimiter: str, config: CsvConfig) -> str | None:
    """Say which format or delimiter a header has instead."""
    whole = delimiter.join(header)
    if _JSON.match(whole):
        return " is JSON. Let the name of a file with one JSON object per line end in .jsonl."
    if whole.lstrip().startswith("<?xml"):
        return " is XML. Read the file with pandas.read_xml, and pass the DataFrame."
    if note := _EXCEL_NOTE.fullmatch(whole.strip()):
        mark = note[1] or delimiter
        advice = config.with_setting(delimiter=mark, skip=config.skip + 1)
        return f" is Excel's note on the delimiter, {whole!r}. Skip it, and name the delimiter: {advice}."
    if config.delimiter is not None or (delimiter == "\t" and len(header) > 1):
        return None
    counts = {mark: whole.count(mark) for mark in _DELIMITERS if mark != delimiter}
    other = max(counts, key=counts.__getitem__)
    if counts[other] < len(header):
        return None
    names = (
        f"a single column, {whole!r}"
        if len(header) == 1
        else f"{len(header):,} columns, {join_words(map(repr, header), 3)}"
    )
    advice = config.with_setting(delimiter=other)
    return f" names {names}. If values are not separated by {_DELIMITERS[delimiter]}, name the delimiter: {advice}."


def _ambiguous_names(header: Sequence[str]) -> str | None:
    """Say which names cannot be told apart."""
    if repeated := sorted(name for name, count in Counter(header).items() if count > 1):
        no_header = all(_NUMBER.fullmatch(name) for name in repeated)
        advice = " If the file has no header, add a line with the names of the columns." if no_header else ""
        return f": {join_words(map(repr, repeated))} names more than one column.{advice}"
    bare = Counter(name.strip() for name in header)
    if alike := [name for name in header if bare[name.strip()] > 1]:
        return f": {join_words(map(repr, alike))} differ only in white space. Give each column a name of its own."
    return None
