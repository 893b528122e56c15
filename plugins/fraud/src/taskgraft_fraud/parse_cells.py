"""Parse raw cells, typed or text, as numbers and texts: whole columns at a time, with a reason for each invalid cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import NUMBER_PATTERN, format_hint, to_arrow
from taskgraft_fraud.errors import FraudError

_DAY, _CLOCK = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d:\d\d"

LARGEST_EXACT_INTEGER = 2.0**53
"""Integers below this are exact in float64."""


@dataclass(frozen=True)
class ParsedColumn:
    """The parsed cells of one column.

    Attributes:
        name: the column.
        values: ``(row,)``. Numbers are float64; times are int64, in microseconds since 1970, UTC; missing and invalid ones
            are 0. Texts are an Arrow array, large_string, with nulls.
        missing: ``(row,)`` bool, True where the cell is empty.
        invalid: row → why its cell cannot be parsed.
    """

    name: str
    values: Any
    missing: NDArray[np.bool_]
    invalid: Mapping[int, str] = field(default_factory=dict)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Where a cell is neither missing nor invalid: ``(row,)`` bool."""
        usable = ~self.missing
        usable[list(self.invalid)] = False
        return usable

    @property
    def problems(self) -> dict[int, str]:
        """Row → reason, for columns in which every row needs a value: missing cells count as well as invalid ones."""
        empty = dict.fromkeys(np.flatnonzero(self.missing).tolist(), f"the column '{self.name}' is empty")
        return {**self.invalid, **empty}


def to_arrow_array(values: Sequence[Any] | pa.ChunkedArray) -> pa.Array:
    """Convert raw cells to one Arrow array: trim texts, turn mixed types, times of day and durations into texts.

    Empty cells and NaN become null. Cells of a type and their texts in a file give the same numbers, times and categories.
    """
    try:
        column = values if isinstance(values, pa.ChunkedArray) else to_arrow(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        column = pa.chunked_array([pa.array(map(_cell_text, values), pa.large_string())])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type) or is_text(column.type):
        text = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
        column = pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)
    elif pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    cells = column.combine_chunks()
    if pa.types.is_time(cells.type):
        return pc.replace_substring_regex(cells.cast(pa.large_string()), r"\.0+$", "")
    return _duration_texts(cells) if pa.types.is_duration(cells.type) else cells


def parse_numbers(cells: pa.Array, name: str, why: str = "which is not a number") -> ParsedColumn:
    """Parse cells as numbers: numeric types, booleans as 0 and 1, and texts.

    Args:
        cells: from :func:`to_arrow_array`.
        name: the column, for the reasons.
        why: what the reasons say about a cell that cannot be parsed.
    """
    missing, numeric, invalid = null_mask(cells), cells, np.zeros(len(cells), np.bool_)
    if is_text(cells.type):
        numeric, invalid = drop_unmatched(truth_values(cells, "1", "0"), NUMBER_PATTERN)
    elif pa.types.is_floating(cells.type) and cells.type != pa.float64():
        numeric = pa.array(cells.to_numpy(zero_copy_only=False).astype(str), pa.large_string())  # 0.1, as a file has it
        numeric = pc.if_else(pc.is_null(cells), pa.scalar(None, numeric.type), numeric)
    elif pa.types.is_decimal(cells.type):
        numeric = cells.cast(pa.large_string())  # correctly rounded, which Arrow's conversion is not
    elif not (is_number(cells.type) or pa.types.is_boolean(cells.type)):
        invalid, numeric = ~missing, pa.nulls(len(cells), pa.float64())
    values = pc.fill_null(numeric.cast(pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
    invalid |= ~np.isfinite(values)
    return ParsedColumn(name, np.where(invalid, 0.0, values), missing, invalid_reasons(cells, invalid, name, why))


def parse_texts(cells: pa.Array, name: str) -> ParsedColumn:
    """Parse cells as the texts that identify categories and keys; empty cells are null.

    7, 7.0 and the text "7.0" are "7"; True and the texts "True" and "TRUE" are "true"; times are in UTC.

    Args:
        name: the column, for the reasons.
    """
    missing = null_mask(cells)
    if pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.timestamp("us"), safe=False)
    try:
        text = cells.cast(pa.large_string())
    except pa.ArrowException:
        nulls = pa.nulls(len(cells), pa.large_string())
        return ParsedColumn(
            name, nulls, missing, invalid_reasons(cells, ~missing, name, "which is not a text or a number")
        )
    if pa.types.is_floating(cells.type):
        whole = pc.and_(pc.equal(cells, pc.floor(cells)), pc.less(pc.abs(cells), LARGEST_EXACT_INTEGER))
        text = pc.if_else(whole, cells.cast(pa.int64(), safe=False).cast(pa.large_string()), text)
    elif pa.types.is_decimal(cells.type):  # all have as many digits as the longest
        text = pc.replace_substring_regex(text, r"(\.\d*[1-9])0+$", r"\1")
    return ParsedColumn(name, canonical_texts(text), missing)


def canonical_texts(text: pa.Array) -> pa.Array:
    """Give texts that mean the same category one form: "7.0" is "7", "True" is "true", a day at midnight is the day."""
    encoded = text.dictionary_encode()
    distinct = pc.replace_substring_regex(encoded.dictionary, r"^([+-]?\d+)\.0+$", r"\1")
    distinct = pc.replace_substring_regex(distinct, rf"^({_DAY})T({_CLOCK})", r"\1 \2")
    distinct = pc.replace_substring_regex(distinct, rf"^({_DAY} {_CLOCK})\.0+$", r"\1")
    distinct = pc.replace_substring_regex(distinct, rf"^({_DAY}) 00:00:00$", r"\1")
    return truth_values(distinct, "true", "false").take(encoded.indices)


def factorize(text: pa.Array) -> tuple[NDArray[np.int64], list[str]]:
    """Encode texts as integers, in order of first occurrence: ``(row,)`` int64, -1 for null; and the distinct texts."""
    encoded = text.dictionary_encode()
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return codes, encoded.dictionary.to_pylist()


def invalid_reasons(cells: pa.Array, invalid: NDArray[np.bool_], name: str, why: str) -> dict[int, str]:
    """Write a reason for each invalid row: its cell, why it cannot be used, and the setting that gives it a meaning."""
    rows = np.flatnonzero(invalid)
    values = cells.take(pa.array(rows))
    if is_time(cells.type):  # Python lacks such times, or needs other libraries for them
        values = values.cast(pa.timestamp("us"), safe=False).cast(pa.large_string())
    pairs = zip(rows.tolist(), values.to_pylist(), strict=True)
    hint = format_hint if is_text(cells.type) else lambda _: ""
    return {row: f"the column '{name}' is {value!r:.60}, {why}{hint(value)}" for row, value in pairs}


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether an Arrow type is numeric; booleans are not."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a timestamp or a date."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def null_mask(cells: pa.Array) -> NDArray[np.bool_]:
    """Find the empty cells: ``(row,)`` bool."""
    return np.asarray(pc.is_null(cells).to_numpy(zero_copy_only=False), dtype=np.bool_)


def matching_share(text: pa.Array, pattern: str) -> float:
    """Compute the share of non-null texts that match a pattern, from 0 to 1; 1 if all are null."""
    share = pc.mean(pc.match_substring_regex(text, pattern).cast(pa.int8())).as_py()
    return 1.0 if share is None else float(share)


def drop_unmatched(text: pa.Array, pattern: str) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Set texts that do not match a pattern to null, and mark them: ``(row,)`` bool."""
    matches = pc.fill_null(pc.match_substring_regex(text, pattern), True)
    kept = pc.if_else(matches, text, pa.scalar(None, text.type))
    return kept, ~np.asarray(matches.to_numpy(zero_copy_only=False))


@dataclass(eq=False)
class InvalidCells(FraudError):
    """Rows in which a required cell is missing or invalid.

    Attributes:
        reasons: row → reason. Rows count from 0; code that knows the file turns them into line numbers.
    """

    reasons: Mapping[int, str]

    def __str__(self) -> str:
        row, reason = min(self.reasons.items())
        count = f" {len(self.reasons):,} rows have no usable value." if len(self.reasons) > 1 else ""
        return f"Row {row + 1:,}: {reason}.{count} Fix or remove these rows, or name another column."


def truth_values(text: pa.Array, true: str, false: str) -> pa.Array:
    """Replace the texts of truth values, in any case."""
    return pc.replace_substring_regex(pc.replace_substring_regex(text, "(?i)^true$", true), "(?i)^false$", false)


def _duration_texts(cells: pa.Array) -> pa.Array:
    """Format durations as pandas does in a file: "1 days 02:00:00"."""
    micros = pc.fill_null(cells.cast(pa.duration("us"), safe=False).cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    seconds, fraction = np.divmod(micros, 1_000_000)
    days, seconds = np.divmod(seconds, 86_400)
    parts = zip(days.tolist(), seconds.tolist(), fraction.tolist(), strict=True)
    texts = [
        f"{day} days {'+' * (day < 0)}{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
        + f".{micro:06}" * (micro > 0)
        for day, rest, micro in parts
    ]
    return pa.array(texts, pa.large_string(), mask=null_mask(cells))


def _cell_text(value: Any) -> str | None:
    """Format one cell as Arrow formats a column of its type."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
