"""Which rows go into which batch: examples of similar length together, drawn anew from (seed, epoch)."""

from collections.abc import Sequence

import numpy as np
import torch

WINDOW = 32
"""Batches whose rows are sorted by length together. Larger wastes less padding; smaller mixes more."""


def training_batches(
    sizes: Sequence[int], size: int, seed: int, epoch: int, *, even: bool = False, no_single: bool = False
) -> list[list[int]]:
    """Shuffle rows into batches of similar length.

    Args:
        sizes: the length of each row.
        size: rows per batch.
        even: put only rows of one length into a batch.
        no_single: join a last batch of one row to the one before (BatchNorm cannot learn from one row).
    """
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    order, lengths = torch.randperm(len(sizes), generator=generator).numpy(), np.asarray(sizes)
    batches: list[list[int]] = []
    for start in range(0, len(order), WINDOW * size):
        window = order[start : start + WINDOW * size]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += _cut(window.tolist(), sizes, size, even)
    if no_single:
        batches = _joined(batches)
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[index] for index in shuffled]


def inference_batches(sizes: Sequence[int], size: int, *, even: bool = False) -> list[list[int]]:
    """Put rows into batches, longest first, so that a batch too large for memory shows at once."""
    order = np.argsort(-np.asarray(sizes, dtype=np.int64), kind="stable")
    return _cut(order.tolist(), sizes, size, even)


def share(batch: Sequence[int], index: int, count: int) -> tuple[list[int], int]:
    """Give one process its rows of a batch.

    Returns:
        the rows, never none (a process without work computes the first row, to keep in step), and how many count.
    """
    mine = list(batch[index::count])
    return (mine, len(mine)) if mine else ([batch[0]], 0)


def _cut(order: list[int], sizes: Sequence[int], size: int, even: bool) -> list[list[int]]:
    if not even:
        return [order[start : start + size] for start in range(0, len(order), size)]
    batches: list[list[int]] = []
    for row in order:
        full = not batches or len(batches[-1]) == size
        if full or sizes[batches[-1][0]] != sizes[row]:
            batches.append([])
        batches[-1].append(row)
    return batches


def _joined(batches: list[list[int]]) -> list[list[int]]:
    joined: list[list[int]] = []
    for batch in batches:
        if joined and (len(batch) == 1 or len(joined[-1]) == 1):
            joined[-1] = joined[-1] + batch
        else:
            joined.append(batch)
    return joined
