"""The backbone: letters are looked up, mixed with the mean of all letters, and mixed again."""

from collections.abc import Mapping
from string import ascii_lowercase
from typing import Any

import torch
from torch import Tensor, nn

from acme_strings import StringsConfig, describe
from taskgraft.plugin import (
    ELEMENT_AXIS,
    Backbone,
    BackboneDescription,
    Batch,
    Columns,
    Features,
    Layout,
    ProcessedBatch,
    Processor,
)


class StringsProcessor(Processor):
    """Text → ``letters`` ``(batch, element)`` int64, from 1."""

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        rows = [[1 + ascii_lowercase.find(letter) for letter in text or ""] for text in inputs["text"]]
        lengths = torch.tensor([len(row) for row in rows])
        letters = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
        for row, numbers in enumerate(rows):
            letters[row, : len(numbers)] = torch.tensor(numbers)
        invalid = {row: "the text is empty" for row, numbers in enumerate(rows) if not numbers}
        batch = Batch({"letters": letters}, {"letters": (ELEMENT_AXIS,)}, {ELEMENT_AXIS: lengths})
        return ProcessedBatch(batch, invalid, elements=lengths.tolist())

    def settings(self) -> Mapping[str, Any]:
        return {"alphabet": ascii_lowercase}


class Strings(Backbone):
    """Emits a vector per letter, and their mean."""

    def __init__(self, config: StringsConfig):
        super().__init__()
        size = config.feature_size
        self._description = describe(config)
        self.letters = nn.Embedding(1 + len(ascii_lowercase), size)
        self.mixing = nn.Linear(size, size)
        self.dropout = nn.Dropout(0.1)
        self.last = nn.Linear(size, size)
        self.register_buffer("shift", torch.linspace(0.1, 0.9, size), persistent=False)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)

    @property
    def description(self) -> BackboneDescription:
        return self._description

    @property
    def processor(self) -> Processor:
        return StringsProcessor()

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        hidden = self._embedded(batch)
        if cut == 2:
            hidden = self._mix(hidden, batch)
        return Batch({"hidden": hidden}, {"hidden": (ELEMENT_AXIS,)}, batch.lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        hidden = self._embedded(state) if cut == 0 else state["hidden"]
        if cut < 2:
            hidden = self._mix(hidden, state)
        hidden = torch.tanh(self.last(hidden))
        if layout == Layout.VECTOR:
            return Features(layout, (self._mean(hidden, state),))
        return Features(layout, (hidden,), state.lengths[ELEMENT_AXIS])

    def _embedded(self, batch: Batch) -> Tensor:
        return self.letters(batch["letters"]) + self.shift

    def _mix(self, hidden: Tensor, batch: Batch) -> Tensor:
        return torch.tanh(self.mixing(self.dropout(hidden + self._mean(hidden, batch)[:, None])))

    def _mean(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Average over the letters of a text."""
        real = torch.where(batch.mask(ELEMENT_AXIS)[:, :, None], hidden, 0)
        return real.sum(1) / batch.lengths[ELEMENT_AXIS][:, None].to(hidden.dtype)
