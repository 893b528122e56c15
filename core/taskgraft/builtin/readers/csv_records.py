"""The records of a CSV file: which are invalid, and which look as if a quotation mark had swallowed others."""

from collections.abc import Iterable, Iterator, Sequence

from taskgraft.builtin.readers.configs import CsvConfig

_MANY_LINES = 5
"""Lines of one record; more are unusual."""

_RARE = 20
"""Records of many lines are reported where fewer than one in this many has them; elsewhere they are texts of many lines."""

_BY_CHANCE = 3
"""Commas that lines of texts may have where rows would have them."""

_MARK = "\ufeff"
"""The byte order mark, which other files that were appended begin with."""


class RecordChecks:
    """Checks the records of one file, and remembers what is odd about the valid ones.

    Args:
        header: the names of the columns.
    """

    def __init__(self, header: Sequence[str], delimiter: str, config: CsvConfig):
        self._header, self._delimiter = list(header), delimiter
        self._advice = f"if quotation marks are ordinary characters, set {config.with_setting(quoting='none')}"
        self._swallowing, self._long, self._marked = list[int](), list[int](), list[int]()
        self._first_swallowing, self._first_long = "", ""

    def check(self, records: Iterable[tuple[int, int, list[str] | str]]) -> Iterator[tuple[int, list[str] | str]]:
        """Yield the first line of each record with its values, or with the reason why it is invalid.

        Args:
            records: first line, last line, and values or a reason.
        """
        for row, (line, last, record) in enumerate(records):
            if isinstance(record, str):
                yield line, record
                continue
            if record[0].startswith(_MARK):
                record[0] = record[0].removeprefix(_MARK)
                self._marked.append(row)
            reason = self._find_problem(line, last, record)
            if reason is None and last > line:
                self._inspect_lines(row, line, last, record)
            yield line, record if reason is None else reason

    def remarks(self, count: int) -> dict[str, Sequence[int]]:
        """Return remark → rows, of a file with so many rows."""
        remarks = {}
        if self._swallowing:
            remarks[f"a quoted value holds lines that look like rows ({self._first_swallowing}); {self._advice}"] = (
                self._swallowing
            )
        if len(self._long) * _RARE < count:
            remarks[f"a row spans more than {_MANY_LINES} lines ({self._first_long}); {self._advice}"] = self._long
        remarks["a byte order mark at the start of the row is left out, as of a file that was appended"] = self._marked
        return {remark: rows for remark, rows in remarks.items() if rows}

    def _find_problem(self, line: int, last: int, record: list[str]) -> str | None:
        if len(record) != len(self._header):
            values = "value" if len(record) == 1 else "values"
            names = "1 column" if len(self._header) == 1 else f"{len(self._header):,} columns"
            several = f", and spans several lines; {self._advice}" if last > line else ""
            return f"the row has {len(record):,} {values}, but the header names {names}{several}"
        if record == self._header and len(record) > 1:
            return "the row repeats the header, as of a file that was appended"
        if "\0" in "".join(record):
            name = next(name for name, value in zip(self._header, record, strict=True) if "\0" in value)
            return f"the value of '{name}' has a NUL byte"
        return None

    def _inspect_lines(self, row: int, line: int, last: int, record: Sequence[str]) -> None:
        where = f"the first on lines {line:,} to {last:,}"
        if any(self._holds_rows(column, value) for column, value in enumerate(record)):
            self._swallowing.append(row)
            self._first_swallowing = self._first_swallowing or where
        elif last - line >= _MANY_LINES:
            self._long.append(row)
            self._first_long = self._first_long or where

    def _holds_rows(self, column: int, value: str) -> bool:
        """Tell whether most lines of a value have as many delimiters as if each ended a row.

        Commas in texts do so by chance, tabs do not.
        """
        lines, rest = value.splitlines(), len(self._header) - 1
        if len(lines) < 2 or self._delimiter not in value:
            return False
        counts = [rest - column, *[rest] * (len(lines) - 2), column]
        alike = sum(text.count(self._delimiter) == count for text, count in zip(lines, counts, strict=True))
        enough = self._delimiter == "\t" or rest * (alike - 1) >= _BY_CHANCE
        return 2 * alike > len(lines) and enough
