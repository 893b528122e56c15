"""Sizes that a configuration asks for, compared with limits and with what the checkpoint stores."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from taskgraft.plugin import InvalidCheckpoint, read_json, weight_files

MAX_SIZE, MAX_REPEATS, MAX_LABELS = 100_000_000, 10_000, 1_000_000
"""Largest size, number of layers, and number of labels in a configuration. Libraries make lists of the latter two."""

RATIO, FREE = 8, 64 * 2**20
"""A model takes at most so many times the bytes that its checkpoint stores (it may store 4 bits for 32), and so many more."""

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


def check_stored(folder: Path, name: str, model: nn.Module, dtype: torch.dtype) -> None:
    """Compare a model on the meta device with the weights that a folder stores for it.

    Raises:
        InvalidCheckpoint: if the model is many times larger, before memory is taken for it.
    """
    needed = sum(tensor.numel() for tensor in model.parameters()) * dtype.itemsize
    stored = sum(min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512) for status in _status(folder))
    if needed > RATIO * stored + FREE:
        problem = f"its configuration describes a model of {needed:,} bytes, but its weight files have {stored:,}"
        raise InvalidCheckpoint(name, problem)


def _status(folder: Path) -> Iterator[Any]:
    """Give the status of each weight file; a sparse one, which is all zeros, takes fewer blocks than its size says."""
    return (path.stat() for path in weight_files(folder))


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
