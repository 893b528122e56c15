"""Padded tensors to flat ones, and back."""

import torch
from torch import Tensor

from taskgraft.contract.batch import Batch, length_mask


def flatten(batch: Batch, name: str) -> Tensor:
    """Return the real positions of a tensor of a batch, one example after another."""
    axes, tensor = batch.axes.get(name, ()), batch[name]
    if not axes:
        return tensor
    real = length_mask(batch.lengths[axes[0]], tensor.shape[1])
    if len(axes) == 1:
        return tensor[real]
    other = length_mask(batch.lengths[axes[1]], tensor.shape[2])
    return tensor[real[:, :, None] & other[:, None, :]]


def pad_rows(flat: Tensor, starts: Tensor, lengths: list[Tensor]) -> Tensor:
    """Gather rows of a flat tensor into a padded one. ``starts`` and each of ``lengths``: ``(batch,)`` int64."""
    sizes = [int(length.max()) for length in lengths]
    within, real = torch.arange(sizes[0])[None, :], length_mask(lengths[0], sizes[0])
    if len(lengths) == 2:
        within = within[:, :, None] * lengths[1][:, None, None] + torch.arange(sizes[1])[None, None, :]
        real = real[:, :, None] & length_mask(lengths[1], sizes[1])[:, None, :]
        starts = starts[:, None]
    index = (starts[:, None] + within)[real]
    padded = flat.new_zeros(*real.shape, *flat.shape[1:])
    padded[real] = flat[index]
    return padded
