"""Columns as files hold them, made into numbers: amounts, moments and keys. Whole columns at a time, texts too."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NOTHING = pa.scalar(None, pa.large_string())
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
MOMENT = r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?$"
ZONED = r":\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)$"
FIRST, END = -62_135_596_800, 253_402_300_800
"""Seconds until the years 1 and 10,000: what lies beyond is no moment, but a number in another unit."""

Known = NDArray[np.bool_]


def texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give values as texts, large_string; an empty text is missing, as an empty cell is. True is 1 and False 0."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    found = column.cast(pa.large_string())
    return pc.if_else(pc.equal(found, ""), NOTHING, found)


def numbers(column: pa.ChunkedArray) -> tuple[NDArray[np.float64], Known]:
    """Give values as float64, and which of them are finite numbers; the others are 0."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        column = pc.utf8_trim_whitespace(texts(column))  # decimal numbers also
        column = pc.if_else(pc.match_substring_regex(column, NUMBER), column, NOTHING)
    found = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy()
    known = np.isfinite(found)
    return np.where(known, found, 0.0), known


def moments(column: pa.ChunkedArray, since: date) -> tuple[NDArray[np.int64], Known]:
    """Give moments in microseconds since 1970, and which of them are known; the others are 0.

    A text with a zone is taken to UTC, and so is a timestamp that has one.

    Args:
        since: the day that begins at second 0, where the column holds numbers, as such or as texts.
    """
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _microseconds(column)
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        written = pc.utf8_trim_whitespace(texts(column))
        iso = pc.match_substring_regex(written, MOMENT)
        if pc.any(iso).as_py():
            return _microseconds(_parsed(pc.if_else(iso, written, NOTHING)))
    seconds, known = numbers(column)
    seconds += (since - date(1970, 1, 1)).days * 86_400
    known &= (seconds >= FIRST) & (seconds < END)
    return np.where(known, np.rint(seconds * 1e6), 0).astype(np.int64), known


def codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Give each text a number from 0, in the order of their first rows; a missing one is -1."""
    indices = column.combine_chunks().dictionary_encode().indices
    return pc.fill_null(indices.cast(pa.int64()), -1).to_numpy()  # type: ignore[no-any-return]


def _parsed(written: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read texts in the form of a moment as timestamps without zone, in UTC where they have one."""
    written = pc.replace_substring_regex(written, r"(\.\d{6})\d+", r"\1")  # Arrow refuses what is finer than its unit
    zoned = pc.match_substring_regex(written, ZONED)
    local = _cast(pc.if_else(zoned, NOTHING, written).combine_chunks(), pa.timestamp("us"))
    moved = _cast(pc.if_else(zoned, written, NOTHING).combine_chunks(), pa.timestamp("us", "UTC"))
    return pa.chunked_array([pc.coalesce(local, moved.cast(pa.timestamp("us")))])


def _cast(written: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast texts of the right form; a day that no month has is missing. Only halves with such a day are tried again."""
    try:
        return written.cast(kind)
    except pa.ArrowInvalid:
        if len(written) == 1:
            return pa.nulls(1, kind)
        middle = len(written) // 2
        return pa.concat_arrays([_cast(written[:middle], kind), _cast(written[middle:], kind)])


def _microseconds(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], Known]:
    found = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
    known = pc.is_valid(found).to_numpy()
    times = pc.fill_null(found, 0).to_numpy()
    known = known & (times >= FIRST * 1_000_000) & (times < END * 1_000_000)
    return np.where(known, times, 0), known
