"""Table rows → scaled numbers and category indices, whole columns at a time."""

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
    scale_numbers,
    too_far,
)
from taskgraft_fraud.columns import PARSERS
from taskgraft_fraud.parse_cells import ParsedColumn, canonical_texts, invalid_reasons, to_arrow_array
from taskgraft_fraud.parse_times import DAY, parse_formatted_time
from taskgraft_fraud.settings import CategoryColumn, Column, NumberColumn, TimeColumn

NUMBERS, CATEGORIES = "numbers", "categories"
"""Tensors of a processed batch: ``(batch, number)`` float32, and ``(batch, column)`` int64, category indices."""

UNKNOWN, MISSING = 0, 1
"""Category indices of an unknown category, and of a missing value if the column has a missing indicator."""

TRUTH_VALUES = frozenset({"true", "false"})

RANK_MARGIN = 1e-4
"""Quantile scaling clips ranks to this margin from 0 and 1, so to 3.7 standard deviations."""

QUANTILE_ADVICE = '; the backbone\'s scaling = "quantile" has no such limit'

PERIOD_DAYS = {"hour": 1.0, "weekday": 7.0, "yearday": 365.2425}
"""Length of each cycle in days. They start at 1970-01-01, a Thursday."""


class TableProcessor(Processor):
    """Scales numbers, looks up categories, and computes features of times.

    The numbers of a row are in the order of its columns; a time gives several, and the missing indicator of a column follows
    its values. A missing number is 0, the mean, and so are all features of a missing time. An invalid cell counts as missing,
    and its row is reported as invalid; so is one so far from the training rows that no model can compute with it.
    """

    def __init__(self, columns: Sequence[Column]):
        self.columns = tuple(columns)
        self._offsets = _column_offsets(self.columns)

    @property
    def summary(self) -> tuple[str, ...]:
        return tuple(f"{column.name}: {_column_summary(column)}" for column in self.columns)

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
        for element, (column, start) in enumerate(zip(self.columns, self._offsets, strict=True)):
            if isinstance(column, CategoryColumn):
                category[:, element] = (batch[CATEGORIES][:, start] - (1 + column.sign)).clamp(min=-1)
                continue
            end = start + column.size
            values = batch[NUMBERS][:, start:end]
            missing = batch[NUMBERS][:, end, None] if column.sign else torch.zeros(len(batch), 1)
            number[:, element, : end - start] = torch.where(missing > 0, torch.nan, values)
        tensors = {CATEGORY: category, NUMBER: number}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: torch.full(shape[:1], shape[1])})

    def mask_elements(self, batch: Batch, masked: Tensor, seeds: Sequence[int]) -> Batch:
        """Mask columns by making them missing; every column has a missing indicator."""
        tensors = {name: tensor.clone() for name, tensor in batch.tensors.items()}
        for element, (column, start) in enumerate(zip(self.columns, self._offsets, strict=True)):
            rows = masked[:, element]
            if isinstance(column, CategoryColumn):
                tensors[CATEGORIES][rows, start] = MISSING
            else:
                end = start + column.size
                tensors[NUMBERS][rows, start:end] = 0.0
                tensors[NUMBERS][rows, end] = 1.0
        return Batch(tensors)

    def settings(self) -> Mapping[str, Any]:
        return {"columns": [column.model_dump(mode="json") for column in self.columns]}

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        numbers: list[NDArray[np.float32]] = []
        categories: list[NDArray[np.int64]] = []
        invalid: dict[int, str] = {}
        notes: Counter[str] = Counter()
        for column in self.columns:
            if column.name not in inputs:
                raise MissingColumn(column.name, "the table", tuple(inputs))
            raw = to_arrow_array(inputs[column.name])
            cells = PARSERS[column.kind](raw, column.name)
            invalid = {**cells.invalid, **invalid}
            if isinstance(column, CategoryColumn):
                indices = _category_indices(column, cells)
                categories.append(indices)
                if unknown := int(((indices == UNKNOWN) & ~cells.missing).sum()):
                    notes[f"'{column.name}' has an unknown or rare category"] += unknown
                continue
            if not column.sign and (count := int(cells.missing.sum())):
                notes[f"'{column.name}' is missing, but never in training, so its mean is used"] += count
            block, far = _scale(column, cells) if isinstance(column, NumberColumn) else _time_features(column, cells)
            absent = ~cells.usable | far
            if (far := far & cells.usable).any():
                why = f"{too_far(column.mean, column.scale)}{QUANTILE_ADVICE * (column.kind == 'number')}"
                invalid = {**invalid_reasons(raw, far, column.name, why), **invalid}
            block[absent] = 0.0
            numbers += [block, absent[:, None].astype(np.float32)] if column.sign else [block]
        tensors = {}
        if numbers:
            tensors[NUMBERS] = torch.from_numpy(np.concatenate(numbers, axis=1, dtype=np.float32))
        if categories:
            tensors[CATEGORIES] = torch.from_numpy(np.stack(categories, axis=1))
        return ProcessedBatch(Batch(tensors), dict(sorted(invalid.items())), dict(notes))


def _column_offsets(columns: Sequence[Column]) -> tuple[int, ...]:
    """Give the index of each column's first number among the numbers, or of its category among the categories."""
    offsets, number_count, category_count = [], 0, 0
    for column in columns:
        if isinstance(column, CategoryColumn):
            offsets.append(category_count)
            category_count += 1
        else:
            offsets.append(number_count)
            number_count += column.size + column.sign
    return tuple(offsets)


def _column_summary(column: Column) -> str:
    """Describe a fitted column in a few words."""
    missing = ", may be missing" if column.sign else ""
    if isinstance(column, CategoryColumn):
        count = len(column.categories)
        examples = ", ".join((*column.categories[:3], *["…"] * (count > 3)))
        return f"category, {count:,} value{'' if count == 1 else 's'}{f' ({examples})' if count else ''}{missing}"
    if isinstance(column, TimeColumn):
        features = join_words((*column.cycles, *["days elapsed"] * column.elapsed))
        return f"time since {column.first}, as {features}{missing}"
    return f"number, mean {column.mean:.6g}, standard deviation {column.scale:.6g}{missing}"


_Scaled = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Features of a column, ``(row, number)``, and which rows are too far from the training rows, ``(row,)``."""


def _scale(column: NumberColumn, cells: ParsedColumn) -> _Scaled:
    """Scale numbers to one feature."""
    if not column.quantiles:
        scaled, far = scale_numbers(cells.values, column.mean, column.scale)
        return np.where(far, 0.0, scaled).astype(np.float32)[:, None], far
    quantiles = np.array(column.quantiles)
    ranks = np.linspace(0, 1, len(quantiles))
    # A value that equals several quantiles has many ranks; interpolating from both ends gives their middle.
    low = np.interp(cells.values, quantiles, ranks)
    high = 1 - np.interp(-cells.values, -quantiles[::-1], ranks)
    clipped = torch.from_numpy(np.clip((low + high) / 2, RANK_MARGIN, 1 - RANK_MARGIN))
    return torch.special.ndtri(clipped).float().numpy()[:, None], np.zeros(len(clipped), np.bool_)


def _time_features(column: TimeColumn, cells: ParsedColumn) -> _Scaled:
    """Compute sine and cosine of each cycle, and the scaled days since the first time: ``column.size`` features."""
    days = cells.values / DAY
    features, far = [], np.zeros(len(days), np.bool_)
    for cycle in column.cycles:
        angle = 2 * np.pi * (days / PERIOD_DAYS[cycle] % 1.0)
        features += [np.sin(angle), np.cos(angle)]
    if column.elapsed:
        elapsed, far = scale_numbers(
            (cells.values - parse_formatted_time(column.first)) / DAY, column.mean, column.scale
        )
        features.append(np.where(far, 0.0, elapsed))
    return np.stack(features, axis=1).astype(np.float32), far


def _category_indices(column: CategoryColumn, cells: ParsedColumn) -> NDArray[np.int64]:
    """Look up the index of each category: ``(row,)``. In a column of truth values 1 is true."""
    known = canonical_texts(pa.array(column.categories, pa.large_string()))
    values = cells.values
    if set(known.to_pylist()) <= TRUTH_VALUES:
        values = pc.if_else(pc.equal(values, "1"), "true", pc.if_else(pc.equal(values, "0"), "false", values))
    matches = pc.index_in(values, value_set=known)
    positions = pc.fill_null(matches, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    absent = MISSING if column.sign else UNKNOWN
    return np.where(positions >= 0, positions + 1 + column.sign, np.where(cells.usable, UNKNOWN, absent))
