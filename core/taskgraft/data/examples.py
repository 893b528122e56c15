"""Data sets of processed inputs and encoded targets, and the iterators that load batches of them."""

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
from taskgraft.processes.workers import parallel_map, worker_count

TargetMixer = Callable[[Batch, Batch, Tensor], Batch]
"""(targets, targets of the partners, shares) → targets of mixed rows."""


class Targets(Protocol):
    """Encoded targets of all rows. A :class:`Batch` is one."""

    def __len__(self) -> int: ...

    def select(self, rows: RowIndices) -> Batch:
        """Return some rows, in the order given."""


class Augmenter(Protocol):
    """Makes randomly augmented training examples. Is sent to loader workers."""

    @property
    def heavy(self) -> bool:
        """Whether augmenting is slow enough for worker processes to pay."""

    def augment(self, rows: RowIndices, seeds: Sequence[int]) -> tuple[Batch, Batch]:
        """Return the inputs and targets of some rows.

        Args:
            seeds: one per row; all random choices for a row come from its seed.
        """


@dataclass(frozen=True)
class EncodedDataset:
    """Rows ready for a backbone or head.

    Attributes:
        inputs: states at a cut of the backbone, or its features.
        targets: encoded by the head, in the order of the rows.
        augmenter: makes the examples of each training epoch in place of both; None without augmentation.
    """

    inputs: RowSource
    targets: Targets
    augmenter: Augmenter | None = None

    def __len__(self) -> int:
        return len(self.inputs)


def all_targets(targets: Targets) -> Batch:
    """Return the targets of all rows at once."""
    return targets if isinstance(targets, Batch) else targets.select(range(len(targets)))


@dataclass(frozen=True)
class AugmentedRows:
    """Augments training examples with the backbone's processor; ``mix_targets`` makes the targets of mixed ones."""

    inputs: OnTheFlyInputs
    targets: Targets
    mix_targets: TargetMixer
    heavy: bool = True

    def augment(self, rows: RowIndices, seeds: Sequence[int]) -> tuple[Batch, Batch]:
        """Return augmented rows and their targets."""
        augmented, targets = self.inputs.augment(rows, seeds), self.targets.select(rows)
        if augmented.partners is not None and augmented.shares is not None:
            targets = self.mix_targets(targets, targets.select(augmented.partners.tolist()), augmented.shares)
        return augmented.batch, targets


@dataclass(frozen=True)
class EpochSeed:
    """Identifies an epoch (from 0) of the run with a seed, for seeding its rows."""

    seed: int
    epoch: int

    def seeds(self, rows: RowIndices) -> list[int]:
        """Return one seed per row. It depends on the row alone, not on its batch."""
        return [int(np.random.SeedSequence((self.seed, self.epoch, int(row))).generate_state(1)[0]) for row in rows]


@dataclass(frozen=True)
class LocalBatch:
    """The rows of a batch that this process computes; ``counted`` is 0 where it only stays in step with other processes."""

    inputs: Batch
    targets: Batch
    counted: int

    def split(self, size: int, fewest: int = 1) -> "list[LocalBatch]":
        """Split into micro-batches of at most ``size`` rows.

        Args:
            fewest: join a last micro-batch of fewer rows to the one before.
        """
        count = len(self.targets)
        if count <= size:
            return [self]
        starts = list(range(0, count, size))
        if count - starts[-1] < fewest:
            starts.pop()
        return [
            LocalBatch(self.inputs.select(rows), self.targets.select(rows), min(self.counted, len(rows)))
            for rows in map(range, starts, [*starts[1:], count])
        ]


def iter_training_batches(
    dataset: EncodedDataset,
    batches: Sequence[RowIndices],
    epoch_seed: EpochSeed,
    workers: int | None = 0,
    index: int = 0,
    count: int = 1,
) -> Iterator[LocalBatch]:
    """Load training batches, in the order given.

    Args:
        epoch_seed: seeds the augmentation.
        workers: loader processes; 0 loads here, None chooses by the machine. The batches are the same.
        index: which process this is, of ``count``.

    Raises:
        InvalidRows: for rows that can no longer be processed.
    """
    heavy = dataset.inputs.heavy if dataset.augmenter is None else dataset.augmenter.heavy
    load = partial(_load_batch, dataset, epoch_seed, index, count)
    return parallel_map(load, batches, worker_count(workers, heavy=heavy))


def iter_batches(inputs: RowSource, batches: Sequence[RowIndices], workers: int | None) -> Iterator[Batch]:
    """Load batches for inference, in the order given.

    Args:
        workers: as for :func:`iter_training_batches`; inputs that are cheap to gather are always loaded here.
    """
    return parallel_map(inputs.gather, batches, worker_count(workers, heavy=True) if inputs.heavy else 0)


def _load_batch(
    dataset: EncodedDataset, epoch_seed: EpochSeed, index: int, count: int, batch: RowIndices
) -> LocalBatch:
    rows, counted = shard_batch(batch, index, count)
    if dataset.augmenter is None:
        return LocalBatch(dataset.inputs.gather(rows), dataset.targets.select(rows), counted)
    return LocalBatch(*dataset.augmenter.augment(rows, epoch_seed.seeds(rows)), counted)
