"""A small backbone that the kit brings along, and targets of every usual kind, to try strategies and heads with."""

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

SIZE, VOCABULARY, BLOCKS = 8, 32, 3

SAMPLE_INPUTS: Columns = {"text": ["a", "b c", "a b c", "c d e f", "d d", "e f a"]}

LABELS = ["x", "y", "x", "z", "y", "z"]

SAMPLE_TARGETS: Mapping[TargetKind, Columns | ElementSchema] = {
    TargetKind.CATEGORY: {"label": LABELS},
    TargetKind.CATEGORIES: {"good": [1, 0, 1, None, 0, 1], "new": [0, 0, 1, 1, 1, 0]},
    TargetKind.NUMBERS: {"number": [1.5, 2.0, 4.0, -3.0, 0.0, 100.0]},
    TargetKind.ELEMENT_CATEGORIES: {"labels": [[*"x"], [*"yz"], [*"xyz"], [*"zxyx"], [*"yy"], [*"zzx"]]},
    TargetKind.INPUTS: ElementSchema(kinds=(ElementKind(name="word", categories=("x", "y", "z")),), by_position=False),
}
"""A target for each row of :data:`SAMPLE_INPUTS`, or the contents of elements. Kinds with a label per position are left out."""


class SampleProcessor(Processor):
    """Text → ``words`` ``(batch, element)`` int64, from 1; split at white space."""

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        rows = [(text or "").split() for text in inputs["text"]]
        lengths = [len(row) for row in rows]
        words = torch.zeros(len(rows), max(lengths), dtype=torch.int64)
        for place, row in enumerate(rows):
            words[place, : len(row)] = torch.tensor([1 + zlib.crc32(word.encode()) % (VOCABULARY - 1) for word in row])
        refused = {place: "the text is empty" for place, row in enumerate(rows) if not row}
        batch = Batch({"words": words}, {"words": (ELEMENT_AXIS,)}, {ELEMENT_AXIS: torch.tensor(lengths)})
        return ProcessedBatch(batch, refused, elements=lengths)

    def settings(self) -> Mapping[str, Any]:
        return {"vocabulary": VOCABULARY}


class _Block(nn.Module):
    """Attention and feed-forward, each after a norm and around a residual: ``(batch, element, feature)`` → the same."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(SIZE)
        self.query = nn.Linear(SIZE, SIZE)
        self.key = nn.Linear(SIZE, SIZE)
        self.value = nn.Linear(SIZE, SIZE)
        self.attention_output = nn.Linear(SIZE, SIZE)
        self.feed_forward_norm = nn.LayerNorm(SIZE)
        self.feed_forward_in = nn.Linear(SIZE, 2 * SIZE)
        self.feed_forward_out = nn.Linear(2 * SIZE, SIZE)
        self.dropout = nn.Dropout(0.1)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        normed = self.attention_norm(hidden)
        scores = self.query(normed) @ self.key(normed).transpose(-1, -2) / SIZE**0.5
        shares = scores.masked_fill(~mask[:, None, :], torch.finfo(scores.dtype).min).softmax(-1)
        hidden = hidden + self.dropout(self.attention_output(shares @ self.value(normed)))
        inner = nn.functional.gelu(self.feed_forward_in(self.feed_forward_norm(hidden)))
        return hidden + self.dropout(self.feed_forward_out(inner))  # type: ignore[no-any-return]


class Sample(Backbone):
    """A random encoder over words, the same each time, with every role that attention and feed-forward have.

    Emits the mean of the elements, and the elements.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, SIZE)
        self.blocks = nn.ModuleList(_Block() for _ in range(BLOCKS))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                drawn = torch.randn(parameter.shape, generator=generator) * 0.4
                parameter.copy_(1 + drawn if name.endswith("norm.weight") else drawn)

    @property
    def description(self) -> BackboneDescription:
        parts = (Part("embedding", ("embedding",), sequence(SIZE)), *map(_part, range(BLOCKS)))
        return BackboneDescription(
            (InputField("text"),), (vector(SIZE), sequence(SIZE)), parts, cuts=tuple(range(BLOCKS + 1))
        )

    @property
    def processor(self) -> Processor:
        return SampleProcessor()

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self._read(self._run(batch, 0, BLOCKS + 1), layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        return self._run(batch, 0, cut)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        return self._read(self._run(state, cut, BLOCKS + 1), layout)

    def _run(self, state: Batch, first: int, stop: int) -> Batch:
        """Run the parts from ``first`` up to ``stop``, which is not run."""
        for number in range(first, stop):
            if number == 0:
                hidden = self.embedding(state["words"])
            else:
                hidden = self.blocks[number - 1](state["hidden"], state.mask(ELEMENT_AXIS))
            state = Batch({"hidden": hidden}, {"hidden": (ELEMENT_AXIS,)}, state.lengths)
        return state

    def _read(self, state: Batch, layout: Layout) -> Features:
        hidden = state["hidden"]
        if layout == Layout.SEQUENCE:
            return Features(layout, (hidden,), state.lengths[ELEMENT_AXIS])
        real = state.mask(ELEMENT_AXIS)[..., None]
        return Features(layout, (torch.where(real, hidden, 0).sum(1) / real.sum(1),))


def _part(number: int) -> Part:
    roles = {
        "query": LayerRole.QUERY,
        "key": LayerRole.KEY,
        "value": LayerRole.VALUE,
        "attention_output": LayerRole.ATTENTION_OUTPUT,
        "feed_forward_in": LayerRole.FEED_FORWARD_IN,
        "feed_forward_out": LayerRole.FEED_FORWARD_OUT,
    }
    path = f"blocks.{number}"
    return Part(f"block-{number}", (path,), sequence(SIZE), {f"{path}.{layer}": role for layer, role in roles.items()})
