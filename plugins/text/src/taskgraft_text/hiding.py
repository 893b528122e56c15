"""Pieces of a prepared text, or whole words, hidden by the mask token."""

import torch
from torch import Tensor

from taskgraft.plugin import CATEGORY, ELEMENT_AXIS, NUMBER, Batch

PIECES = "piece"
"""The padded axis of a text; a second text that goes apart has ``other piece``."""

IDS, SEGMENTS, FIRST = "ids", "segments", "first"
"""The tensors of a prepared text, as :class:`taskgraft_text.processor.TextProcessor` describes them."""


def held_pieces(batch: Batch, special: Tensor) -> Batch:
    """Say which piece each element is; a word is its first piece. Special ones are nothing that could be recovered.

    Args:
        special: ``(vocabulary,)`` bool, which pieces are special.
    """
    ids, lengths = batch[IDS], batch.lengths[PIECES]
    if FIRST in batch.tensors:
        ids, lengths = ids.gather(1, batch[FIRST]), batch.lengths[ELEMENT_AXIS]
    tensors = {CATEGORY: ids, NUMBER: torch.zeros(*ids.shape, 0)}
    held = Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: lengths})
    tensors[CATEGORY] = ids.masked_fill(special[ids] | ~held.mask(ELEMENT_AXIS), -1)
    return held


def hidden_pieces(batch: Batch, hidden: Tensor, mask: int, enclosing: Tensor) -> Batch:
    """Put the mask token in the place of pieces. A word of several pieces becomes one, so that their number does not tell it.

    Args:
        hidden: ``(batch, element)`` bool.
        enclosing: ``(vocabulary,)`` bool, which pieces enclose a text, and so belong to no word.
    """
    if FIRST not in batch.tensors:
        return Batch({**batch.tensors, IDS: batch[IDS].masked_fill(hidden, mask)}, batch.axes, batch.lengths)
    ids, first, real = batch[IDS], batch[FIRST], batch.mask(PIECES)
    begun = hidden & batch.mask(ELEMENT_AXIS) & (first > 0)  # a word without pieces stands at piece 0
    begins = torch.zeros(ids.shape, dtype=torch.int64)
    begins.scatter_reduce_(1, first, torch.where(batch.mask(ELEMENT_AXIS), 1 + begun.long(), 0), "amax")
    begins[:, 0] = 0
    place = torch.arange(ids.shape[1]).expand_as(ids)
    latest = torch.where(begins > 0, place, 0).cummax(1).values
    hides = (begins.gather(1, latest) == 2) & real & ~enclosing[ids]
    kept = real & ~(hides & (begins == 0))
    order = (~kept).long().argsort(stable=True, dim=1)
    tensors = {name: batch[name].gather(1, order) for name in (IDS, SEGMENTS) if name in batch.tensors}
    tensors[IDS] = torch.where(hides, mask, ids).gather(1, order)
    lengths = kept.sum(1)
    for name in (IDS, SEGMENTS):
        if name in tensors:
            tensors[name] = tensors[name].masked_fill(torch.arange(ids.shape[1]) >= lengths[:, None], 0)
    tensors[FIRST] = ((kept.cumsum(1) - 1).gather(1, first)).masked_fill(~batch.mask(ELEMENT_AXIS), 0)
    shorter = Batch(tensors, batch.axes, {**batch.lengths, PIECES: lengths})
    return shorter.select(range(len(shorter)))
