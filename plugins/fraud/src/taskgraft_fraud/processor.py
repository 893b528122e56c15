"""Rows of a table → numbers and places of categories, whole columns at a time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from taskgraft.backbone import Prepared, Processor
from taskgraft.batch import Batch
from taskgraft.error import listed
from taskgraft.rows import ColumnMissing
from taskgraft.spec import Columns
from taskgraft_fraud.cells import Cells, column_of, moment, numbers, texts, times
from taskgraft_fraud.columns import DAY
from taskgraft_fraud.settings import CategoryColumn, Column, NumberColumn, TimeColumn

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
    behind its own. A missing number is 0, the mean, and so is all that a missing time becomes.
    """

    def __init__(self, columns: Sequence[Column]):
        self.columns = tuple(columns)

    @property
    def shown(self) -> tuple[str, ...]:
        return tuple(f"{column.name}: {_said(column)}" for column in self.columns)

    def settings(self) -> Mapping[str, Any]:
        return {"columns": [column.model_dump(mode="json") for column in self.columns]}

    def prepare(self, inputs: Columns) -> Prepared:
        blocks: list[NDArray[np.float32]] = []
        places: list[NDArray[np.int64]] = []
        refused: dict[int, str] = {}
        notes: Counter[str] = Counter()
        for column in self.columns:
            if column.name not in inputs:
                raise ColumnMissing(column.name, "the table", tuple(inputs))
            cells = column_of(inputs[column.name])
            if isinstance(column, CategoryColumn):
                found = places_of(column, cells)
                refused = {**found.refused, **refused}
                places.append(found.values)
                if unknown := int(((found.values == UNKNOWN) & ~found.missing).sum()):
                    notes[f"'{column.name}' is no category that training rows often have"] += unknown
                continue
            read = numbers(cells, column.name) if isinstance(column, NumberColumn) else times(cells, column.name)
            refused = {**read.refused, **refused}
            if not column.sign and (absent := int(read.missing.sum())):
                notes[f"'{column.name}' is missing, as in no training row, so its mean is taken"] += absent
            block = _scaled(column, read) if isinstance(column, NumberColumn) else _taken_apart(column, read)
            block[read.missing] = 0.0
            blocks += [block, read.missing[:, None].astype(np.float32)] if column.sign else [block]
        tensors = {}
        if blocks:
            tensors[NUMBERS] = torch.from_numpy(np.concatenate(blocks, axis=1, dtype=np.float32))
        if places:
            tensors[CATEGORIES] = torch.from_numpy(np.stack(places, axis=1))
        return Prepared(Batch(tensors), dict(sorted(refused.items())), dict(notes))


def _said(column: Column) -> str:
    """Say in a few words what a column is."""
    missing = ", may be missing" if column.sign else ""
    if isinstance(column, CategoryColumn):
        shown = ", ".join(column.categories[:3])
        return f"category, {len(column.categories):,} of them{f' ({shown}, …)' if shown else ''}{missing}"
    if isinstance(column, TimeColumn):
        read = listed((*column.cycles, *["days elapsed"] * column.elapsed))
        return f"time from {column.first} on, read as {read}{missing}"
    return f"number, mean {column.mean:.6g}, standard deviation {column.scale:.6g}{missing}"


def _scaled(column: NumberColumn, read: Cells) -> NDArray[np.float32]:
    """Scale numbers: ``(row, 1)``."""
    if not column.quantiles:
        return ((read.values - column.mean) / column.scale).astype(np.float32)[:, None]
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


def places_of(column: CategoryColumn, cells: pa.Array) -> Cells:
    """Find the place of each category: ``(row,)`` int64."""
    missing = np.asarray(pc.is_null(cells).to_numpy(zero_copy_only=False), dtype=np.bool_)
    places = np.full(len(cells), UNKNOWN, np.int64)
    places[missing] = MISSING if column.sign else UNKNOWN
    try:
        text = texts(cells)
    except pa.ArrowException:
        bad = np.flatnonzero(~missing).tolist()
        return Cells(
            places, missing, {row: f"'{column.name}' is {cells[row].as_py()!r:.60}, not a category" for row in bad}
        )
    found = pc.index_in(text, value_set=pa.array(column.categories, text.type))
    numbered = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    places[numbered >= 0] = numbered[numbered >= 0] + 1 + column.sign
    return Cells(places, missing)
