"""Cells that are texts → the same cells in canonical text, as the recipe says what they mean: numbers, dates, missing marks.

Each cell is rewritten by itself, so that fit, evaluate and predict agree whatever the other rows are. A cell that does not have
the format stays as it is.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.composition.resolve import resolve
from taskgraft.contract.cell_formats import CellFormats
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.descriptions import BackboneDescription, TargetKind
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import ReaderSpec
from taskgraft.discovery.catalog import Catalog
from taskgraft.recipe import DataConfig

NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
"""A canonical number as text. "inf" and "nan" do not match."""

CODE_PATTERN = r"^[+-]?0\d"
"""Digits with a leading zero: a code, not a number."""

_MARKS: Mapping[str, str] = {".": r"\.", ",": ",", " ": r"[ \x{a0}\x{202f}\x{2009}]", "'": r"['\x{2019}]"}
"""A decimal mark, or one between thousands → a regular expression of its characters."""

_SIGN = r"[+\-\x{2212}]"
_TIME = r"(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?P<second>:[0-5]\d(?:\.\d{1,9})?)?"
_DAY, _MONTH, _YEAR = r"(?P<day>0?[1-9]|[12]\d|3[01])", r"(?P<month>0?[1-9]|1[0-2])", r"(?P<year>\d{4})"
_CLOCK = rf"(?:,?[ T]+{_TIME}(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?P<zone> ?(?:Z|[+-]\d\d(?::?\d\d)?))?)?"
_ORDERS = {"day-first": (_DAY, _MONTH, _YEAR), "month-first": (_MONTH, _DAY, _YEAR)}


def format_cells(rows: Rows, data: CellFormats, verbatim: Collection[str]) -> Rows:
    """Rewrite the cells of rows to canonical text, once: a number is "1234.5", a date is ISO 8601, a missing mark is null.

    Args:
        data: with the formats.
        verbatim: columns in which only missing marks are replaced.

    Returns:
        the rows; those with cells that are two numbers are invalid.
    """
    if rows.formatted or not uses_formats(data):
        return replace(rows, formatted=True)
    invalid, remarks, columns = dict(rows.invalid), dict(rows.remarks), list[pa.ChunkedArray]()
    for name, column in zip(rows.columns, rows.table.columns, strict=True):
        cells = replace_missing(_decode(column), data.missing)
        if name not in verbatim and is_text(cells.type):
            unclear, foreign = _find_points(cells, data) if _is_read(name, data) else ([], [])
            if unclear:
                invalid = {**dict.fromkeys(unclear, _two_numbers(name, cells[unclear[0]].as_py())), **invalid}
            if foreign:
                remarks[f"'{name}' has a decimal point, although data.decimal is ','"] = foreign
            cells = canonical_dates(canonical_numbers(cells, data), data.dates)
        columns.append(cells)
    table = pa.table(columns, rows.columns).replace_schema_metadata(rows.table.schema.metadata)
    return replace(rows, table=table, remarks=remarks, invalid=invalid, formatted=True)


def format_notes(before: Rows, after: Rows) -> dict[str, int]:
    """Count the remarks that :func:`format_cells` made."""
    return {note: len(rows) for note, rows in after.remarks.items() if rows and note not in before.remarks}


def uses_formats(data: CellFormats) -> bool:
    """Whether any cell could be rewritten."""
    return bool(data.missing or data.thousands or data.units) or data.decimal != "." or data.dates != "iso"


def verbatim_columns(data: DataConfig, description: BackboneDescription, kind: TargetKind) -> frozenset[str]:
    """Return the columns whose texts stay as they are: those of the backbone's named inputs, and labels."""
    roles = tuple(role.name for role in description.inputs)
    named = tuple(data.inputs.values()) if isinstance(data.inputs, Mapping) else data.inputs
    return frozenset([*((named or roles) if roles else ()), *(() if kind == TargetKind.NUMBERS else data.target)])


def reader_with_formats(data: DataConfig, catalog: Catalog) -> ComponentRef | None:
    """Return the reader of the data; one with a setting ``formats``, which parses cells itself, gets those of the data."""
    reader = data.reader
    if reader is None or reader.name is None or "formats" in reader.settings or not uses_formats(data):
        return reader
    if "formats" not in resolve(catalog, ReaderSpec, reader).spec.config.model_fields:
        return reader
    formats = data.model_dump(mode="json", include=set(CellFormats.model_fields))
    return reader.model_copy(update={"settings": {**reader.settings, "formats": formats}})


# --- one column


def replace_missing(cells: pa.ChunkedArray, marks: Collection[str]) -> pa.ChunkedArray:
    """Make cells null that are one of the marks. A mark that is a number stands for equal numbers: "-999" for -999.0."""
    if not marks or pa.types.is_nested(cells.type):
        return cells
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    kind = cells.type
    numbers = [float(mark) for mark in marks if re.match(NUMBER_PATTERN, mark) and not re.match(CODE_PATTERN, mark)]
    if is_text(kind):
        text = pc.utf8_trim_whitespace(cells.cast(pa.large_string()))
        found = pc.is_in(text, value_set=pa.array(sorted(marks), pa.large_string()))
        if numbers:
            plain = pc.and_not(
                pc.match_substring_regex(text, NUMBER_PATTERN), pc.match_substring_regex(text, CODE_PATTERN)
            )
            values = pc.if_else(plain, text, pa.scalar(None, text.type)).cast(pa.float64())
            found = pc.or_(found, pc.is_in(values, value_set=pa.array(numbers, pa.float64())))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        found = pc.is_in(cells.cast(pa.float64(), safe=False), value_set=pa.array(numbers, pa.float64()))
    elif pa.types.is_temporal(kind):
        text = pc.replace_substring_regex(cells.cast(pa.string()), r" 00:00:00(\.0+)?Z?$", "")
        found = pc.is_in(text, value_set=pa.array(sorted(marks), pa.string()))
    else:
        return cells
    return pc.if_else(found, pa.scalar(None, kind), cells) if pc.any(found).as_py() else cells


def canonical_numbers(cells: Any, data: CellFormats) -> Any:
    """Rewrite the texts that are numbers in the format of some settings, to "1234.5"; the others stay."""
    if data.decimal == "." and not data.thousands and not data.units:
        return cells
    text = pc.if_else(match_numbers(cells, data), cells, pa.scalar(None, cells.type))
    for unit in data.units:
        text = pc.replace_substring(text, unit, "")
    text = pc.replace_substring_regex(text, r"[\s\x{a0}\x{202f}\x{2009}]", "")
    if data.thousands:
        text = pc.replace_substring_regex(text, _MARKS[data.thousands], "")
    text = pc.replace_substring(pc.replace_substring(text, data.decimal, "."), "\u2212", "-")
    return pc.coalesce(text, cells)


def match_numbers(cells: Any, data: CellFormats) -> Any:
    """Find the texts that are numbers in the format of some settings: boolean, null where a cell is."""
    return pc.match_substring_regex(cells, number_pattern(data))


def canonical_dates(cells: Any, order: str) -> Any:
    """Rewrite the texts that are dates in an order of day and month, to ISO 8601; the others stay."""
    if order == "iso":
        return cells
    whole = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    result = pa.nulls(len(whole), whole.type)
    for pattern in date_patterns(order):
        result = pc.coalesce(result, _iso(pc.extract_regex(whole, pattern), whole.type))
    return pc.coalesce(result, whole)


def match_dates(cells: Any, order: str) -> Any:
    """Find the texts that are dates in an order of day and month: boolean, null where a cell is."""
    first, *others = (pc.match_substring_regex(cells, pattern) for pattern in date_patterns(order))
    for other in others:
        first = pc.or_(first, other)
    return first


@cache
def date_patterns(order: str) -> tuple[str, ...]:
    """Return the regular expressions of dates in an order: with dots, slashes and hyphens, and a time or none."""
    return tuple(rf"^\s*{mark.join(_ORDERS[order])}{_CLOCK}\s*$" for mark in (r"\.", "/", "-"))


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def number_pattern(data: CellFormats) -> str:
    """Return the regular expression of numbers in the format of some settings."""
    return _number_pattern(data.decimal, data.thousands, data.units)


@cache
def _number_pattern(decimal: str, thousands: str | None, units: tuple[str, ...]) -> str:
    mark = _MARKS[decimal]
    whole = rf"([1-9]\d{{0,2}}({_MARKS[thousands]}\d{{3}})+|\d+)" if thousands else r"\d+"
    number = rf"({whole}({mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?"
    space = r"[\s\x{a0}\x{202f}]*"
    unit = rf"({'|'.join(map(re.escape, sorted(units, key=len, reverse=True)))})?" if units else ""
    return rf"^{space}({unit}{space}{_SIGN}?|{_SIGN}?{space}{unit}){space}{number}{space}{unit}{space}$"


def _iso(parts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Join the parts of dates: "2026-11-30", or "2026-11-30 13:05:00" with a time. Null where there are none."""
    names = ("year", "month", "day", "hour", "minute", "second", "half", "zone")
    year, month, day, hour, minute, second, half, zone = (
        pc.struct_field(parts, name).cast(pa.large_string()) for name in names
    )
    date = _join("-", year, _two_digits(month), _two_digits(day))
    given, upper = pc.not_equal(hour, ""), pc.utf8_upper(half)
    count = pc.if_else(given, hour, "0").cast(pa.int64())
    twelve = pc.if_else(pc.equal(count, 12), 0, count)  # 12 AM is midnight, 12 PM is noon
    count = pc.if_else(pc.equal(upper, "A"), twelve, pc.if_else(pc.equal(upper, "P"), pc.add(twelve, 12), count))
    minute = _join(":", _two_digits(count.cast(pa.large_string())), minute)
    second = pc.if_else(pc.equal(second, ""), ":00", second)
    time = _join("", minute, second, pc.replace_substring(zone, " ", ""))
    return pc.if_else(given, _join(" ", date, time), date).cast(kind)


def _join(separator: str, *parts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*parts, pa.scalar(separator, pa.large_string()))


def _two_digits(text: pa.Array) -> pa.Array:
    return pc.utf8_lpad(text, 2, "0")


def _decode(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in a type that the functions here take: without a dictionary, and no views."""
    kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    return cells.cast(pa.large_string() if pa.types.is_string_view(kind) else kind)


def _find_points(cells: pa.ChunkedArray, data: CellFormats) -> tuple[list[int], list[int]]:
    """Find numbers with a point where the decimal mark is a comma: rows in which it may be between thousands, and others."""
    if data.decimal != ",":
        return [], []
    plain = pc.match_substring_regex(cells, rf"^\s*{_SIGN}?(\d*\.\d+|\d+\.)([eE][+-]?\d+)?\s*$")
    point = pc.and_not(plain, match_numbers(cells, data))
    unclear = pc.and_(point, pc.match_substring_regex(cells, rf"^\s*{_SIGN}?[1-9]\d{{0,2}}\.\d{{3}}\s*$"))
    return _true_rows(unclear), _true_rows(pc.and_not(point, unclear))


def _true_rows(mask: pa.ChunkedArray) -> list[int]:
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy()).tolist()


def _is_read(column: str, data: CellFormats) -> bool:
    """Whether a column may be an input, or is a target."""
    if not isinstance(data, DataConfig):
        return True
    if not data.inputs:
        return column not in data.exclude
    named = data.inputs.values() if isinstance(data.inputs, Mapping) else data.inputs
    return column in named or column in data.target


def _two_numbers(name: str, cell: str) -> str:
    point, thousands = cell.strip(), cell.strip().replace(".", "")
    return (
        f"the column '{name}' has a number with a point, such as {cell!r:.60}, which is {thousands} if the point is between "
        f'thousands, or {point} although data.decimal is ","; in the first case, write data.thousands = "."'
    )
