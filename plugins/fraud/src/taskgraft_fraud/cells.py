"""Raw cells, typed or written as texts, made into numbers and texts: whole columns, with a reason for each that cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import TaskgraftError, to_arrow

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
"""How a number is written. The names of infinity and of no number are texts."""

WHOLE = 2.0**53
"""Floating-point numbers below this that are whole are so exactly."""


@dataclass(frozen=True)
class Cells:
    """The cells of one column, read.

    Attributes:
        name: of the column.
        values: ``(row,)``. Of numbers: float64, of times: int64, in microseconds since 1970, UTC; 0 where there is none. Of
            texts: an Arrow array, large_string.
        missing: ``(row,)`` bool, where the cell is empty.
        refused: row → why its cell cannot be read.
    """

    name: str
    values: Any
    missing: NDArray[np.bool_]
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Where the cell is there and could be read: ``(row,)``."""
        usable = ~self.missing
        usable[list(self.refused)] = False
        return usable

    @property
    def problems(self) -> dict[int, str]:
        """Row → why there is nothing, where every cell has to be there."""
        empty = dict.fromkeys(np.flatnonzero(self.missing).tolist(), f"the column '{self.name}' is empty")
        return {**self.refused, **empty}


def column_of(values: Sequence[Any] | pa.ChunkedArray) -> pa.Array:
    """Give raw cells as one Arrow array; texts are trimmed, and kinds that do not mix become texts. What is empty is null."""
    try:
        found = values if isinstance(values, pa.ChunkedArray) else to_arrow(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        found = pa.chunked_array([pa.array(map(_text, values), pa.large_string())])
    if pa.types.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    if pa.types.is_null(found.type) or is_text(found.type):
        text = pc.utf8_trim_whitespace(found.cast(pa.large_string()))
        found = pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)
    elif pa.types.is_floating(found.type):
        found = pc.if_else(pc.is_nan(found), pa.scalar(None, found.type), found)
    return found.combine_chunks()


def numbers(cells: pa.Array, name: str, why: str = "which is no number") -> Cells:
    """Read cells as numbers: Arrow's own, truth values as 0 and 1, and texts.

    Args:
        cells: from :func:`column_of`.
        name: of the column, for the reasons.
        why: what is wrong with a cell that cannot be read.
    """
    missing, found, bad = null(cells), cells, np.zeros(len(cells), np.bool_)
    if is_text(cells.type):
        found, bad = without(cells, NUMBER)
    elif not (is_number(cells.type) or pa.types.is_boolean(cells.type)):
        bad, found = ~missing, pa.nulls(len(cells), pa.float64())
    values = pc.fill_null(found.cast(pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
    bad |= ~np.isfinite(values)
    return Cells(name, np.where(bad, 0.0, values), missing, reasons(cells, bad, name, why))


def texts(cells: pa.Array, name: str) -> Cells:
    """Read cells as the texts by which categories and keys are known: 7 and 7.0 are "7"; null where there is none.

    Args:
        name: of the column, for the reasons.
    """
    missing = null(cells)
    try:
        text = cells.cast(pa.large_string())
    except pa.ArrowException:
        nothing = pa.nulls(len(cells), pa.large_string())
        return Cells(name, nothing, missing, reasons(cells, ~missing, name, "which is no single text or number"))
    if pa.types.is_floating(cells.type):
        whole = pc.and_(pc.equal(cells, pc.floor(cells)), pc.less(pc.abs(cells), WHOLE))
        text = pc.if_else(whole, cells.cast(pa.int64(), safe=False).cast(pa.large_string()), text)
    return Cells(name, text, missing)


def codes(text: pa.Array) -> tuple[NDArray[np.int64], list[str]]:
    """Number the different texts in the order of their first rows: ``(row,)``, -1 where there is none; and give them."""
    found = text.dictionary_encode()
    numbered = pc.fill_null(found.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return numbered, found.dictionary.to_pylist()


def reasons(cells: pa.Array, bad: NDArray[np.bool_], name: str, why: str) -> dict[int, str]:
    """Say of each bad row what its cell is, and why that will not do."""
    rows = np.flatnonzero(bad)
    some = cells.take(pa.array(rows))
    if is_time(cells.type):  # Python has no such times, or only with other libraries
        some = some.cast(pa.timestamp("us"), safe=False).cast(pa.large_string())
    shown = zip(rows.tolist(), some.to_pylist(), strict=True)
    return {row: f"the column '{name}' is {value!r:.60}, {why}" for row, value in shown}


def is_text(kind: pa.DataType) -> bool:
    """Say whether cells of a kind are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Say whether cells of a kind are numbers; truth values are not."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_time(kind: pa.DataType) -> bool:
    """Say whether cells of a kind are times or days."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def null(cells: pa.Array) -> NDArray[np.bool_]:
    """Find the empty cells: ``(row,)``."""
    return np.asarray(pc.is_null(cells).to_numpy(zero_copy_only=False), dtype=np.bool_)


def share(text: pa.Array, pattern: str) -> float:
    """Give the share of the texts that are there that are written as a pattern says; 1 where there are none."""
    found = pc.mean(pc.match_substring_regex(text, pattern).cast(pa.int8())).as_py()
    return 1.0 if found is None else float(found)


def without(text: pa.Array, pattern: str) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Leave out the texts that are not written as a pattern says, and find them: ``(row,)``."""
    like = pc.fill_null(pc.match_substring_regex(text, pattern), True)
    return pc.if_else(like, text, pa.scalar(None, text.type)), ~np.asarray(like.to_numpy(zero_copy_only=False))


@dataclass(eq=False)
class BadCells(TaskgraftError):
    """Rows with a cell that is empty or cannot be read. Rows are counted from 0; whoever read the file adds the lines."""

    reasons: Mapping[int, str]

    def __str__(self) -> str:
        row, reason = min(self.reasons.items())
        count = f" {len(self.reasons):,} rows have no value that can be used." if len(self.reasons) > 1 else ""
        return f"Row {row + 1:,}: {reason}.{count} Mend or leave out such rows, or name another column."


def _text(value: Any) -> str | None:
    """Give one cell as a text, as Arrow does where all are of its kind."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
