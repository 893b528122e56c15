"""Parse raw cells, typed or text, as numbers and texts: whole columns at a time, with a reason for each invalid cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import to_arrow
from taskgraft_fraud.errors import FraudError

NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
"""A number as text. "inf" and "nan" do not match."""

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
    """Convert raw cells to one Arrow array: trim texts, turn mixed types into texts, and empty cells and NaN into null."""
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
    return column.combine_chunks()


def parse_numbers(cells: pa.Array, name: str, why: str = "which is not a number") -> ParsedColumn:
    """Parse cells as numbers: numeric types, booleans as 0 and 1, and texts.

    Args:
        cells: from :func:`to_arrow_array`.
        name: the column, for the reasons.
        why: what the reasons say about a cell that cannot be parsed.
    """
    missing, numeric, invalid = null_mask(cells), cells, np.zeros(len(cells), np.bool_)
    if is_text(cells.type):
        numeric, invalid = drop_unmatched(cells, NUMBER_PATTERN)
    elif not (is_number(cells.type) or pa.types.is_boolean(cells.type)):
        invalid, numeric = ~missing, pa.nulls(len(cells), pa.float64())
    values = pc.fill_null(numeric.cast(pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
    invalid |= ~np.isfinite(values)
    return ParsedColumn(name, np.where(invalid, 0.0, values), missing, invalid_reasons(cells, invalid, name, why))


def parse_texts(cells: pa.Array, name: str) -> ParsedColumn:
    """Parse cells as the texts that identify categories and keys: 7 and 7.0 are both "7"; empty cells are null.

    Args:
        name: the column, for the reasons.
    """
    missing = null_mask(cells)
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
    return ParsedColumn(name, text, missing)


def factorize(text: pa.Array) -> tuple[NDArray[np.int64], list[str]]:
    """Encode texts as integers, in order of first occurrence: ``(row,)`` int64, -1 for null; and the distinct texts."""
    encoded = text.dictionary_encode()
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return codes, encoded.dictionary.to_pylist()


def invalid_reasons(cells: pa.Array, invalid: NDArray[np.bool_], name: str, why: str) -> dict[int, str]:
    """Write a reason for each invalid row: its cell, and why it cannot be used."""
    rows = np.flatnonzero(invalid)
    values = cells.take(pa.array(rows))
    if is_time(cells.type):  # Python lacks such times, or needs other libraries for them
        values = values.cast(pa.timestamp("us"), safe=False).cast(pa.large_string())
    pairs = zip(rows.tolist(), values.to_pylist(), strict=True)
    return {row: f"the column '{name}' is {value!r:.60}, {why}" for row, value in pairs}


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


def _cell_text(value: Any) -> str | None:
    """Format one cell as Arrow formats a column of its type."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
