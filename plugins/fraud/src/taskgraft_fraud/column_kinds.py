"""The kind of a column, inferred from its cells: number, category or time. What is unclear is refused, not guessed."""

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.plugin import CODE_PATTERN, NUMBER_PATTERN, FormatAdvice, advise_dates, advise_numbers
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.parse_cells import is_number, is_text, is_time, matching_share, truth_values
from taskgraft_fraud.parse_times import time_share

Kind = Literal["number", "category", "time"]

INFINITY_PATTERN = "(?i)^[+-]?inf(inity)?$"
"""Infinity as text: its row is invalid, as that of an infinite number."""

PATTERN_SHARE = 0.9
"""A text column of whose values this share are numbers, or times, is of that kind; the other cells are invalid."""

RESEMBLANCE_SHARE = 0.5
"""A text column of whose values more than this share resemble numbers or times is refused, if it is not of that kind."""

CATEGORY_ALTERNATIVE = 'declare it a category: columns = {NAME = "category"}'
"""What else may be done with a column, for messages; NAME is its name."""

NUMBER_LIKE = r"^\D{0,6}\d[\d.,'\x{2019}:/+ \-\x{a0}\x{202f}TZ]*\D{0,6}$"
"""Texts that may be a number or a date in some format; the formats themselves are tried."""

MONTH_NAME = r"(?i)(jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*"

UNREAD_TEXTS: Mapping[str, str] = {
    r"^(\[.*\]|\{.*\})$": "it holds lists or structures",
    r"^(-?\d+ days?(,? \+?\d{1,2}:\d\d:\d\d(\.\d+)?)?|-?P(\d+D)?(T(\d+H)?(\d+M)?([\d.]+S)?)?)$": (
        "it holds durations; make numbers of them, such as seconds"
    ),
    r"^([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?$": "it holds times of day; make numbers of them, such as hours",
    r"^\d{1,2}[./-]\d{1,2}[./-]\d\d( .*)?$": "it holds dates with a year of two digits; write four",
    rf"^(\d{{1,2}}\.?[ -]{MONTH_NAME}\.?[ ,-]+\d{{4}}|{MONTH_NAME}\.? \d{{1,2}},? \d{{4}})( .*)?$": (
        "it holds dates with names of months; write them as 2026-11-30"
    ),
}
"""Pattern → what is wrong with a column that most of whose values match it."""


def infer_kind(cells: pa.Array, name: str) -> Kind:
    """Infer the kind of a column.

    Texts are numbers, or times, if nearly all non-empty ones match: one typo must not turn a column of amounts into categories;
    it becomes an invalid row. They are not numbers if one looks like a code ("007"). A column that resembles numbers or times,
    but is of neither kind, is never made a category without being asked.

    Raises:
        FraudError: for a column of a type that table models do not read, such as lists; and for texts that resemble numbers or
            times, with the setting to write.
    """
    if is_text(cells.type):
        return _infer_text_kind(cells, name)
    if pa.types.is_boolean(cells.type):
        return "category"
    if is_number(cells.type):
        return "number"
    if is_time(cells.type):
        return "time"
    if pa.types.is_nested(cells.type):
        raise unusable_column(name, next(iter(UNREAD_TEXTS.values())))
    raise unusable_column(name, f"its type {cells.type} is not supported")


def unusable_column(name: str, problem: str, alternative: str = "") -> FraudError:
    """Make the error about a column that cannot be used."""
    also = f", or {alternative.replace('NAME', _key(name))}" if alternative else ""
    return FraudError(f"The column '{name}' cannot be used: {problem}. Leave it out of data.inputs{also}.")


def _infer_text_kind(text: pa.Array, name: str) -> Kind:
    numbers = pc.match_substring_regex(text, NUMBER_PATTERN)
    if pc.any(numbers).as_py():  # truth values among numbers are numbers, as they are to Arrow
        text = truth_values(text, "1", "0")
    if pc.any(pc.and_(numbers, pc.match_substring_regex(text, CODE_PATTERN))).as_py():
        return "category"
    if matching_share(text, rf"{NUMBER_PATTERN}|{INFINITY_PATTERN}") >= PATTERN_SHARE:
        return "number"
    if time_share(text) >= PATTERN_SHARE:
        return "time"
    for pattern, problem in UNREAD_TEXTS.items():
        if matching_share(text, pattern) > RESEMBLANCE_SHARE:
            raise unusable_column(name, problem, "" if "lists" in problem else CATEGORY_ALTERNATIVE)
    if matching_share(text, NUMBER_LIKE) > RESEMBLANCE_SHARE:
        advice = max(advise_numbers(text), advise_dates(text), key=lambda advice: advice.share)
        if advice.share > RESEMBLANCE_SHARE:
            raise _unclear_column(name, advice)
    return "category"


def _unclear_column(name: str, advice: FormatAdvice) -> FraudError:
    sentences = [*advice.settings, f'If it is a category, write columns = {{{_key(name)} = "category"}}']
    return FraudError(f"The column '{name}' holds {advice.problem}. {'. '.join(sentences)}.")


def _key(name: str) -> str:
    """Write a name as a key of a recipe."""
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else f'"{name}"'
