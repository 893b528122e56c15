"""Prepared examples and their targets, and how batches of them are put together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from torch import Tensor

from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.data.batching import shard_batch
from taskgraft.data.on_the_fly import OnTheFlyInputs
from taskgraft.data.tensor_cache import RowSource
from taskgraft.data.workers import parallel_map, worker_count

Blend = Callable[[Batch, Batch, Tensor], Batch]
"""(targets, targets of the partners, shares) → targets of rows that were mixed."""


class Targets(Protocol):
    """Encoded targets of all rows. A :class:`Batch` is one."""

    def __len__(self) -> int: ...

    def select(self, rows: RowIndices) -> Batch:
        """Take some rows, in the order given."""


class Augmenter(Protocol):
    """Makes training examples with something drawn at random. Is sent to loader workers.

    Attributes:
        heavy: whether that takes so much work that worker processes are worth their while.
    """

    @property
    def heavy(self) -> bool: ...

    def draw(self, rows: RowIndices, seeds: Sequence[int]) -> tuple[Batch, Batch]:
        """Give the inputs and targets of some rows.

        Args:
            seeds: one per row; all random choices for a row come from its seed.
        """


@dataclass(frozen=True)
class EncodedDataset:
    """Rows ready for a backbone or head.

    Attributes:
        inputs: what lies at a cut of the backbone, or its features.
        targets: encoded by the head, in the order of the rows.
        drawn: makes training examples instead, anew in each epoch; None where they are always the same.
    """

    inputs: RowSource
    targets: Targets
    drawn: Augmenter | None = None

    def __len__(self) -> int:
        return len(self.inputs)


def all_targets(targets: Targets) -> Batch:
    """Give the targets of all rows at once."""
    return targets if isinstance(targets, Batch) else targets.select(range(len(targets)))


@dataclass(frozen=True)
class AugmentedRows:
    """Varies training examples at random.

    Attributes:
        targets: of all rows.
        blend: makes the targets of examples that were mixed.
    """

    fresh: OnTheFlyInputs
    targets: Targets
    blend: Blend
    heavy: bool = True

    def draw(self, rows: RowIndices, seeds: Sequence[int]) -> tuple[Batch, Batch]:
        """Give varied rows and their targets."""
        varied, targets = self.fresh.augment(rows, seeds), self.targets.select(rows)
        if varied.partners is not None and varied.shares is not None:
            targets = self.blend(targets, targets.select(varied.partners.tolist()), varied.shares)
        return varied.batch, targets


@dataclass(frozen=True)
class EpochSeed:
    """Which time it is that training goes through the rows.

    Attributes:
        seed: of the run.
        epoch: from 0.
    """

    seed: int
    epoch: int

    def seeds(self, rows: RowIndices) -> list[int]:
        """Augmenter one seed per row, the same whatever its companions."""
        return [int(np.random.SeedSequence((self.seed, self.epoch, int(row))).generate_state(1)[0]) for row in rows]


@dataclass(frozen=True)
class LocalBatch:
    """What one process gets of a batch.

    Attributes:
        counted: how many of the rows count; 0 for a process that only keeps in step.
    """

    inputs: Batch
    targets: Batch
    counted: int

    def split(self, size: int, *, no_single: bool = False) -> "list[LocalBatch]":
        """Take it apart into pieces of at most some rows.

        Args:
            no_single: join a last row that would be alone to the piece before.
        """
        rows = list(range(len(self.targets)))
        if len(rows) <= size:
            return [self]
        starts = list(range(0, len(rows), size))
        if no_single and len(starts) > 1 and starts[-1] == len(rows) - 1:
            starts.pop()
        ends = [*starts[1:], len(rows)]
        return [self._some(rows[start:end]) for start, end in zip(starts, ends, strict=True)]

    def _some(self, rows: Sequence[int]) -> "LocalBatch":
        return LocalBatch(self.inputs.select(rows), self.targets.select(rows), min(self.counted, len(rows)))


def iter_training_batches(
    examples: EncodedDataset,
    batches: Sequence[RowIndices],
    turn: EpochSeed,
    workers: int | None = 0,
    index: int = 0,
    count: int = 1,
) -> Iterator[LocalBatch]:
    """Load batches to learn from, in the order given.

    Args:
        turn: decides how examples vary.
        workers: processes that put batches together; 0 does it here, None leaves it to the machine. The batches are the same.
        index: which process this is, of ``count``.

    Raises:
        InvalidRows: for rows that can no longer be prepared.
    """
    heavy = examples.inputs.heavy if examples.drawn is None else examples.drawn.heavy
    return parallel_map(partial(_piece, examples, turn, index, count), batches, worker_count(workers, heavy=heavy))


def iter_batches(inputs: RowSource, batches: Sequence[RowIndices], workers: int | None) -> Iterator[Batch]:
    """Gather batches to look at, in the order given.

    Args:
        workers: as for :func:`iter_training_batches`; where gathering is no work, it is done here.
    """
    return parallel_map(inputs.gather, batches, worker_count(workers, heavy=True) if inputs.heavy else 0)


def _piece(examples: EncodedDataset, turn: EpochSeed, index: int, count: int, batch: RowIndices) -> LocalBatch:
    rows, counted = shard_batch(batch, index, count)
    if examples.drawn is None:
        return LocalBatch(examples.inputs.gather(rows), examples.targets.select(rows), counted)
    return LocalBatch(*examples.drawn.draw(rows, turn.seeds(rows)), counted)
