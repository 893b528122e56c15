"""JSON from files: a limit on nesting, no duplicate keys, no text that cannot be written again."""

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from taskgraft.errors import shorten

MAX_DEPTH = 100
"""Levels of lists and objects within each other. Recipes, manifests and rows of real data have fewer than ten."""


def parse_json(content: bytes | str, *, constant: Callable[[str], Any] | None = None) -> Any:
    """Parse a JSON document of UTF-8 text, perhaps with a byte order mark.

    Args:
        constant: turns ``NaN``, ``Infinity`` and ``-Infinity`` into a value or raises ValueError; None reads them as floats.

    Raises:
        ValueError: for text that is no JSON, a duplicate key, deeper nesting than :data:`MAX_DEPTH`, a whole number of more
            than 4,300 digits, a number beyond the range of floats, or a lone surrogate. The message is a clause for a
            sentence.
    """
    text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=constant, parse_float=finite_float)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise ValueError(number_problem(error)) from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        check_depth(value)
    if "\\u" in text or (isinstance(content, str) and not text.isascii()):  # UTF-8 itself has no half pair
        check_characters(value)
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object. Parsers differ in which value of a duplicate key they take: it is a ValueError."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the key '{repeated}' is used twice in one object")
    return unique


def check_depth(value: Any) -> None:
    """Check the nesting of lists and objects. Raises ValueError as :func:`parse_json` does."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _inner(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [one for one in values if isinstance(one, Mapping | list)]


def check_characters(value: Any) -> None:
    """Check a JSON value for lone surrogates. Raises ValueError as :func:`parse_json` does."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"it has a lone surrogate ({half}), which is not a character") from None


def finite_float(text: str) -> float:
    """Read a float. Raises ValueError for one that is written in digits, but too large."""
    value = float(text)
    if math.isinf(value) and "inf" not in text:
        raise ValueError(f"the number {shorten(text, 40)} is too large")
    return value


def number_problem(error: ValueError) -> str:
    """Return the clause of an error of a parser; that of int() about too many digits as a clause too."""
    if str(error).startswith("Exceeds the limit"):
        return f"it has a whole number of more than {sys.get_int_max_str_digits():,} digits"
    return str(error)
