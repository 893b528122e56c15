"""Texts → token ids, by the checkpoint's tokenizer. Padding is not added here."""

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
from taskgraft_text.masking import FIRST, IDS, SEGMENTS, TEXT_AXIS, element_tokens, mask_tokens
from taskgraft_text.settings import Pair

SECOND_PREFIX = "other "
"""Prefix of the tensors and the axis of a second text that is read apart."""

PLACEHOLDER = "?"
"""Replaces an invalid text."""


@dataclass(frozen=True)
class _Tokenized:
    """Token ids of texts, one list per text.

    Attributes:
        words: for each text, the index of the first token of each word; None for texts that are not lists of words.
        truncated: whether tokens were cut off.
    """

    ids: list[list[int]]
    segments: list[list[int]] | None
    words: list[list[int]] | None
    truncated: list[bool]


class TextProcessor(Processor):
    """Tokenizes texts.

    A text is a string or a list of words. For lists, sequence features have one vector per word, that of its first token.
    Tensors of a processed batch: ``ids`` ``(batch, token)`` int64; ``segments`` of the same shape if the model reads them;
    ``first`` ``(batch, element)`` int64, the index of each word's first token; ``other ids`` and ``other segments`` for a
    second text that is read apart.
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
        seconds: Sequence[Any] | None = inputs.get(SECOND) if self._pair != Pair.NONE else None
        invalid = _invalid_texts(texts, "text")
        if seconds is not None:
            invalid |= _invalid_texts(seconds, "second text") | self._invalid_pairs(texts, seconds)
        as_words = any(isinstance(text, list) for row, text in enumerate(texts) if row not in invalid)
        elements = [len(text) if isinstance(text, list) else 1 for text in texts] if as_words else None
        if as_words:
            strings = (row for row, text in enumerate(texts) if isinstance(text, str))
            invalid |= dict.fromkeys(strings, "the text is not a list of words, as in other rows")
        texts = _with_placeholders(texts, invalid, as_words=as_words)
        seconds = None if seconds is None else _with_placeholders(seconds, invalid, as_words=as_words)
        together = seconds if self._pair == Pair.TOGETHER else None
        tokenized = self._tokenize(texts, together, as_words=as_words)
        tensors, axes, lengths = self._tensors(tokenized, "")
        truncated = tokenized.truncated
        if tokenized.words is not None:
            tensors[FIRST], lengths[ELEMENT_AXIS] = _pad(tokenized.words)
            axes[FIRST] = (ELEMENT_AXIS,)
        if seconds is not None and self._pair == Pair.APART:
            second = self._tokenize(seconds, None, as_words=False)
            more = self._tensors(second, SECOND_PREFIX)
            tensors, axes, lengths = tensors | more[0], axes | more[1], lengths | more[2]
            truncated = [one or other for one, other in zip(truncated, second.truncated, strict=True)]
            invalid |= self._empty(second)
        invalid |= self._empty(tokenized)
        notes = Counter({f"truncated to {self._max_length} tokens": sum(truncated)} if any(truncated) else {})
        return ProcessedBatch(Batch(tensors, axes, lengths), invalid, notes, elements)

    @property
    def element_schema(self) -> ElementSchema:
        return ElementSchema(kinds=(ElementKind(name="piece", categories=len(self._tokenizer)),), by_position=False)

    def element_values(self, batch: Batch) -> Batch:
        return element_tokens(batch, self._is_one_of(self._tokenizer.all_special_ids))

    def mask_elements(self, batch: Batch, masked: Tensor, seeds: Sequence[int]) -> Batch:
        """Replace every masked token by the mask token: unlike in BERT, none is kept and none is replaced by another one."""
        unknown = self._tokenizer.unk_token_id
        enclosing = self._is_one_of([token for token in self._tokenizer.all_special_ids if token != unknown])
        return mask_tokens(batch, masked, int(self._tokenizer.mask_token_id), enclosing)

    def _is_one_of(self, tokens: Sequence[int]) -> Tensor:
        """``(vocabulary,)`` bool, True for some tokens."""
        result = torch.zeros(len(self._tokenizer), dtype=torch.bool)
        result[torch.tensor(tokens)] = True
        return result

    def _invalid_pairs(self, texts: Sequence[Any], seconds: Sequence[Any]) -> dict[int, str]:
        """Find pairs of a string and a list of words, and lists of words in pairs that are read apart."""
        kinds = [
            (isinstance(text, list), isinstance(second, list)) for text, second in zip(texts, seconds, strict=True)
        ]
        if self._pair == Pair.APART:
            problem = 'a text is a list of words, which pair = "apart" does not support'
            return {row: problem for row, kind in enumerate(kinds) if any(kind)}
        problem = "one text of the pair is a list of words and the other is not"
        return {row: problem for row, (one, other) in enumerate(kinds) if one != other}

    def _tokenize(self, texts: Sequence[Any], together: Sequence[str] | None, *, as_words: bool) -> _Tokenized:
        encoded = self._tokenizer(
            list(texts),
            text_pair=None if together is None else list(together),
            truncation=True,
            max_length=self._max_length,
            is_split_into_words=as_words,
            return_attention_mask=False,
            return_token_type_ids=self._segments,
        )
        encodings = encoded.encodings
        truncated = [bool(encoding.overflowing) for encoding in encodings]
        rows = zip(encodings, map(len, texts), truncated, strict=True)
        words = [_first_tokens(*row) for row in rows] if as_words else None
        segments = encoded["token_type_ids"] if self._segments else None
        return _Tokenized(encoded["input_ids"], segments, words, truncated)

    def _tensors(
        self, tokenized: _Tokenized, prefix: str
    ) -> tuple[dict[str, Tensor], dict[str, tuple[str, ...]], dict[str, Tensor]]:
        axis = f"{prefix}{TEXT_AXIS}"
        ids, lengths = _pad(tokenized.ids)
        tensors = {f"{prefix}{IDS}": ids}
        if tokenized.segments is not None:
            tensors[f"{prefix}{SEGMENTS}"], _ = _pad(tokenized.segments)
        return tensors, dict.fromkeys(tensors, (axis,)), {axis: lengths}

    def _empty(self, tokenized: _Tokenized) -> dict[int, str]:
        special = set(self._tokenizer.all_special_ids) - {self._tokenizer.unk_token_id}
        return {row: "the text has no tokens" for row, ids in enumerate(tokenized.ids) if special.issuperset(ids)}


def _invalid_texts(texts: Sequence[Any], name: str) -> dict[int, str]:
    """Give the rows whose raw value is empty or not a text, with the reason."""
    reasons = {}
    for row, text in enumerate(texts):
        if text is None or (isinstance(text, str | list) and not (text if isinstance(text, list) else text.strip())):
            reasons[row] = f"the {name} is empty"
        elif not isinstance(text, str | list) or (
            isinstance(text, list) and not all(isinstance(word, str) for word in text)
        ):
            reasons[row] = f"the {name} is {text!r:.40}, not a text"
    return reasons


def _with_placeholders(texts: Sequence[Any], invalid: Mapping[int, str], *, as_words: bool) -> list[Any]:
    """Replace invalid texts by a placeholder, so that rows keep their index."""
    placeholder = [PLACEHOLDER] if as_words else PLACEHOLDER
    return [placeholder if row in invalid else text for row, text in enumerate(texts)]


def _first_tokens(encoding: Encoding, count: int, truncated: bool) -> list[int]:
    """Find the index of each word's first token. A word without tokens gets 0; words that were cut off are left out."""
    first: dict[int, int] = {}
    for index, (word, text) in enumerate(zip(encoding.word_ids, encoding.sequence_ids, strict=True)):
        if word is not None and text == 0:  # the words of a second text are numbered from 0 again
            first.setdefault(word, index)
    kept = max(first, default=-1) + 1 if truncated else count
    return [first.get(word, 0) for word in range(kept)]


def _pad(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Pad rows with 0 on the right: ``(row, longest)`` int64, and the length of each row."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    real = torch.arange(padded.shape[1])[None, :] < lengths[:, None]
    padded[real] = torch.tensor(list(chain.from_iterable(rows)), dtype=torch.int64)
    return padded, lengths
