"""A small backbone that the kit provides, and targets of every usual kind, to try strategies and heads with."""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import (
    BackboneDescription,
    InputField,
    LayerRole,
    Layout,
    Part,
    TargetKind,
    sequence,
    vector,
)
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.masking import ElementKind, ElementSchema
from taskgraft.contract.processor import ProcessedBatch, Processor

_SIZE, _VOCABULARY, _BLOCKS = 8, 32, 3

SAMPLE_INPUTS: Columns = {"text": ["a", "b c", "a b c", "c d e f", "d d", "e f a"]}
"""Inputs of :class:`SampleBackbone`."""

SAMPLE_LABELS = ["x", "y", "x", "z", "y", "z"]
"""A label for each row of :data:`SAMPLE_INPUTS`."""

SAMPLE_TARGETS: Mapping[TargetKind, Columns | ElementSchema] = {
    TargetKind.CATEGORY: {"label": SAMPLE_LABELS},
    TargetKind.CATEGORIES: {"good": [1, 0, 1, None, 0, 1], "new": [0, 0, 1, 1, 1, 0]},
    TargetKind.NUMBERS: {"number": [1.5, 2.0, 4.0, -3.0, 0.0, 100.0]},
    TargetKind.ELEMENT_CATEGORIES: {"labels": [[*"x"], [*"yz"], [*"xyz"], [*"zxyx"], [*"yy"], [*"zzx"]]},
    TargetKind.INPUTS: ElementSchema(kinds=(ElementKind(name="word", categories=("x", "y", "z")),), by_position=False),
}
"""A target for each row of :data:`SAMPLE_INPUTS`, or an element schema. Kinds with a label per position are left out."""


class SampleProcessor(Processor):
    """Text, or a list of words → ``words`` ``(batch, element)`` int64, from 1; text is split at white space."""

    def __init__(self, vocabulary: int = _VOCABULARY):
        self.vocabulary = vocabulary

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        rows = [text.split() if isinstance(text, str) else list(text or ()) for text in inputs["text"]]
        lengths = [len(row) for row in rows]
        words = torch.zeros(len(rows), max(lengths), dtype=torch.int64)
        for number, row in enumerate(rows):
            ids = [1 + zlib.crc32(word.encode()) % (self.vocabulary - 1) for word in row]
            words[number, : len(row)] = torch.tensor(ids)
        invalid = {number: "the text is empty" for number, row in enumerate(rows) if not row}
        batch = Batch({"words": words}, {"words": (ELEMENT_AXIS,)}, {ELEMENT_AXIS: torch.tensor(lengths)})
        return ProcessedBatch(batch, invalid, elements=lengths)

    def settings(self) -> Mapping[str, Any]:
        return {"split": "white space", "vocabulary": self.vocabulary}


class AttentionBlock(nn.Module):
    """Attention and feed-forward, each with a norm before it and a residual around it.

    Shape: hidden ``(batch, element, feature)``, mask ``(batch, element)`` bool → ``(batch, element, feature)``.
    """

    def __init__(self, size: int, heads: int = 1, dropout: float = 0.1):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(size)
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.attention_output = nn.Linear(size, size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.feed_forward_in = nn.Linear(size, 2 * size)
        self.feed_forward_out = nn.Linear(2 * size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        hidden = hidden + self.dropout(self.attention_output(self._attention(self.attention_norm(hidden), mask)))
        inner = nn.functional.gelu(self.feed_forward_in(self.feed_forward_norm(hidden)))
        return hidden + self.dropout(self.feed_forward_out(inner))  # type: ignore[no-any-return]

    def _attention(self, hidden: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            layer(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min).softmax(-1)
        return (weights @ value).transpose(1, 2).flatten(-2)  # type: ignore[no-any-return]


class SampleBackbone(Backbone):
    """A random encoder over words, the same each time, with every role that attention and feed-forward have.

    Emits the mean of the elements, and the elements.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, _SIZE)
        self.blocks = nn.ModuleList(AttentionBlock(_SIZE) for _ in range(_BLOCKS))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator) * 0.4
                parameter.copy_(1 + noise if name.endswith("norm.weight") else noise)

    @property
    def description(self) -> BackboneDescription:
        parts = (Part("embedding", ("embedding",), sequence(_SIZE)), *map(_describe_block, range(_BLOCKS)))
        return BackboneDescription(
            (InputField("text"),), (vector(_SIZE), sequence(_SIZE)), parts, cuts=tuple(range(_BLOCKS + 1))
        )

    @property
    def processor(self) -> Processor:
        return SampleProcessor()

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        return self._run(batch, 0, cut)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        state = self._run(state, cut, _BLOCKS + 1)
        hidden = state["hidden"]
        if layout == Layout.SEQUENCE:
            return Features(layout, (hidden,), state.lengths[ELEMENT_AXIS])
        real = state.mask(ELEMENT_AXIS)[..., None]
        return Features(layout, (torch.where(real, hidden, 0).sum(1) / real.sum(1),))

    def _run(self, state: Batch, first: int, stop: int) -> Batch:
        """Run the parts from ``first`` up to, but not including, ``stop``."""
        for number in range(first, stop):
            if number == 0:
                hidden = self.embedding(state["words"])
            else:
                hidden = self.blocks[number - 1](state["hidden"], state.mask(ELEMENT_AXIS))
            state = Batch({"hidden": hidden}, {"hidden": (ELEMENT_AXIS,)}, state.lengths)
        return state


def _describe_block(number: int) -> Part:
    path = f"blocks.{number}"
    return Part(f"block-{number}", (path,), sequence(_SIZE), attention_roles(path))


def attention_roles(path: str) -> dict[str, LayerRole]:
    """Return the roles of the layers of an :class:`AttentionBlock` at a dotted path."""
    roles = {
        "query": LayerRole.QUERY,
        "key": LayerRole.KEY,
        "value": LayerRole.VALUE,
        "attention_output": LayerRole.ATTENTION_OUTPUT,
        "feed_forward_in": LayerRole.FEED_FORWARD_IN,
        "feed_forward_out": LayerRole.FEED_FORWARD_OUT,
    }
    return {f"{path}.{layer}": role for layer, role in roles.items()}
