"""A raw column as Arrow holds it, and as numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def array_of(values: Sequence[Any] | pa.ChunkedArray) -> pa.Array:
    """Make an array of raw values. Text is trimmed, and empty text is missing; where kinds mix, all becomes text."""
    if isinstance(values, pa.ChunkedArray):
        found = values.combine_chunks()
    else:
        try:
            found = pa.array(list(values), from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            found = pa.array([None if value is None else str(value) for value in values])
    if pa.types.is_dictionary(found.type):
        found = found.dictionary_decode()
    if not is_text(found):
        return found
    text = pc.utf8_trim_whitespace(found.cast(pa.large_string()))
    return pc.if_else(pc.equal(text, ""), None, text)


def is_text(values: pa.Array) -> bool:
    """Say whether an array holds text."""
    kind = values.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def numbers_of(values: pa.Array) -> NDArray[np.float64] | None:
    """Give the numbers of a column, ``(row,)`` float64, NaN where there is none; None when something present is no number.

    A number may be written as text. A truth value is 0 or 1, and a time the seconds since 1970-01-01.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_time(kind):
        micros = values.cast(pa.timestamp("us", kind.tz if pa.types.is_timestamp(kind) else None), safe=False)
        return _numpy(pc.divide(micros.cast(pa.int64()).cast(pa.float64()), 1e6))
    if not (is_text(values) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or _is_number(kind)):
        return None
    try:
        return _numpy(values.cast(pa.float64(), safe=False))
    except pa.ArrowInvalid:
        return None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _numpy(values: pa.Array) -> NDArray[np.float64]:
    numbers = np.array(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers
