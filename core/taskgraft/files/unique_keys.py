"""JSON objects without duplicate keys: parsers differ in which of the values they take."""

from collections import Counter
from typing import Any


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object, as the ``object_pairs_hook`` of :func:`json.loads`. ValueError for a duplicate key."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the key '{repeated}' is used twice in one object")
    return unique
