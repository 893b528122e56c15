"""Which rows go into which batch: examples of similar length together, drawn anew from (seed, epoch)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from taskgraft.contract.batch import RowIndices
from taskgraft.contract.recipe import TrainingConfig

Order = NDArray[np.int64]
"""Numbers of rows, ``(row,)``."""

WINDOW = 32
"""Batches whose rows are sorted by length together. Larger wastes less padding; smaller mixes more."""


@dataclass(frozen=True)
class BatchBudget:
    """How much goes into one batch.

    Attributes:
        rows: at most.
        elements: positions at most, padding counted: rows times the length of the longest. A longer row stands alone. None for
            any number.
    """

    rows: int
    elements: int | None = None

    def cut(self, order: Order, lengths: Order) -> Iterator[Order]:
        """Cut rows into batches, in their order.

        Args:
            order: ``(row,)`` int64, rows to come into batches.
            lengths: ``(row,)`` int64, the length of every row there is.
        """
        start = 0
        while start < len(order):
            some = order[start : start + self.rows]
            if self.elements is not None:
                padded = np.maximum.accumulate(lengths[some]) * np.arange(1, len(some) + 1)
                some = some[: max(int(np.searchsorted(padded, self.elements, side="right")), 1)]
            yield some
            start += len(some)


def limit_of(settings: TrainingConfig) -> BatchBudget:
    """Read how much goes into a batch."""
    return BatchBudget(settings.batch_size, settings.batch_elements)


def training_batches(
    sizes: Sequence[int], limit: BatchBudget, seed: int, epoch: int, *, even: bool = False, no_single: bool = False
) -> list[Order]:
    """Shuffle rows into batches of similar length.

    Args:
        sizes: the length of each row.
        limit: of a batch.
        even: put only rows of one length into a batch.
        no_single: join a last batch of one row to the one before (BatchNorm cannot learn from one row).
    """
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    order, lengths = torch.randperm(len(sizes), generator=generator).numpy(), np.asarray(sizes)
    batches: list[Order] = []
    for start in range(0, len(order), WINDOW * limit.rows):
        window = order[start : start + WINDOW * limit.rows]
        batches += _cut(window[np.argsort(lengths[window], kind="stable")], lengths, limit, even)
    if no_single:
        batches = _joined(batches)
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[index] for index in shuffled]


def inference_batches(sizes: Sequence[int], limit: BatchBudget, *, even: bool = False) -> list[Order]:
    """Put rows into batches, longest first, so that a batch too large for memory shows at once."""
    lengths = np.asarray(sizes, dtype=np.int64)
    return _cut(np.argsort(-lengths, kind="stable"), lengths, limit, even)


def shard_batch(batch: RowIndices, index: int, count: int) -> tuple[RowIndices, int]:
    """Give one process its rows of a batch.

    Returns:
        the rows, never none (a process without work computes the first row, to keep in step), and how many count.
    """
    mine = batch[index::count]
    return (mine, len(mine)) if len(mine) else (batch[:1], 0)


def _cut(order: Order, lengths: Order, limit: BatchBudget, even: bool) -> list[Order]:
    """Cut sorted rows into batches; where they are to be even, also wherever the length changes."""
    runs = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1) if even else [order]
    return [batch for run in runs for batch in limit.cut(run, lengths)]


def _joined(batches: list[Order]) -> list[Order]:
    joined: list[Order] = []
    for batch in batches:
        if joined and (len(batch) == 1 or len(joined[-1]) == 1):
            joined[-1] = np.concatenate([joined[-1], batch])
        else:
            joined.append(batch)
    return joined
