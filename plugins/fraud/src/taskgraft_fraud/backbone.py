"""Table backbones: one module for every library's model, run block by block."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from taskgraft.plugin import Backbone, BackboneDescription, Batch, Features, Layout, TaskgraftError
from taskgraft_fraud.description import category_sizes, number_count
from taskgraft_fraud.processor import CATEGORIES, NUMBERS, TableProcessor
from taskgraft_fraud.settings import AnyTable, CategoryColumn, NumberColumn, TableConfig

HIDDEN = "hidden"
"""The tensor of a state: what the block at a cut reads."""


class TableModel(nn.Module, ABC):
    """A library's model, taken apart: cells → what the first block reads → … → features."""

    @abstractmethod
    def embed(self, numbers: Tensor | None, categories: Tensor | None) -> Tensor:
        """Compute what the first block reads, ``(batch, …)``.

        Args:
            numbers: ``(batch, number)`` floating point; None where no column gives any.
            categories: ``(batch, column)`` int64, places of categories; None where no column has any.
        """

    @abstractmethod
    def run(self, block: int, hidden: Tensor, layout: Layout) -> Tensor:
        """Run one block on what it reads; of the last one, as much as a layout needs."""

    @abstractmethod
    def read(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Make features of what the last block gave."""


class TableBackbone(Backbone):
    """A model for tables. Its weights begin at random; an artifact holds all of them."""

    def __init__(self, model: TableModel, description: BackboneDescription, config: TableConfig):
        super().__init__()
        self.model = model
        self._description = description
        self._names = tuple(column.name for column in config.learned or ())
        self._processor = TableProcessor(config.learned or ())

    @property
    def description(self) -> BackboneDescription:
        return self._description

    @property
    def processor(self) -> TableProcessor:
        return self._processor

    def example_batch(self) -> Batch:
        return self._processor.prepare({name: [None, None] for name in self._names}).batch

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        hidden = self._embedded(batch)
        for block in range(cut):
            hidden = self.model.run(block, hidden, layout)
        return Batch({HIDDEN: hidden})

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        hidden = state[HIDDEN] if cut else self._embedded(state)
        for block in range(cut, len(self._description.parts)):
            hidden = self.model.run(block, hidden, layout)
        value = self.model.read(hidden, layout)
        lengths = None
        if layout == Layout.SEQUENCE:
            lengths = torch.full(value.shape[:1], value.shape[1], device=value.device)
        return Features(layout, (value,), lengths)

    def _embedded(self, batch: Batch) -> Tensor:
        numbers, categories = batch.tensors.get(NUMBERS), batch.tensors.get(CATEGORIES)
        dtype = next(self.model.parameters()).dtype
        return self.model.embed(None if numbers is None else numbers.to(dtype), categories)


def sketched(config: AnyTable) -> AnyTable:
    """Make up a number and a category where columns are not known yet."""
    if config.learned is not None:
        return config
    number = NumberColumn(name="number", mean=0.0, scale=1.0, sign=False)
    category = CategoryColumn(name="category", categories=("a", "b"), sign=False)
    return config.model_copy(update={"learned": (number, category)})


def shape_of(config: TableConfig, name: str) -> tuple[int, tuple[int, ...]]:
    """Give how many numbers a row becomes, and the places of each column of categories.

    Raises:
        NoTableYet: when the columns are not known, naming the backbone.
    """
    numbers, sizes = number_count(config), category_sizes(config)
    if numbers is None or sizes is None:
        raise NoTableYet(name)
    return numbers, sizes


@dataclass(eq=False)
class NoTableYet(TaskgraftError):
    """A table backbone that is built before it has seen a table."""

    name: str

    def __str__(self) -> str:
        return f"'{self.name}' has not learned yet what the columns of its table are. Fit it first, or start from an artifact."
