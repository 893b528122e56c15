"""Sizes that a configuration asks for, compared with limits."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from taskgraft.plugin import InvalidCheckpoint, read_json

MAX_SIZE, MAX_REPEATS, MAX_LABELS = 100_000_000, 10_000, 1_000_000
"""Largest size, number of layers, and number of labels in a configuration. Libraries make lists of the latter two."""

_REPEATED = re.compile(r"layers?$|^n_layer|depths?$|blocks?$|groups$|stages?$", re.IGNORECASE)
_SIZE = re.compile(r"size|dim|heads?$|^d_|channels?$|^n_|^num_|positions?$|experts", re.IGNORECASE)


def check_sizes(folder: Path, name: str) -> None:
    """Refuse a config.json whose sizes no model has. Raises InvalidCheckpoint.

    Args:
        name: of the checkpoint, for messages.
    """
    for key, value in _numbers(read_json(folder / "config.json") or {}):
        most = MAX_LABELS if "label" in key else MAX_REPEATS if _REPEATED.search(key) else MAX_SIZE
        if value > most and ("label" in key or _REPEATED.search(key) or _SIZE.search(key)):
            raise InvalidCheckpoint(
                name, f"its configuration says {key} = {value:.6g}, more than the limit of {most:,}"
            )


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Give all numbers in a document, each with the nearest key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, name)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value
