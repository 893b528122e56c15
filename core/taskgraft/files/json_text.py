"""JSON from files: a limit on nesting, no duplicate keys, no text that cannot be written again."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from taskgraft.files.unique_keys import unique_keys

MAX_DEPTH = 100
"""Levels of lists and objects within each other. Recipes, manifests and rows of real data have fewer than ten."""


def parse_json(content: bytes | str, *, constant: Callable[[str], Any] | None = None) -> Any:
    """Parse a JSON document of UTF-8 text, perhaps with a byte order mark.

    Args:
        constant: turns ``NaN``, ``Infinity`` and ``-Infinity`` into a value or raises ValueError; None reads them as floats.

    Raises:
        ValueError: for text that is no JSON, a duplicate key, deeper nesting than :data:`MAX_DEPTH`, a whole number of more
            than 4,300 digits, or half a surrogate pair. The message is a clause for a sentence.
    """
    text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    try:
        value = json.loads(text, object_pairs_hook=unique_keys, parse_constant=constant)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    if "\\u" in text:  # only an escape can write half a pair: UTF-8 has none
        _check_surrogates(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _inner(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [one for one in values if isinstance(one, Mapping | list)]


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"it has half a surrogate pair ({half}), which is no character") from None
