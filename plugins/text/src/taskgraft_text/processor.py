"""Texts → pieces. Pieces are what the checkpoint's tokenizer makes; padding is never added here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from tokenizers import Encoding
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from taskgraft.plugin import ELEMENT_AXIS, Batch, Columns, ElementKind, ElementSchema, ProcessedBatch, Processor
from taskgraft_text.checkpoint import SECOND, TEXT
from taskgraft_text.hiding import PIECES, held_pieces, hidden_pieces
from taskgraft_text.settings import Pair


@dataclass(frozen=True)
class _Tokenized:
    """Texts in pieces. ``words``: per text, the number of its first piece for each word; None when not split."""

    ids: list[list[int]]
    segments: list[list[int]] | None
    words: list[list[int]] | None
    cut: list[bool]


class TextProcessor(Processor):
    """Cuts texts into pieces.

    A text is a string, or a list of words; for a list, sequence features have one vector per word (that of its first
    piece). Tensors of a prepared batch: ``ids`` ``(batch, piece)`` int64; ``segments`` alike, where the model reads them;
    ``first`` ``(batch, element)`` int64, the place of each word's first piece; ``other ids`` and ``other segments`` for a
    second text that goes apart.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, pair: Pair, max_length: int, *, segments: bool):
        self._tokenizer = tokenizer
        self._pair = pair
        self._max_length = max_length
        self._segments = segments

    def settings(self) -> Mapping[str, Any]:
        return {"max_length": self._max_length, "pair": str(self._pair), "segments": self._segments}

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        texts: Sequence[Any] = inputs[TEXT]
        others: Sequence[Any] | None = inputs.get(SECOND) if self._pair != Pair.NONE else None
        refused = _refused(texts, "text")
        if others is not None:
            refused |= _refused(others, "second text") | self._mixed(texts, others)
        split = any(isinstance(text, list) for row, text in enumerate(texts) if row not in refused)
        elements = [len(text) if isinstance(text, list) else 1 for text in texts] if split else None
        if split:
            strings = (row for row, text in enumerate(texts) if isinstance(text, str))
            refused |= dict.fromkeys(strings, "the text is not a list of words, as other rows are")
        texts = _replaced(texts, refused, split=split)
        others = None if others is None else _replaced(others, refused, split=split)
        together = others if self._pair == Pair.TOGETHER else None
        made = self._tokenize(texts, together, split=split)
        tensors, axes, lengths = self._tensors(made, "", PIECES)
        cut = made.cut
        if made.words is not None:
            tensors["first"], lengths[ELEMENT_AXIS] = _ragged(made.words)
            axes["first"] = (ELEMENT_AXIS,)
        if others is not None and self._pair == Pair.APART:
            second = self._tokenize(others, None, split=False)
            more = self._tensors(second, "other ", f"other {PIECES}")
            tensors, axes, lengths = tensors | more[0], axes | more[1], lengths | more[2]
            cut = [one or other for one, other in zip(cut, second.cut, strict=True)]
            refused |= self._empty(second)
        refused |= self._empty(made)
        notes = Counter({f"cut to {self._max_length} pieces": sum(cut)} if any(cut) else {})
        return ProcessedBatch(Batch(tensors, axes, lengths), refused, notes, elements)

    @property
    def element_schema(self) -> ElementSchema:
        return ElementSchema(kinds=(ElementKind(name="piece", categories=len(self._tokenizer)),), by_position=False)

    def element_values(self, batch: Batch) -> Batch:
        return held_pieces(batch, self._which(self._tokenizer.all_special_ids))

    def mask_elements(self, batch: Batch, hidden: Tensor, seeds: Sequence[int]) -> Batch:
        """Put the mask token in the place of pieces, always: one that is kept, or drawn and the same, would be left."""
        unknown = {self._tokenizer.unk_token_id}
        enclosing = self._which([one for one in self._tokenizer.all_special_ids if one not in unknown])
        return hidden_pieces(batch, hidden, int(self._tokenizer.mask_token_id), enclosing)

    def _which(self, pieces: Sequence[int]) -> Tensor:
        which = torch.zeros(len(self._tokenizer), dtype=torch.bool)
        which[torch.tensor(pieces)] = True
        return which

    def _mixed(self, texts: Sequence[Any], others: Sequence[Any]) -> dict[int, str]:
        """Say which pairs are of two kinds, or of a kind that cannot be a pair."""
        kinds = [(isinstance(text, list), isinstance(other, list)) for text, other in zip(texts, others, strict=True)]
        if self._pair == Pair.APART:
            return {
                row: "a text of a pair that goes apart is a list of words"
                for row, kind in enumerate(kinds)
                if any(kind)
            }
        problem = "one text of the pair is a list of words and the other is not"
        return {row: problem for row, (one, other) in enumerate(kinds) if one != other}

    def _tokenize(self, texts: Sequence[Any], together: Sequence[str] | None, *, split: bool) -> _Tokenized:
        encoded = self._tokenizer(
            list(texts),
            text_pair=None if together is None else list(together),
            truncation=True,
            max_length=self._max_length,
            is_split_into_words=split,
            return_attention_mask=False,
            return_token_type_ids=self._segments,
        )
        pieces = encoded.encodings
        cut = [bool(one.overflowing) for one in pieces]
        words = [_first_pieces(*one) for one in zip(pieces, map(len, texts), cut, strict=True)] if split else None
        return _Tokenized(encoded["input_ids"], encoded["token_type_ids"] if self._segments else None, words, cut)

    def _tensors(
        self, made: _Tokenized, prefix: str, axis: str
    ) -> tuple[dict[str, Tensor], dict[str, tuple[str, ...]], dict[str, Tensor]]:
        ids, lengths = _ragged(made.ids)
        tensors = {f"{prefix}ids": ids}
        if made.segments is not None:
            tensors[f"{prefix}segments"], _ = _ragged(made.segments)
        return tensors, dict.fromkeys(tensors, (axis,)), {axis: lengths}

    def _empty(self, made: _Tokenized) -> dict[int, str]:
        special = set(self._tokenizer.all_special_ids) - {self._tokenizer.unk_token_id}
        return {row: "the text has no pieces" for row, ids in enumerate(made.ids) if special.issuperset(ids)}


def _refused(texts: Sequence[Any], what: str) -> dict[int, str]:
    """Say which raw values are no texts."""
    reasons = {}
    for row, text in enumerate(texts):
        if text is None or (isinstance(text, str | list) and not (text if isinstance(text, list) else text.strip())):
            reasons[row] = f"the {what} is empty"
        elif not isinstance(text, str | list) or (
            isinstance(text, list) and not all(isinstance(word, str) for word in text)
        ):
            reasons[row] = f"the {what} is {text!r:.40}, not a text"
    return reasons


def _replaced(texts: Sequence[Any], refused: Mapping[int, str], *, split: bool) -> list[Any]:
    """Put something harmless in the place of what is refused, so that rows keep their numbers."""
    return [(["?"] if split else "?") if row in refused else text for row, text in enumerate(texts)]


def _first_pieces(encoding: Encoding, count: int, cut: bool) -> list[int]:
    """Find each word's first piece. A word without pieces takes piece 0; words that were cut off are left out."""
    first: dict[int, int] = {}
    for piece, (word, text) in enumerate(zip(encoding.word_ids, encoding.sequence_ids, strict=True)):
        if word is not None and text == 0:  # words of a second text are numbered from 0 again
            first.setdefault(word, piece)
    kept = max(first, default=-1) + 1 if cut else count
    return [first.get(word, 0) for word in range(kept)]


def _ragged(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Pad rows with 0 on the right: ``(row, longest)`` int64, and the length of each row."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    real = torch.arange(padded.shape[1])[None, :] < lengths[:, None]
    padded[real] = torch.tensor(list(chain.from_iterable(rows)), dtype=torch.int64)
    return padded, lengths
