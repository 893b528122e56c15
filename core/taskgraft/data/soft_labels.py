"""Soft targets beside encoded ones: what a teacher says of a row goes wherever the row goes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.data.examples import AugmentedRows, Blend, EncodedDataset, Targets
from taskgraft.data.tensor_cache import RowSource

TEACHER = "teacher."
"""Begins the names of soft targets, and of their axes, where they stand beside encoded targets."""


@dataclass(frozen=True)
class TargetsWithSoftLabels:
    """Encoded targets of all rows, with what a teacher says of each."""

    own: Targets
    soft: RowSource

    def __len__(self) -> int:
        return len(self.own)

    def select(self, rows: RowIndices) -> Batch:
        """Take some rows, in the order given."""
        return join_soft_labels(self.own.select(rows), self.soft.gather(rows))


def add_soft_labels(examples: EncodedDataset, soft: RowSource) -> EncodedDataset:
    """Put a teacher's soft targets beside the targets of examples; those of mixed examples are mixed by the same shares."""
    targets, drawn = TargetsWithSoftLabels(examples.targets, soft), examples.drawn
    if isinstance(drawn, AugmentedRows):
        drawn = replace(drawn, targets=targets, blend=partial(_blended, drawn.blend))
    return EncodedDataset(examples.inputs, targets, drawn)


def join_soft_labels(targets: Batch, soft: Batch) -> Batch:
    """Put soft targets beside encoded targets."""
    axes = {f"{TEACHER}{name}": tuple(f"{TEACHER}{axis}" for axis in some) for name, some in soft.axes.items()}
    return Batch(
        {**targets.tensors, **{f"{TEACHER}{name}": tensor for name, tensor in soft.tensors.items()}},
        {**targets.axes, **axes},
        {**targets.lengths, **{f"{TEACHER}{axis}": length for axis, length in soft.lengths.items()}},
    )


def split_soft_labels(targets: Batch) -> tuple[Batch, Batch]:
    """Take encoded targets and soft targets apart, as the loss of a stage with a teacher does."""
    return _half(targets, soft=False), _half(targets, soft=True)


def _half(targets: Batch, *, soft: bool) -> Batch:
    def mine(names: Iterable[str]) -> dict[str, str]:
        return {name.removeprefix(TEACHER): name for name in names if name.startswith(TEACHER) == soft}

    return Batch(
        {short: targets[name] for short, name in mine(targets.tensors).items()},
        {
            short: tuple(axis.removeprefix(TEACHER) for axis in targets.axes[name])
            for short, name in mine(targets.axes).items()
        },
        {short: targets.lengths[axis] for short, axis in mine(targets.lengths).items()},
    )


def _blended(blend: Blend, targets: Batch, others: Batch, shares: Tensor) -> Batch:
    """Mix encoded targets as the head does, and soft targets, which are of a fixed shape there, by their shares."""
    (own, soft), (other, other_soft) = split_soft_labels(targets), split_soft_labels(others)
    mixed = {
        name: torch.lerp(other_soft[name], tensor, shares.view(-1, *[1] * (tensor.dim() - 1)))
        for name, tensor in soft.tensors.items()
    }
    return join_soft_labels(blend(own, other, shares), Batch(mixed))
