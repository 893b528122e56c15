"""Which rows go into which batch: examples of similar length together, drawn anew from (seed, epoch)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from taskgraft.batch import RowNumbers

Order = NDArray[np.int64]
"""Numbers of rows, ``(row,)``."""

WINDOW = 32
"""Batches whose rows are sorted by length together. Larger wastes less padding; smaller mixes more."""


def training_batches(
    sizes: Sequence[int], size: int, seed: int, epoch: int, *, even: bool = False, no_single: bool = False
) -> list[Order]:
    """Shuffle rows into batches of similar length.

    Args:
        sizes: the length of each row.
        size: rows per batch.
        even: put only rows of one length into a batch.
        no_single: join a last batch of one row to the one before (BatchNorm cannot learn from one row).
    """
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    order, lengths = torch.randperm(len(sizes), generator=generator).numpy(), np.asarray(sizes)
    batches: list[Order] = []
    for start in range(0, len(order), WINDOW * size):
        window = order[start : start + WINDOW * size]
        batches += _cut(window[np.argsort(lengths[window], kind="stable")], lengths, size, even)
    if no_single:
        batches = _joined(batches)
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[index] for index in shuffled]


def inference_batches(sizes: Sequence[int], size: int, *, even: bool = False) -> list[Order]:
    """Put rows into batches, longest first, so that a batch too large for memory shows at once."""
    lengths = np.asarray(sizes, dtype=np.int64)
    return _cut(np.argsort(-lengths, kind="stable"), lengths, size, even)


def share(batch: RowNumbers, index: int, count: int) -> tuple[RowNumbers, int]:
    """Give one process its rows of a batch.

    Returns:
        the rows, never none (a process without work computes the first row, to keep in step), and how many count.
    """
    mine = batch[index::count]
    return (mine, len(mine)) if len(mine) else (batch[:1], 0)


def _cut(order: Order, lengths: Order, size: int, even: bool) -> list[Order]:
    """Cut sorted rows into batches; where they are to be even, also wherever the length changes."""
    runs = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1) if even else [order]
    return [run[start : start + size] for run in runs for start in range(0, len(run), size)]


def _joined(batches: list[Order]) -> list[Order]:
    joined: list[Order] = []
    for batch in batches:
        if joined and (len(batch) == 1 or len(joined[-1]) == 1):
            joined[-1] = np.concatenate([joined[-1], batch])
        else:
            joined.append(batch)
    return joined
