"""Soft labels of a teacher, carried with the encoded targets of each row."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.data.examples import AugmentedRows, EncodedDataset, TargetMixer, Targets
from taskgraft.data.tensor_cache import RowSource

_PREFIX = "teacher."
"""Starts the names of soft labels, and of their axes, in a batch of targets."""


@dataclass(frozen=True)
class TargetsWithSoftLabels:
    """Encoded targets of all rows, with the soft labels of each."""

    encoded: Targets
    soft_labels: RowSource

    def __len__(self) -> int:
        return len(self.encoded)

    def select(self, rows: RowIndices) -> Batch:
        """Return some rows, in the order given."""
        return join_soft_labels(self.encoded.select(rows), self.soft_labels.gather(rows))


def add_soft_labels(dataset: EncodedDataset, soft_labels: RowSource) -> EncodedDataset:
    """Add a teacher's soft labels to the targets. Those of mixed examples are mixed with the same shares."""
    targets, augmenter = TargetsWithSoftLabels(dataset.targets, soft_labels), dataset.augmenter
    if isinstance(augmenter, AugmentedRows):
        augmenter = replace(augmenter, targets=targets, mix_targets=partial(_mix, augmenter.mix_targets))
    return EncodedDataset(dataset.inputs, targets, augmenter)


def join_soft_labels(targets: Batch, soft_labels: Batch) -> Batch:
    """Put encoded targets and soft labels into one batch."""
    axes = {f"{_PREFIX}{name}": tuple(f"{_PREFIX}{axis}" for axis in some) for name, some in soft_labels.axes.items()}
    return Batch(
        {**targets.tensors, **{f"{_PREFIX}{name}": tensor for name, tensor in soft_labels.tensors.items()}},
        {**targets.axes, **axes},
        {**targets.lengths, **{f"{_PREFIX}{axis}": length for axis, length in soft_labels.lengths.items()}},
    )


def split_soft_labels(targets: Batch) -> tuple[Batch, Batch]:
    """Split a batch into encoded targets and soft labels, as the loss of a stage with a teacher does."""
    return _half(targets, soft=False), _half(targets, soft=True)


def _half(targets: Batch, *, soft: bool) -> Batch:
    def short_names(names: Iterable[str]) -> dict[str, str]:
        return {name.removeprefix(_PREFIX): name for name in names if name.startswith(_PREFIX) == soft}

    return Batch(
        {short: targets[name] for short, name in short_names(targets.tensors).items()},
        {
            short: tuple(axis.removeprefix(_PREFIX) for axis in targets.axes[name])
            for short, name in short_names(targets.axes).items()
        },
        {short: targets.lengths[axis] for short, axis in short_names(targets.lengths).items()},
    )


def _mix(mix_targets: TargetMixer, targets: Batch, others: Batch, shares: Tensor) -> Batch:
    """Mix encoded targets as the head does, and soft labels, which have a fixed shape there, with their shares."""
    (encoded, soft), (other_encoded, other_soft) = split_soft_labels(targets), split_soft_labels(others)
    mixed = {
        name: torch.lerp(other_soft[name], tensor, shares.view(-1, *[1] * (tensor.dim() - 1)))
        for name, tensor in soft.tensors.items()
    }
    return join_soft_labels(mix_targets(encoded, other_encoded, shares), Batch(mixed))
