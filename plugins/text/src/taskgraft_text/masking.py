"""Masking of tokens, or of whole words, in a processed text."""

import torch
from torch import Tensor

from taskgraft.plugin import CATEGORY, ELEMENT_AXIS, NUMBER, Batch

TEXT_AXIS = "token"
"""The padded axis of a text. The second text of a pair that is read apart has ``other token``."""

IDS, SEGMENTS, FIRST = "ids", "segments", "first"
"""The tensors of a processed text; see :class:`taskgraft_text.processor.TextProcessor`."""


def element_tokens(batch: Batch, special: Tensor) -> Batch:
    """Give the token id of each element, as element values. A word has the id of its first token; special tokens have -1.

    Args:
        special: ``(vocabulary,)`` bool, True for special tokens.
    """
    ids, lengths = batch[IDS], batch.lengths[TEXT_AXIS]
    if FIRST in batch.tensors:
        ids, lengths = ids.gather(1, batch[FIRST]), batch.lengths[ELEMENT_AXIS]
    tensors = {CATEGORY: ids, NUMBER: torch.zeros(*ids.shape, 0)}
    values = Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: lengths})
    tensors[CATEGORY] = ids.masked_fill(special[ids] | ~values.mask(ELEMENT_AXIS), -1)
    return values


def mask_tokens(batch: Batch, masked: Tensor, mask_token: int, enclosing: Tensor) -> Batch:
    """Replace masked elements by the mask token. A word of several tokens becomes one, so their number does not reveal it.

    Args:
        masked: ``(batch, element)`` bool.
        mask_token: id of the mask token.
        enclosing: ``(vocabulary,)`` bool, True for tokens that enclose a text and so belong to no word.
    """
    if FIRST not in batch.tensors:
        return Batch({**batch.tensors, IDS: batch[IDS].masked_fill(masked, mask_token)}, batch.axes, batch.lengths)
    return _mask_words(batch, masked, mask_token, enclosing)


def _mask_words(batch: Batch, masked: Tensor, mask_token: int, enclosing: Tensor) -> Batch:
    ids, first, real = batch[IDS], batch[FIRST], batch.mask(TEXT_AXIS)
    is_masked, is_first = _token_masks(batch, masked)
    is_masked &= real & ~enclosing[ids]
    kept = real & ~(is_masked & ~is_first)
    order = (~kept).long().argsort(stable=True, dim=1)
    tensors = {name: batch[name].gather(1, order) for name in (IDS, SEGMENTS) if name in batch.tensors}
    tensors[IDS] = torch.where(is_masked, mask_token, ids).gather(1, order)
    lengths = kept.sum(1)
    padding = torch.arange(ids.shape[1]) >= lengths[:, None]
    tensors = {name: tensor.masked_fill(padding, 0) for name, tensor in tensors.items()}
    tensors[FIRST] = ((kept.cumsum(1) - 1).gather(1, first)).masked_fill(~batch.mask(ELEMENT_AXIS), 0)
    shorter = Batch(tensors, batch.axes, {**batch.lengths, TEXT_AXIS: lengths})
    return shorter.select(range(len(shorter)))


def _token_masks(batch: Batch, masked: Tensor) -> tuple[Tensor, Tensor]:
    """Give which tokens belong to a masked word, and which are the first of a word, both ``(batch, token)`` bool.

    Tokens after a word's last one, such as the end of the text, count as the word's too.
    """
    ids, first, elements = batch[IDS], batch[FIRST], batch.mask(ELEMENT_AXIS)
    masked = masked & elements & (first > 0)  # a word without tokens has first = 0
    mark = torch.zeros(ids.shape, dtype=torch.int64)  # 1 at the first token of a word, 2 if the word is masked
    mark.scatter_reduce_(1, first, torch.where(elements, 1 + masked.long(), 0), "amax")
    mark[:, 0] = 0
    position = torch.arange(ids.shape[1]).expand_as(ids)
    word_start = torch.where(mark > 0, position, 0).cummax(1).values
    return mark.gather(1, word_start) == 2, mark > 0
