"""A small backbone over the columns of a table, which can mask each of them: the kind of an element depends on its position."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from backbones import draw
from small_plugin import number_in
from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import BackboneDescription, LayerRole, Layout, Part, sequence, vector
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementKind, ElementSchema
from taskgraft.contract.processor import ProcessedBatch, Processor

SIZE = 8
COLOURS = ("red", "green", "blue")


class CellsProcessor(Processor):
    """Columns ``size``, ``span`` and ``colour`` → ``numbers`` ``(batch, 3)`` float32, 0 where missing; ``known`` alike,
    1 or 0; ``colour`` ``(batch,)`` int64, from 1. A span is two numbers, as in "2-5".
    """

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        spans = [str(value or "-").partition("-") for value in inputs["span"]]
        columns = [inputs["size"], [first for first, _, _ in spans], [last for _, _, last in spans]]
        read = [[number_in(value) for value in values] for values in columns]
        numbers = torch.tensor([[torch.nan if one is None else one for one in values] for values in read]).T
        known = ~numbers.isnan()
        colour = [1 + COLOURS.index(value) if value else 0 for value in inputs["colour"]]
        return ProcessedBatch(
            Batch({"numbers": numbers.nan_to_num(), "known": known.float(), "colour": torch.tensor(colour)})
        )

    @property
    def element_schema(self) -> ElementSchema:
        size, span = ElementKind(name="size", numbers=1), ElementKind(name="span", numbers=2)
        return ElementSchema(kinds=(size, span, ElementKind(name="colour", categories=COLOURS)), by_position=True)

    def element_values(self, batch: Batch) -> Batch:
        nothing = torch.full_like(batch["colour"], -1)
        numbers = torch.where(batch["known"] > 0, batch["numbers"], torch.nan)
        number = torch.full((len(batch), 3, 2), torch.nan)
        number[:, 0, :1], number[:, 1] = numbers[:, :1], numbers[:, 1:]
        tensors = {CATEGORY: torch.stack([nothing, nothing, batch["colour"] - 1], 1), NUMBER: number}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: torch.full((len(batch),), 3)})

    def mask_elements(self, batch: Batch, hidden: Tensor, seeds: Sequence[int]) -> Batch:
        shown = (~hidden[:, [0, 1, 1]]).float()
        colour = batch["colour"].masked_fill(hidden[:, 2], 0)
        return Batch({"numbers": batch["numbers"] * shown, "known": batch["known"] * shown, "colour": colour})

    def settings(self) -> Mapping[str, Any]:
        return {"columns": ["size", "span", "colour"], "colours": list(COLOURS)}


class Cells(Backbone):
    """Emits a vector per column, with the mean of all added, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Linear(2, SIZE)
        self.span = nn.Linear(4, SIZE)
        self.colour = nn.Embedding(1 + len(COLOURS), SIZE)
        self.mixing = nn.Linear(SIZE, SIZE)
        draw(self, 0)

    @property
    def description(self) -> BackboneDescription:
        output = sequence(SIZE)
        return BackboneDescription(
            inputs=(),
            features=(output, vector(SIZE)),
            parts=(
                Part("cells", ("size", "span", "colour"), output),
                Part("mixing", ("mixing",), output, {"mixing": LayerRole.FEED_FORWARD_OUT}),
            ),
            can_mask=True,
        )

    @property
    def processor(self) -> Processor:
        return CellsProcessor()

    def forward(self, batch: Batch, layout: Layout) -> Features:
        pairs = torch.stack([batch["numbers"], batch["known"]], -1).to(self.mixing.weight.dtype)
        cells = torch.stack(
            [self.size(pairs[:, 0]), self.span(pairs[:, 1:].flatten(1)), self.colour(batch["colour"])], 1
        )
        cells = cells + torch.tanh(self.mixing(torch.tanh(cells).mean(1, keepdim=True)))
        if layout == Layout.VECTOR:
            return Features(layout, (cells.mean(1),))
        return Features(layout, (cells,), torch.full((len(cells),), 3, device=cells.device))


def cells_rows(count: int = 24, seed: int = 0) -> dict[str, list[Any]]:
    """Rows whose colour is the sign of the size, and whose span surrounds it. Every fifth cell of a column is empty."""
    chance = torch.Generator().manual_seed(seed)
    size = torch.randn(count, generator=chance)
    rows = {
        "size": [f"{number:.3f}" for number in size.tolist()],
        "span": [f"{abs(number):.2f}-{abs(number) + 1:.2f}" for number in size.tolist()],
        "colour": ["red" if number < 0 else "blue" for number in size.tolist()],
    }
    return {
        name: ["" if (row + shift) % 5 == 0 else value for row, value in enumerate(values)]
        for shift, (name, values) in enumerate(rows.items())
    }
