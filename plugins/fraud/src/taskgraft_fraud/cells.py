"""Raw cells as Arrow columns: read as numbers, as times, or as categories, with a reason for each that cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.rows import arrow_of

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
"""How a number is written. The names of infinity and of no number are texts."""

CODE = r"^[+-]?0\d"
"""How something is written that consists of digits and is no number."""

TIME = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?)?"
ZONE = r"(Z|[+-]\d\d:?\d\d)$"
"""How a time is written (ISO 8601), and how it ends where it names its distance from UTC."""

MOSTLY = 0.9
"""The share of a column's texts that must be written as numbers, or as times, for it to hold those."""

WHOLE = 2.0**53
"""Floating-point numbers below this that are whole are so exactly."""

MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Cells:
    """The cells of one column, read.

    Attributes:
        values: ``(row,)``. Of numbers: float64. Of times: int64, in microseconds since 1970, UTC. 0 where there is none.
        missing: ``(row,)`` bool, where the cell is empty.
        refused: row → why its cell cannot be read.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    refused: Mapping[int, str] = field(default_factory=dict)


def column_of(values: Sequence[Any]) -> pa.Array:
    """Give raw cells as one Arrow array. An empty text, NaN and None are null.

    Raises:
        pyarrow.ArrowException, TypeError: for cells whose kinds do not mix.
    """
    found = arrow_of(values).combine_chunks()
    if pa.types.is_dictionary(found.type):
        found = found.dictionary_decode()
    if pa.types.is_null(found.type):
        return found.cast(pa.string())
    if _is_text(found.type):
        return pc.if_else(pc.equal(found, ""), pa.scalar(None, found.type), found)
    if pa.types.is_floating(found.type):
        return pc.if_else(pc.is_nan(found), pa.scalar(None, found.type), found)
    return found


def kind_of(cells: pa.Array) -> str | None:
    """Infer what cells are: "number", "category" or "time"; None for kinds that no table model reads, such as lists.

    Texts are numbers, or times, when nearly all that are present are written so: one slip of a pen must not make a column of
    amounts one of categories, and will be refused. They are not numbers when one begins like a code ("007").
    """
    if _is_text(cells.type):
        text = _trimmed(cells)
        if _mostly(text, NUMBER):
            return "category" if pc.any(pc.match_substring_regex(text, CODE)).as_py() else "number"
        return "time" if _mostly(text, f"{TIME}({ZONE[:-1]})?$") else "category"
    if pa.types.is_boolean(cells.type):
        return "category"
    if _is_number(cells.type):
        return "number"
    return "time" if _is_time(cells.type) else None


def numbers(cells: pa.Array, name: str) -> Cells:
    """Read cells as numbers.

    Args:
        name: of the column, for the reasons.
    """
    if _is_text(cells.type):
        text = _trimmed(cells)
        bad = _unlike(text, NUMBER)
        found = _without(text, bad).cast(pa.float64())
    elif _is_number(cells.type) or pa.types.is_boolean(cells.type):
        bad, found = np.zeros(len(cells), np.bool_), cells.cast(pa.float64(), safe=False)
    else:
        return _all_refused(cells, name, "number")
    values = pc.fill_null(found, 0.0).to_numpy(zero_copy_only=False)
    infinite = ~np.isfinite(values)
    refused = _reasons(cells, bad | infinite, name, "number")
    return Cells(np.where(infinite, 0.0, values), _null(cells), refused)


def times(cells: pa.Array, name: str) -> Cells:
    """Read cells as times: Arrow's own, ISO 8601, or numbers of seconds since 1970. Without a zone they are UTC.

    Args:
        name: of the column, for the reasons.
    """
    if _is_number(cells.type):
        seconds = numbers(cells, name)
        return Cells((seconds.values * MICROSECONDS).astype(np.int64), seconds.missing, seconds.refused)
    if _is_time(cells.type):
        zone = getattr(cells.type, "tz", None)
        return Cells(_microseconds(cells.cast(pa.timestamp("us", zone), safe=False)), _null(cells))
    if not _is_text(cells.type):
        return _all_refused(cells, name, "time")
    text = _trimmed(cells)
    bad = _unlike(text, f"{TIME}({ZONE[:-1]})?$")
    zoned = pc.fill_null(pc.match_substring_regex(text, r"\d\d:\d\d.*" + ZONE), False).to_numpy(zero_copy_only=False)
    values = np.zeros(len(cells), np.int64)
    for some, zone in ((~zoned, None), (zoned, "UTC")):
        part = _without(text, bad | ~some)
        try:
            values[some] = _microseconds(part.cast(pa.timestamp("us", zone)))[some]
        except pa.ArrowInvalid:  # a day that its month does not have
            values[some], bad = _one_by_one(part, bad, some)
    return Cells(values, _null(cells), _reasons(cells, bad, name, "time"))


def texts(cells: pa.Array) -> pa.Array:
    """Give cells as the texts by which categories are known: 7 and 7.0 are "7". Empty cells stay null.

    Raises:
        pyarrow.ArrowException: for cells of kinds that are no categories, such as lists.
    """
    text = cells.cast(pa.large_string())
    if not pa.types.is_floating(cells.type):
        return text
    whole = pc.and_(pc.equal(cells, pc.floor(cells)), pc.less(pc.abs(cells), WHOLE))
    return pc.if_else(whole, cells.cast(pa.int64(), safe=False).cast(pa.large_string()), text)


def when(microseconds: int) -> str:
    """Write a time as ISO 8601."""
    return datetime.fromtimestamp(microseconds / MICROSECONDS, UTC).isoformat()


def moment(text: str) -> int:
    """Read a time that :func:`when` wrote, in microseconds since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * MICROSECONDS)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _trimmed(cells: pa.Array) -> pa.Array:
    return pc.utf8_trim_whitespace(cells.cast(pa.large_string()))


def _null(cells: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.is_null(cells).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _mostly(text: pa.Array, pattern: str) -> bool:
    """Say whether nearly all texts that are present are written as a pattern says."""
    share = pc.mean(pc.match_substring_regex(text, pattern).cast(pa.int8())).as_py()
    return share is None or share >= MOSTLY


def _unlike(text: pa.Array, pattern: str) -> NDArray[np.bool_]:
    """Find the texts that are not written as a pattern says."""
    like = pc.fill_null(pc.match_substring_regex(text, pattern), True)
    return ~np.asarray(like.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _without(text: pa.Array, bad: NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(bad), pa.scalar(None, text.type), text) if bad.any() else text


def _microseconds(found: pa.Array) -> NDArray[np.int64]:
    return np.asarray(pc.fill_null(found.cast(pa.int64()), 0).to_numpy(zero_copy_only=False), dtype=np.int64)


def _one_by_one(
    part: pa.Array, bad: NDArray[np.bool_], some: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read texts singly, for their column has one that is written like a time but is none."""
    values, wrong = np.zeros(len(part), np.int64), bad.copy()
    for row in np.flatnonzero(some & ~bad):
        text = part[int(row)].as_py()
        try:
            found = None if text is None else datetime.fromisoformat(text)
        except ValueError:
            wrong[row] = True
        else:
            zone = None if found is None else found.replace(tzinfo=found.tzinfo or UTC)
            values[row] = 0 if zone is None else round(zone.timestamp() * MICROSECONDS)
    return values[some], wrong


def _reasons(cells: pa.Array, bad: NDArray[np.bool_], name: str, kind: str) -> dict[int, str]:
    rows = np.flatnonzero(bad).tolist()
    return {row: f"'{name}' is {cells[row].as_py()!r:.60}, not a {kind}" for row in rows}


def _all_refused(cells: pa.Array, name: str, kind: str) -> Cells:
    """Refuse a column that holds something else altogether."""
    missing = _null(cells)
    return Cells(np.zeros(len(cells)), missing, _reasons(cells, ~missing, name, kind))
