"""A share of the rows, drawn at random from each class."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from taskgraft.builtin.splits.configs import FractionConfig
from taskgraft.contract.rows import Rows


def by_fraction(rows: Rows, targets: Sequence[str], config: FractionConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Hold out a share of each class; a class with one row stays in training.

    Where most rows have a target of their own, as numbers and texts have, there are no classes, and rows are drawn
    regardless of it.
    """
    groups = _groups(rows, targets)
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    rank = {row: place for place, row in enumerate(order)}
    wanted = round(config.validation * len(rows))
    if 2 * len(groups) > len(rows):
        return _parts(len(rows), set(order[:wanted]))
    groups = [sorted(group, key=rank.__getitem__) for group in groups]
    held: set[int] = set()
    for group, count in zip(groups, _shares([len(group) for group in groups], config.validation, wanted), strict=True):
        held.update(group[:count])
    return _parts(len(rows), held)


def _groups(rows: Rows, targets: Sequence[str]) -> list[list[int]]:
    """Put rows with equal targets together; without targets, all rows."""
    if not targets:
        return [list(range(len(rows)))]
    found: dict[Hashable, list[int]] = {}
    for row, values in enumerate(zip(*(rows.values(target) for target in targets), strict=True)):
        found.setdefault(repr(values), []).append(row)
    return list(found.values())


def _shares(sizes: Sequence[int], fraction: float, wanted: int) -> list[int]:
    """Round the share of each class so that they sum to what is wanted, as far as each class keeps one row."""
    exact = [size * fraction for size in sizes]
    shares = [min(int(share), size - 1) for share, size in zip(exact, sizes, strict=True)]
    by_rest = sorted(range(len(sizes)), key=lambda one: shares[one] - exact[one])
    for one in by_rest:
        if sum(shares) >= wanted:
            break
        shares[one] = min(shares[one] + 1, sizes[one] - 1)
    return shares


def _parts(count: int, held: set[int]) -> Mapping[str, Sequence[int]]:
    return {"train": [row for row in range(count) if row not in held], "validation": sorted(held)}
