"""Prepared examples and their targets, and the loader that puts them into batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from taskgraft.batch import Batch
from taskgraft.ordering import share
from taskgraft.store import Store


@dataclass(frozen=True)
class Examples:
    """Rows ready for a backbone or head.

    Attributes:
        inputs: what lies at a cut of the backbone, or its features.
        targets: encoded by the head, in the order of the rows.
    """

    inputs: Store
    targets: Batch

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Piece:
    """What one process gets of a batch.

    Attributes:
        counted: how many of the rows count; 0 for a process that only keeps in step.
    """

    inputs: Batch
    targets: Batch
    counted: int

    def split(self, size: int, *, no_single: bool = False) -> "list[Piece]":
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

    def _some(self, rows: Sequence[int]) -> "Piece":
        return Piece(self.inputs.rows(rows), self.targets.rows(rows), min(self.counted, len(rows)))


class _Pieces(Dataset[Piece]):
    def __init__(self, examples: Examples, batches: Sequence[Sequence[int]], index: int, count: int):
        self._examples, self._batches = examples, batches
        self._index, self._count = index, count

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Piece:
        if number >= len(self):
            raise IndexError(number)
        rows, counted = share(self._batches[number], self._index, self._count)
        return Piece(self._examples.inputs.gather(rows), self._examples.targets.rows(rows), counted)


def load(
    examples: Examples, batches: Sequence[Sequence[int]], workers: int = 0, index: int = 0, count: int = 1
) -> "DataLoader[Piece]":
    """Load batches in the order given.

    Args:
        workers: processes that put batches together; 0 does it here. The batches are the same.
        index: which process this is, of ``count``.
    """
    pieces = _Pieces(examples, batches, index, count)
    return DataLoader(pieces, batch_size=None, num_workers=workers, generator=torch.Generator())
