"""Rows of a table → numbers and places of categories, whole columns at a time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from taskgraft.plugin import (
    CATEGORY,
    ELEMENT_AXIS,
    NUMBER,
    Batch,
    Columns,
    ElementKind,
    ElementSchema,
    MissingColumn,
    ProcessedBatch,
    Processor,
    join_words,
)
from taskgraft_fraud.cells import Cells, column_of
from taskgraft_fraud.columns import READ
from taskgraft_fraud.settings import CategoryColumn, Column, NumberColumn, TimeColumn
from taskgraft_fraud.times import DAY, moment

NUMBERS, CATEGORIES = "numbers", "categories"
"""Tensors of a prepared batch: ``(batch, number)`` float32, and ``(batch, column)`` int64, the place of each category."""

UNKNOWN, MISSING = 0, 1
"""The places of what is no known category, and of a missing value where the column has a sign for it."""

EDGE = 1e-4
"""The least and the largest rank that quantile scaling gives (so 3.7 standard deviations), from 0 to 1."""

PERIODS = {"hour": 1.0, "weekday": 7.0, "yearday": 365.2425}
"""How many days each cycle takes. They begin at 1970-01-01, a Thursday."""


class TableProcessor(Processor):
    """Scales numbers, finds the places of categories, and takes times apart.

    The numbers of a row stand in the order of its columns, those of a time side by side, each column's sign for a missing value
    behind its own. A missing number is 0, the mean, and so is all that a missing time becomes. A cell that cannot be read is as
    good as missing; its row is refused besides.
    """

    def __init__(self, columns: Sequence[Column]):
        self.columns = tuple(columns)
        self._places = _places(self.columns)

    @property
    def summary(self) -> tuple[str, ...]:
        return tuple(f"{column.name}: {_said(column)}" for column in self.columns)

    @property
    def element_schema(self) -> ElementSchema:
        kinds = [
            ElementKind(name=column.name, categories=column.categories)
            if isinstance(column, CategoryColumn)
            else ElementKind(name=column.name, numbers=column.size)
            for column in self.columns
        ]
        return ElementSchema(kinds=tuple(kinds), by_position=True)

    def element_values(self, batch: Batch) -> Batch:
        shape = len(batch), len(self.columns)
        category = torch.full(shape, -1)
        number = torch.full((*shape, max(kind.numbers for kind in self.element_schema.kinds)), torch.nan)
        for element, (column, place) in enumerate(zip(self.columns, self._places, strict=True)):
            if isinstance(column, CategoryColumn):
                category[:, element] = (batch[CATEGORIES][:, place] - (1 + column.sign)).clamp(min=-1)
                continue
            end = place + column.size
            cells = batch[NUMBERS][:, place:end]
            missing = batch[NUMBERS][:, end, None] if column.sign else torch.zeros(len(batch), 1)
            number[:, element, : end - place] = torch.where(missing > 0, torch.nan, cells)
        tensors = {CATEGORY: category, NUMBER: number}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: torch.full(shape[:1], shape[1])})

    def mask_elements(self, batch: Batch, hidden: Tensor, seeds: Sequence[int]) -> Batch:
        """Hide columns by making them missing, for which each has a sign."""
        tensors = {name: tensor.clone() for name, tensor in batch.tensors.items()}
        for element, (column, place) in enumerate(zip(self.columns, self._places, strict=True)):
            some = hidden[:, element]
            if isinstance(column, CategoryColumn):
                tensors[CATEGORIES][some, place] = MISSING
            else:
                end = place + column.size
                tensors[NUMBERS][some, place:end] = 0.0
                tensors[NUMBERS][some, end] = 1.0
        return Batch(tensors)

    def settings(self) -> Mapping[str, Any]:
        return {"columns": [column.model_dump(mode="json") for column in self.columns]}

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        blocks: list[NDArray[np.float32]] = []
        places: list[NDArray[np.int64]] = []
        refused: dict[int, str] = {}
        notes: Counter[str] = Counter()
        for column in self.columns:
            if column.name not in inputs:
                raise MissingColumn(column.name, "the table", tuple(inputs))
            cells = READ[column.kind](column_of(inputs[column.name]), column.name)
            refused = {**cells.refused, **refused}
            if isinstance(column, CategoryColumn):
                found = _places_in(column, cells)
                places.append(found)
                if unknown := int(((found == UNKNOWN) & ~cells.missing).sum()):
                    notes[f"'{column.name}' is no category that training rows often have"] += unknown
                continue
            if not column.sign and (count := int(cells.missing.sum())):
                notes[f"'{column.name}' is missing, as in no training row, so its mean is taken"] += count
            block = _scaled(column, cells) if isinstance(column, NumberColumn) else _taken_apart(column, cells)
            absent = ~cells.usable
            block[absent] = 0.0
            blocks += [block, absent[:, None].astype(np.float32)] if column.sign else [block]
        tensors = {}
        if blocks:
            tensors[NUMBERS] = torch.from_numpy(np.concatenate(blocks, axis=1, dtype=np.float32))
        if places:
            tensors[CATEGORIES] = torch.from_numpy(np.stack(places, axis=1))
        return ProcessedBatch(Batch(tensors), dict(sorted(refused.items())), dict(notes))


def _places(columns: Sequence[Column]) -> tuple[int, ...]:
    """Say where each column's first number stands among the numbers, or its place among the categories."""
    found, numbers_so_far, categories_so_far = [], 0, 0
    for column in columns:
        if isinstance(column, CategoryColumn):
            found.append(categories_so_far)
            categories_so_far += 1
        else:
            found.append(numbers_so_far)
            numbers_so_far += column.size + column.sign
    return tuple(found)


def _said(column: Column) -> str:
    """Say in a few words what a column is."""
    missing = ", may be missing" if column.sign else ""
    if isinstance(column, CategoryColumn):
        shown = ", ".join(column.categories[:3])
        return f"category, {len(column.categories):,} of them{f' ({shown}, …)' if shown else ''}{missing}"
    if isinstance(column, TimeColumn):
        read = join_words((*column.cycles, *["days elapsed"] * column.elapsed))
        return f"time from {column.first} on, read as {read}{missing}"
    return f"number, mean {column.mean:.6g}, standard deviation {column.scale:.6g}{missing}"


def _scaled(column: NumberColumn, read: Cells) -> NDArray[np.float32]:
    """Scale numbers: ``(row, 1)``."""
    if not column.quantiles:
        return ((read.values - column.mean) / column.scale).astype(np.float32)[:, None]  # type: ignore[no-any-return]
    quantiles = np.array(column.quantiles)
    ranks = np.linspace(0, 1, len(quantiles))
    # Both ways, for where quantiles are equal a value has many ranks, and their middle is taken.
    low = np.interp(read.values, quantiles, ranks)
    high = 1 - np.interp(-read.values, -quantiles[::-1], ranks)
    clipped = torch.from_numpy(np.clip((low + high) / 2, EDGE, 1 - EDGE))
    return torch.special.ndtri(clipped).float().numpy()[:, None]  # type: ignore[no-any-return]


def _taken_apart(column: TimeColumn, read: Cells) -> NDArray[np.float32]:
    """Give where times stand in each cycle, as sine and cosine, and the days since the first: ``(row, column.size)``."""
    days = read.values / DAY
    found = []
    for cycle in column.cycles:
        angle = 2 * np.pi * (days / PERIODS[cycle] % 1.0)
        found += [np.sin(angle), np.cos(angle)]
    if column.elapsed:
        found.append(((read.values - moment(column.first)) / DAY - column.mean) / column.scale)
    return np.stack(found, axis=1).astype(np.float32)


def _places_in(column: CategoryColumn, read: Cells) -> NDArray[np.int64]:
    """Find the place of each category: ``(row,)``."""
    found = pc.index_in(read.values, value_set=pa.array(column.categories, pa.large_string()))
    numbered = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    absent = MISSING if column.sign else UNKNOWN
    return np.where(numbered >= 0, numbered + 1 + column.sign, np.where(read.usable, UNKNOWN, absent))
