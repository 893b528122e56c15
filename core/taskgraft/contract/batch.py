"""Named tensors with one example per row: model inputs, the state at a cut, cached rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RowIndices = Sequence[int] | NDArray[np.int64]
"""Row numbers, from 0: a list, a range, or ``(row,)`` int64."""


@dataclass(frozen=True)
class Batch:
    """Named tensors whose first axis is the example.

    Attributes:
        tensors: each ``(batch, …)``. Positions past an example's length hold 0 (False) in a batch made by a processor, a cache
            or :func:`collate`, and any value in one made by a backbone; nothing may depend on them.
        axes: tensor name → names of its padded axes after the first, in order. A tensor ``(batch, element, feature)`` padded
            along ``element`` has ``("element",)``; ``(batch, element, element, feature)`` has ``("element", "element")``;
            one of fixed shape is left out.
        lengths: axis name → ``(batch,)`` int64, the number of real positions of each example. Padding is on the right.
    """

    tensors: Mapping[str, Tensor]
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lengths: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {name: tensor.shape[0] for name, tensor in (self.tensors | self.lengths).items()}  # type: ignore[operator]
        if len(set(sizes.values())) != 1:
            raise ValueError(f"the tensors of a batch must have the same number of rows, not {sizes}")
        for name, axes in self.axes.items():
            if missing := [axis for axis in axes if axis not in self.lengths]:
                raise ValueError(f"tensor '{name}' is padded along {missing[0]}, which has no lengths")

    def __len__(self) -> int:
        return next(iter(self.tensors.values())).shape[0]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    @property
    def bytes(self) -> int:
        """The size of all tensors in bytes, padding included."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def mask(self, axis: str) -> Tensor:
        """Return the padding mask of an axis: ``(batch, longest)`` bool, True at real positions."""
        return length_mask(self.lengths[axis], self.longest(axis))

    def longest(self, axis: str) -> int:
        """Return the number of positions along a padded axis, padding included."""
        for name, axes in self.axes.items():
            if axis in axes:
                return self.tensors[name].shape[1 + axes.index(axis)]
        return int(self.lengths[axis].max())

    def to(self, device: torch.device | str) -> "Batch":
        """Move every tensor to a device."""
        tensors = {name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors.items()}
        return Batch(tensors, self.axes, {name: length.to(device) for name, length in self.lengths.items()})

    def select(self, rows: RowIndices) -> "Batch":
        """Select examples, in the order given. Padding that none of them needs is removed."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        lengths = {axis: length[index.to(length.device)] for axis, length in self.lengths.items()}
        tensors = {}
        for name, tensor in self.tensors.items():
            selected = tensor.index_select(0, index.to(tensor.device))
            for position, axis in enumerate(self.axes.get(name, ()), start=1):
                selected = selected.narrow(position, 0, int(lengths[axis].max()))
            tensors[name] = selected
        return Batch(tensors, self.axes, lengths)

    def unbind(self) -> "list[Batch]":
        """Split the batch into single examples without padding."""
        return [self.select([row]) for row in range(len(self))]


def collate(batches: Sequence[Batch], longest: Mapping[str, int] | None = None) -> Batch:
    """Concatenate batches, padded on the right with 0.

    Args:
        batches: with the same tensors and axes.
        longest: axis name → number of positions to pad to, at least as many as the longest example has.
    """
    first = batches[0]
    lengths = {axis: torch.cat([batch.lengths[axis] for batch in batches]) for axis in first.lengths}
    sizes = {axis: max(int(length.max()), (longest or {}).get(axis, 0)) for axis, length in lengths.items()}
    tensors = {}
    for name, example in first.tensors.items():
        axes = first.axes.get(name, ())
        if not axes:
            tensors[name] = torch.cat([batch[name] for batch in batches])
            continue
        shape = (len(lengths[axes[0]]), *(sizes[axis] for axis in axes), *example.shape[1 + len(axes) :])
        padded = example.new_zeros(shape)
        start = 0
        for batch in batches:
            tensor = batch[name]
            fits = tuple(slice(0, min(size, sizes[axis])) for size, axis in zip(tensor.shape[1:], axes, strict=False))
            padded[(slice(start, start + len(batch)), *fits)] = tensor[(slice(None), *fits)]
            start += len(batch)
        tensors[name] = padded
    return Batch(tensors, first.axes, lengths)


def length_mask(lengths: Tensor, longest: int) -> Tensor:
    """Make a padding mask.

    Args:
        lengths: ``(batch,)`` int64.
        longest: number of positions, padding included.

    Returns:
        ``(batch, longest)`` bool, True at real positions.
    """
    return torch.arange(longest, device=lengths.device)[None, :] < lengths[:, None]
