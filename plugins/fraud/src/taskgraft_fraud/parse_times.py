"""Parse cells as times: Arrow's own types, ISO 8601 texts, or numbers counted from a day; in UTC, to the microsecond."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.plugin import NUMBER_PATTERN
from taskgraft_fraud.parse_cells import (
    ParsedColumn,
    drop_unmatched,
    invalid_reasons,
    is_number,
    is_text,
    is_time,
    matching_share,
    null_mask,
    parse_numbers,
)
from taskgraft_fraud.time_unit import TimeUnit

LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
DATE = (
    r"(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))|"
    rf"{LEAP_YEAR}-02-29)"
)
ZONE = r"(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)"
TIME_PATTERN = rf"^{DATE}([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{{1,9}})?)?{ZONE}?)?$"
"""An ISO 8601 text on a day that exists: Arrow parses every text that matches, after :func:`_with_hyphens`."""

MICROSECONDS = 1_000_000
DAY = 86_400 * MICROSECONDS

EPOCH, EPOCH_TIME = date(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)
FIRST, END = -62_135_596_800 * MICROSECONDS, 253_402_300_800 * MICROSECONDS
"""The years 1 and 10,000, counted from 1970. A number beyond them is most often in another unit."""


def parse_times(cells: pa.Array, name: str, unit: TimeUnit | None = None, since: date = EPOCH) -> ParsedColumn:
    """Parse cells as times: ``(row,)`` int64, in microseconds since 1970, 0 if missing or invalid. UTC unless a zone is given.

    Args:
        cells: from :func:`to_arrow_array`.
        name: the column, for the reasons.
        unit: the unit of numbers, also of numbers as text. None: numeric cells are seconds, and a text is never a number, so
            the same text is parsed alike in every column.
        since: the day at whose start numbers count from 0.
    """
    numeric = is_number(cells.type) if unit is None else are_numeric(cells)
    parsed, why = _parse_numeric(cells, name, unit or "seconds", since) if numeric else _parse_dated(cells, name)
    beyond = parsed.usable & ~((parsed.values >= FIRST) & (parsed.values < END))
    values = np.where(parsed.usable & ~beyond, parsed.values, 0).astype(np.int64)
    return ParsedColumn(name, values, parsed.missing, {**parsed.invalid, **invalid_reasons(cells, beyond, name, why)})


def are_numeric(cells: pa.Array) -> bool:
    """Whether a column of times holds numbers (more texts match a number than a date), not timestamps or dates."""
    if is_text(cells.type):
        return matching_share(cells, NUMBER_PATTERN) > time_share(cells)
    return is_number(cells.type)


def time_share(text: pa.Array) -> float:
    """Compute the share of non-null texts that are times, from 0 to 1; 1 if all are null."""
    return matching_share(_with_hyphens(text), TIME_PATTERN)


def format_time(microseconds: int) -> str:
    """Format microseconds since 1970 as ISO 8601, UTC."""
    return (EPOCH_TIME + timedelta(microseconds=microseconds)).isoformat()


def parse_formatted_time(text: str) -> int:
    """Invert :func:`format_time`: microseconds since 1970."""
    return (datetime.fromisoformat(text) - EPOCH_TIME) // timedelta(microseconds=1)


def _parse_numeric(cells: pa.Array, name: str, unit: TimeUnit, since: date) -> tuple[ParsedColumn, str]:
    """Parse numbers. Values outside the years 1 to 9999 are still in; the second result is their reason."""
    parsed = parse_numbers(cells, name, "which is not a number, as other cells are")
    with np.errstate(over="ignore"):
        micros = np.rint(parsed.values * (DAY if unit == "days" else MICROSECONDS)) + (since - EPOCH).days * DAY
    why = f"which as a number of {unit} is outside the years 1 to 9999"
    return ParsedColumn(name, micros, parsed.missing, parsed.invalid), why


def _parse_dated(cells: pa.Array, name: str) -> tuple[ParsedColumn, str]:
    """Parse timestamps, dates and ISO texts, as :func:`_parse_numeric` does numbers."""
    kind = pa.timestamp("us", getattr(cells.type, "tz", None))
    if is_text(cells.type):
        text, invalid = drop_unmatched(_with_hyphens(cells), TIME_PATTERN)
        times = _parse_text(text)
    elif is_time(cells.type):
        times, invalid = cells.cast(kind, safe=False), np.zeros(len(cells), np.bool_)
    else:
        times, invalid = pa.nulls(len(cells), kind), ~null_mask(cells)
    micros = pc.fill_null(times.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    reasons = invalid_reasons(cells, invalid, name, "which is not a time such as 2018-07-25 13:05:00")
    return ParsedColumn(name, micros, null_mask(cells), reasons), "which is outside the years 1 to 9999"


def _with_hyphens(text: pa.Array) -> pa.Array:
    """Write 2026/11/3, 2026.11.03 and the month 2026-11 as days in ISO 8601: with the year first there is only one reading."""
    if not pc.any(pc.match_substring_regex(text, r"^\d{4}([/.]|-\d{1,2}$|-\d-|-\d\d-\d\b|.* \d:)")).as_py():
        return text
    for pattern, canonical in (
        (r"^(\d{4}-(0[1-9]|1[0-2]))$", r"\1-01"),
        (r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\b", r"\1-\2-\3"),
        (r"^(\d{4})-(\d)-", r"\1-0\2-"),
        (r"^(\d{4}-\d\d)-(\d)\b", r"\1-0\2"),
        (r"^(\d{4}-\d\d-\d\d) (\d):", r"\1 0\2:"),
    ):
        text = pc.replace_substring_regex(text, pattern, canonical)
    return text


def _parse_text(text: pa.Array) -> pa.Array:
    """Parse ISO texts as UTC. Arrow needs texts with and without a zone in separate arrays, and rejects nanoseconds."""
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1")
    zoned = pc.match_substring_regex(text, f":.*{ZONE}$")
    null = pa.scalar(None, text.type)
    local = pc.if_else(zoned, null, text).cast(pa.timestamp("us"))
    with_zone = pc.if_else(zoned, text, null).cast(pa.timestamp("us", "UTC"))
    return pc.coalesce(local, with_zone.cast(pa.timestamp("us")))
