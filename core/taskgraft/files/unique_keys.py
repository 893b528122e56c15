"""JSON objects without duplicate keys: parsers differ in which of the values they take."""

from typing import Any


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object, as the ``object_pairs_hook`` of :func:`json.loads`. ValueError for a duplicate key."""
    names = [name for name, _ in pairs]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"the key '{repeated[0]}' is used twice in one object")
    return dict(pairs)
