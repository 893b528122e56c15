"""Which settings make numbers or dates of a column of texts: tried on its values, one by one and in combination.

It decides nothing about the data. A caller that would otherwise guess says what it found, and the setting to write.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.contract.cell_formats import CellFormats
from taskgraft.contract.rows import Rows
from taskgraft.errors import join_words
from taskgraft.reading.cell_formats import (
    NUMBER_PATTERN,
    canonical_dates,
    canonical_numbers,
    date_patterns,
    is_text,
    match_dates,
    match_numbers,
    number_pattern,
)

_MARKS = """
na n/a #n/a n.a. k.a. nan null (null) nil none ? ?? - -- . .. * unknown undefined missing #value! #wert! #div/0! \\n
"""
MISSING_MARKS = frozenset(_MARKS.split())
"""Texts, in lower case, that most often stand for an empty cell."""

_NUMBER_LIKE = re.compile(r"\D{0,6}\d[^A-Za-z]{0,40}\D{0,6}$")

_UNIT = re.compile(
    r"(?P<before>[^\d\s.,'+\-\u2212]{1,4})?\s*[+\-\u2212]?\s*\d[\d.,'\u2019 \u00a0\u202f]*(?P<after>[^\d\s.,'+\-]{1,4})?"
)
_SIGNS = "€ $ £ ¥ ₹ ₽ ₩ ₺ ₪ % ‰ EUR USD GBP CHF JPY CNY INR SEK NOK DKK PLN CZK kr zł Kč R$ US$"
_UNITS = frozenset(_SIGNS.split())
_EXAMPLES = 5  # values and marks that a message names
_DATES = ("day-first", "month-first")
_ISO_LIKE = r"^\s*\d{4}[-/.](0?[1-9]|1[0-2])([-/.](0?[1-9]|[12]\d|3[01]))?([T ]\d.*)?\s*$"


@dataclass(frozen=True)
class Reading:
    """One way to read the values of a column.

    Attributes:
        settings: what to write in the recipe for it ('data.decimal = ","'); none if it is the default.
        matches: which values it reads, ``(value,)`` bool.
        example: the first value that differs from its canonical text → that text.
    """

    settings: tuple[str, ...]
    matches: NDArray[np.bool_]
    example: tuple[str, str] | None


@dataclass(frozen=True)
class FormatAdvice:
    """The best ways to read a column of texts as numbers, or as dates.

    Attributes:
        kind: "numbers" or "dates".
        readings: equally good ones; more than one if the values can mean two things.
        share: of the cells that are not empty, read by the best, from 0 to 1.
        count: the number of those cells.
        misfits: the values that it does not read → number of cells, most frequent first.
    """

    kind: str
    readings: Sequence[Reading]
    share: float
    count: int
    misfits: dict[str, int] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """What the column holds, without a full stop: to follow "The column 'x' holds"."""
        best, cells = self.readings[0], round(self.share * self.count)
        such = f", such as {best.example[0]!r:.40}," if best.example else ""
        text = f"{self.kind}{such} in {_of(cells, self.count)}"
        if self.misfits:
            named = [f"{value!r:.40} in {count:,}" for value, count in list(self.misfits.items())[:_EXAMPLES]]
            if rest := len(self.misfits) - len(named):
                named.append(f"{rest:,} other values in {sum(list(self.misfits.values())[_EXAMPLES:]):,}")
            text += f", and {join_words(named)}"
        return text

    @property
    def settings(self) -> list[str]:
        """What to write in the recipe: a sentence for the format, and one for marks of empty cells."""
        sentences = []
        if len(self.readings) > 1:
            ways = [
                f"{' and '.join(reading.settings)} ({reading.example[1]})"
                for reading in self.readings
                if reading.example
            ]
            sentences.append(f"{self.readings[0].example[0]!r} can mean two things: write {' or '.join(ways)}")  # type: ignore[index]
        elif self.readings[0].settings:
            dropped = (
                ", which drops the unit and converts nothing" if "data.units" in self.readings[0].settings[-1] else ""
            )
            sentences.append(f"For this format write {' and '.join(self.readings[0].settings)}{dropped}")
        if marks := self._marks():
            what = f"{join_words(map(repr, marks))} stand{'s' if len(marks) == 1 else ''} for an empty cell"
            sentences.append(f"If {what}, write data.missing = {_toml_list(marks)}")
        return sentences

    def _marks(self) -> list[str]:
        """The misfits that may be marks of empty cells: all texts if they are few, else the known ones."""
        texts = [value for value in self.misfits if not any(map(str.isdigit, value))]
        known = [value for value in texts if value.lower() in MISSING_MARKS]
        return (texts if len(texts) <= _EXAMPLES else known)[:_EXAMPLES]


def advise_numbers(text: pa.Array) -> FormatAdvice:
    """Find the settings with which most of the values are numbers.

    Args:
        text: the cells of a column, trimmed; null where empty.
    """
    values, counts = _count_values(text)
    units = _find_units(values)
    return _best("numbers", values, counts, _number_readings(values, units))


def advise_dates(text: pa.Array) -> FormatAdvice:
    """Find the order of day and month with which most of the values are dates; ISO 8601 counts as well.

    Args:
        text: as for :func:`advise_numbers`.
    """
    values, counts = _count_values(text)
    return _best("dates", values, counts, _date_readings(values))


def unclear_points(rows: Rows, columns: Sequence[str], data: CellFormats) -> tuple[str, ...]:
    """Say of which columns of texts every value is a number that may have a point between thousands: a sentence, or none."""
    if data.decimal != "." or data.thousands:
        return ()
    found = [(name, example) for name in columns if (example := _first_if_all_unclear(rows.column(name)))]
    if not found:
        return ()
    (_, example), names = found[0], join_words((repr(name) for name, _ in found), 5)
    return (
        f"All numbers in {names} have three digits after the point: '{example}' is read as {float(example):g}. If the point is "
        'between thousands, write data.decimal = "," and data.thousands = ".".',
    )


@lru_cache(maxsize=1024)
def format_hint(cell: str) -> str:
    """Say which setting makes a number or a date of a cell, or a missing value; empty if none does. To follow a comma."""
    if cell.strip().lower() in MISSING_MARKS:
        return f"; if it stands for an empty cell, write data.missing = {_toml_list([cell.strip()])}"
    if not _NUMBER_LIKE.match(cell):
        return ""
    found = _UNIT.fullmatch(cell.strip())
    units = tuple({unit: None for unit in found.groupdict().values() if unit in _UNITS}) if found else ()
    ways = [
        (len(settings), settings)
        for data, settings in _number_formats(units)
        if _python(number_pattern(data)).match(cell) and settings
    ]
    for order in _DATES:
        if any(_python(pattern).match(cell) for pattern in date_patterns(order)):
            ways.append((1, (f'data.dates = "{order}"',)))
    best = [" and ".join(settings) for count, settings in ways if count == min(ways)[0]]
    return f"; in another format, write {' or '.join(best)}" if best and not re.match(NUMBER_PATTERN, cell) else ""


@cache
def _python(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression of Arrow."""
    return re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda code: f"\\u{code[1]:0>4}", pattern), re.ASCII)


@cache
def _number_formats(units: tuple[str, ...]) -> tuple[tuple[CellFormats, tuple[str, ...]], ...]:
    """List the formats of numbers, with the settings to write for each."""
    formats = []
    for signs, decimal, thousands in product({(): None, units: None}, (".", ","), (None, ",", ".", " ", "'")):
        if decimal != thousands:
            written = {"decimal": decimal if decimal == "," else None, "thousands": thousands}
            settings = [f'data.{name} = "{mark}"' for name, mark in written.items() if mark]
            settings += [f"data.units = {_toml_list(signs)}"] if signs else []
            formats.append((CellFormats(decimal=decimal, thousands=thousands, units=signs), tuple(settings)))  # type: ignore[arg-type]
    return tuple(formats)


def _number_readings(values: pa.Array, units: tuple[str, ...]) -> Iterator[Reading]:
    for data, settings in _number_formats(units):
        yield _reading(values, settings, match_numbers(values, data), canonical_numbers(values, data))


def _date_readings(values: pa.Array) -> Iterator[Reading]:
    iso = pc.match_substring_regex(values, _ISO_LIKE)
    yield _reading(values, [], iso, values)
    for order in _DATES:
        matches = pc.or_(match_dates(values, order), iso)
        yield _reading(values, [f'data.dates = "{order}"'], matches, canonical_dates(values, order))


def _reading(values: pa.Array, settings: Sequence[str], matches: pa.Array, canonical: pa.Array) -> Reading:
    mask = np.asarray(matches.to_numpy(zero_copy_only=False), dtype=np.bool_)
    changed = np.flatnonzero(np.asarray(pc.not_equal(values, canonical).to_numpy(zero_copy_only=False)) & mask)
    rows = changed if len(changed) else np.flatnonzero(mask)
    example = (values[int(rows[0])].as_py(), canonical[int(rows[0])].as_py()) if len(rows) else None
    return Reading(tuple(settings), mask, example)


def _best(kind: str, values: pa.Array, counts: NDArray[np.int64], readings: Iterator[Reading]) -> FormatAdvice:
    """Keep the readings that read most cells, and of those the ones with the fewest settings."""
    ranked = [(int(counts[reading.matches].sum()), -len(reading.settings), reading) for reading in readings]
    most = max(rank[:2] for rank in ranked)
    best = [reading for *rank, reading in ranked if tuple(rank) == most]
    if any(reading.settings == () for reading in best):
        best = best[:1]
    total = int(counts.sum())
    misfit = np.flatnonzero(~best[0].matches)
    by_count = sorted(misfit.tolist(), key=lambda index: -int(counts[index]))
    misfits = {values[index].as_py(): int(counts[index]) for index in by_count}
    return FormatAdvice(kind, best, most[0] / total if total else 0.0, total, misfits)


def _find_units(values: pa.Array) -> tuple[str, ...]:
    """Find the signs and currency codes beside numbers."""
    plain = pc.match_substring_regex(values, NUMBER_PATTERN)
    others: Any = values.filter(pc.invert(plain))
    found: dict[str, None] = {}
    for value in others.to_pylist():
        if match := _UNIT.fullmatch(value):
            found.update(dict.fromkeys(unit for unit in match.groupdict().values() if unit in _UNITS))
    return tuple(found)


def _count_values(text: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Count the distinct values: ``(value,)`` texts, and int64."""
    counted = pc.value_counts(text.drop_null())
    return counted.field("values").cast(pa.large_string()), counted.field("counts").to_numpy()


def _first_if_all_unclear(cells: pa.ChunkedArray) -> str | None:
    """Return the first value of a column in which each may have a point between thousands, and at least two differ."""
    if not is_text(cells.type):
        return None
    values = pc.unique(cells).drop_null()
    every = pc.all(pc.match_substring_regex(values, r"^\s*([1-9]\d{0,2}\.\d{3})?\s*$")).as_py()
    numbers = [value.strip() for value in values.to_pylist() if value.strip()] if every else []
    return numbers[0] if len(numbers) > 1 else None


def _toml_list(texts: Sequence[str]) -> str:
    return f"[{', '.join(json.dumps(text, ensure_ascii=False) for text in texts)}]"


def _of(some: int, total: int) -> str:
    return f"all {total:,} cells" if some == total else f"{some:,} of {total:,} cells"
