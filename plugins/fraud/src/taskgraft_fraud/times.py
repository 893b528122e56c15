"""Cells as times: Arrow's own, texts as ISO 8601 writes them, or numbers counted from some day; in UTC, to the microsecond."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskgraft_fraud.cells import NUMBER, Cells, is_number, is_text, is_time, null, numbers, reasons, share, without
from taskgraft_fraud.day_settings import Unit

LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
DATE = (
    r"(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))|"
    rf"{LEAP_YEAR}-02-29)"
)
ZONE = r"(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)"
TIME = rf"^{DATE}([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{{1,9}})?)?{ZONE}?)?$"
"""How a time is written, on a day that its month has: Arrow reads whatever is written so."""

MICROSECONDS = 1_000_000
DAY = 86_400 * MICROSECONDS

EPOCH, BEGIN = date(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)
FIRST, END = -62_135_596_800 * MICROSECONDS, 253_402_300_800 * MICROSECONDS
"""The years 1 and 10,000, counted from 1970: what lies beyond is no time, but most often a number in another unit."""


def times(cells: pa.Array, name: str, unit: Unit | None = None, since: date = EPOCH) -> Cells:
    """Read cells as times: int64, in microseconds since 1970; 0 where there is none. Without a zone they are UTC.

    Args:
        cells: from :func:`column_of`.
        name: of the column, for the reasons.
        unit: what numbers count, written as texts or not. None: seconds, and texts are no numbers, so that a text is read in
            the same way whatever stands beside it.
        since: the day from whose begin numbers count.
    """
    by_number = is_number(cells.type) if unit is None else counted(cells)
    read, why = _counted(cells, name, unit or "seconds", since) if by_number else _dated(cells, name)
    there = read.usable
    beyond = there & ~((read.values >= FIRST) & (read.values < END))
    values = np.where(there & ~beyond, read.values, 0).astype(np.int64)
    return Cells(name, values, read.missing, {**read.refused, **reasons(cells, beyond, name, why)})


def counted(cells: pa.Array) -> bool:
    """Tell whether times are numbers, or most often written so; else they are written as days and hours."""
    return is_number(cells.type) or (is_text(cells.type) and share(cells, NUMBER) > share(cells, TIME))


def when(microseconds: int) -> str:
    """Write a time as ISO 8601."""
    return (BEGIN + timedelta(microseconds=microseconds)).isoformat()


def moment(text: str) -> int:
    """Read a time that :func:`when` wrote, in microseconds since 1970."""
    return (datetime.fromisoformat(text) - BEGIN) // timedelta(microseconds=1)


def _counted(cells: pa.Array, name: str, unit: Unit, since: date) -> tuple[Cells, str]:
    """Read numbers, not yet rid of those beyond all years, and say of those what is wrong."""
    read = numbers(cells, name, "which is no number, as others are")
    with np.errstate(over="ignore"):
        micros = np.rint(read.values * (DAY if unit == "days" else MICROSECONDS)) + (since - EPOCH).days * DAY
    why = f"which as a number of {unit} is no time within the years 1 to 9999"
    return Cells(name, micros, read.missing, read.refused), why


def _dated(cells: pa.Array, name: str) -> tuple[Cells, str]:
    """Read what is written as days and hours, as :func:`_counted` does."""
    kind = pa.timestamp("us", getattr(cells.type, "tz", None))
    if is_text(cells.type):
        text, bad = without(cells, TIME)
        found = _parsed(text)
    elif is_time(cells.type):
        found, bad = cells.cast(kind, safe=False), np.zeros(len(cells), np.bool_)
    else:
        found, bad = pa.nulls(len(cells), kind), ~null(cells)
    micros = pc.fill_null(found.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    refused = reasons(cells, bad, name, "which is no time like 2018-07-25 13:05:00")
    return Cells(name, micros, null(cells), refused), "which is no time within the years 1 to 9999"


def _parsed(text: pa.Array) -> pa.Array:
    """Read texts that are written as times, in UTC; Arrow takes those with a zone and those without one apart."""
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1")  # and refuses what is finer than its unit
    zoned = pc.match_substring_regex(text, f":.*{ZONE}$")
    nothing = pa.scalar(None, text.type)
    local = pc.if_else(zoned, nothing, text).cast(pa.timestamp("us"))
    moved = pc.if_else(zoned, text, nothing).cast(pa.timestamp("us", "UTC"))
    return pc.coalesce(local, moved.cast(pa.timestamp("us")))
