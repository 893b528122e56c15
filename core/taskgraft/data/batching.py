"""Batches: rows of similar length together, shuffled from (seed, epoch), sharded per process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from taskgraft.contract.batch import RowIndices
from taskgraft.recipe import TrainingConfig

IndexArray = NDArray[np.int64]
"""Row indices, ``(row,)``."""

_SORT_WINDOW = 32
"""Batches whose rows are sorted by length together. Larger wastes less padding; smaller mixes more."""


@dataclass(frozen=True)
class BatchBudget:
    """The largest batch.

    Attributes:
        rows: at most this many.
        elements: at most this many positions, padding included: rows times the length of the longest. A longer row makes a
            batch of its own. None for no limit.
    """

    rows: int
    elements: int | None = None

    def cut(self, order: IndexArray, lengths: IndexArray) -> Iterator[IndexArray]:
        """Cut rows into batches, in their order.

        Args:
            order: ``(row,)`` int64, the rows to cut.
            lengths: ``(row,)`` int64, the length of every row of the data.
        """
        start = 0
        while start < len(order):
            batch = order[start : start + self.rows]
            if self.elements is not None:
                padded = np.maximum.accumulate(lengths[batch]) * np.arange(1, len(batch) + 1)
                batch = batch[: max(int(np.searchsorted(padded, self.elements, side="right")), 1)]
            yield batch
            start += len(batch)


def batch_budget(settings: TrainingConfig) -> BatchBudget:
    """Read the batch budget of the training settings."""
    return BatchBudget(settings.batch_size, settings.batch_elements)


def training_batches(
    sizes: Sequence[int], budget: BatchBudget, seed: int, epoch: int, *, even: bool = False, fewest: int = 1
) -> list[IndexArray]:
    """Shuffle rows into batches of similar length.

    Args:
        sizes: the length of each row.
        even: put only rows of one length into a batch.
        fewest: join a batch of fewer rows to the next one, and the last to the one before (BatchNorm needs two rows).
    """
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    order, lengths = torch.randperm(len(sizes), generator=generator).numpy(), np.asarray(sizes)
    batches: list[IndexArray] = []
    for start in range(0, len(order), _SORT_WINDOW * budget.rows):
        window = order[start : start + _SORT_WINDOW * budget.rows]
        batches += _cut(window[np.argsort(lengths[window], kind="stable")], lengths, budget, even)
    batches = _join_short(batches, fewest)
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[index] for index in shuffled]


def inference_batches(sizes: Sequence[int], budget: BatchBudget, *, even: bool = False) -> list[IndexArray]:
    """Put rows into batches, longest first, so that a batch too large for memory fails at once."""
    lengths = np.asarray(sizes, dtype=np.int64)
    return _cut(np.argsort(-lengths, kind="stable"), lengths, budget, even)


def shard_batch(batch: RowIndices, index: int, count: int) -> tuple[RowIndices, int]:
    """Return the rows of a batch that one process computes.

    Returns:
        the rows, at least one (a process without work computes the first row, to stay in step), and how many of them count.
    """
    shard = batch[index::count]
    return (shard, len(shard)) if len(shard) else (batch[:1], 0)


def _cut(order: IndexArray, lengths: IndexArray, budget: BatchBudget, even: bool) -> list[IndexArray]:
    """Cut sorted rows into batches; for even ones, also wherever the length changes."""
    runs = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1) if even else [order]
    return [batch for run in runs for batch in budget.cut(run, lengths)]


def _join_short(batches: Sequence[IndexArray], fewest: int) -> list[IndexArray]:
    joined: list[IndexArray] = []
    for batch in batches:
        if joined and len(joined[-1]) < fewest:
            joined[-1] = np.concatenate([joined[-1], batch])
        else:
            joined.append(batch)
    if len(joined) > 1 and len(joined[-1]) < fewest:
        last = joined.pop()
        joined[-1] = np.concatenate([joined[-1], last])
    return joined
