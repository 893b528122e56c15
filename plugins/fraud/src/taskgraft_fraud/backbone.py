"""Table backbones: one module around the models of several libraries, run block by block."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from taskgraft.plugin import Backbone, BackboneDescription, Batch, Features, Layout
from taskgraft_fraud.description import category_sizes, number_count
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.processor import CATEGORIES, NUMBERS, TableProcessor
from taskgraft_fraud.settings import AnyTable, CategoryColumn, NumberColumn, TableConfig

HIDDEN = "hidden"
"""The tensor of the state at a cut: the input of the next block."""


class TableModel(nn.Module, ABC):
    """A library's model in pieces: cells → input of the first block → … → features."""

    @abstractmethod
    def embed(self, numbers: Tensor | None, categories: Tensor | None) -> Tensor:
        """Compute the input of the first block, ``(batch, …)``.

        Args:
            numbers: ``(batch, number)`` floating point; None if no column has any.
            categories: ``(batch, column)`` int64, category indices; None if no column is categorical.
        """

    @abstractmethod
    def run_block(self, block: int, hidden: Tensor, layout: Layout) -> Tensor:
        """Run one block. The last may compute only what the layout needs."""

    @abstractmethod
    def to_features(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Compute features from the output of the last block."""


class TableBackbone(Backbone):
    """A model for tables. Its weights are initialized at random, so an artifact contains all of them."""

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
        hidden = self._embed(batch)
        for block in range(cut):
            hidden = self.model.run_block(block, hidden, layout)
        return Batch({HIDDEN: hidden})

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        hidden = state[HIDDEN] if cut else self._embed(state)
        for block in range(cut, len(self._description.parts)):
            hidden = self.model.run_block(block, hidden, layout)
        value = self.model.to_features(hidden, layout)
        lengths = None
        if layout == Layout.SEQUENCE:
            lengths = torch.full(value.shape[:1], value.shape[1], device=value.device)
        return Features(layout, (value,), lengths)

    def _embed(self, batch: Batch) -> Tensor:
        numbers, categories = batch.tensors.get(NUMBERS), batch.tensors.get(CATEGORIES)
        dtype = next(self.model.parameters()).dtype
        return self.model.embed(None if numbers is None else numbers.to(dtype), categories)


def with_placeholder_columns(config: AnyTable) -> AnyTable:
    """Add a placeholder number and category column if the backbone is not fitted yet."""
    if config.learned is not None:
        return config
    number = NumberColumn(name="number", mean=0.0, scale=1.0, sign=False)
    category = CategoryColumn(name="category", categories=("a", "b"), sign=False)
    return config.model_copy(update={"learned": (number, category)})


def input_sizes(config: TableConfig, name: str) -> tuple[int, tuple[int, ...]]:
    """Count the numeric features of a row, and the indices of each categorical column.

    Args:
        name: the backbone, for the message.

    Raises:
        FraudError: if the backbone is not fitted yet.
    """
    numbers, sizes = number_count(config), category_sizes(config)
    if numbers is None or sizes is None:
        raise FraudError(
            f"'{name}' does not know the columns of its table yet. Fit it first, or load it from an artifact."
        )
    return numbers, sizes
