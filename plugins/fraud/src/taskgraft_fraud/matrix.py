"""Raw columns as a matrix of numbers, for baselines: what columns hold is found out from the training rows, simply."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft.spec import Columns
from taskgraft_fraud.baseline_settings import AnyColumn, CategoryColumn, NumberColumn
from taskgraft_fraud.column import array_of, numbers_of

Matrix = NDArray[np.float64]


def learned_columns(inputs: Columns, most: int) -> tuple[AnyColumn, ...]:
    """Find out what each column holds: numbers where all that is present is a number, else categories.

    Args:
        most: levels that a category keeps.
    """
    return tuple(_learned(name, array_of(values), most) for name, values in inputs.items())


def expanded(columns: Sequence[AnyColumn], inputs: Columns) -> Matrix:
    """Make columns around 0, as a regression wants them, ``(row, column)``: see :class:`LogisticRegressionLearned`."""
    made: list[Matrix] = []
    for column in columns:
        if column.kind == "number":
            numbers = _numbers(array_of(inputs[column.name]))
            missing = np.isnan(numbers)
            made.append(np.where(missing, 0.0, (numbers - column.mean) / column.scale)[:, None])
            if column.gaps:
                made.append(missing[:, None].astype(np.float64))
        else:
            codes = _codes(array_of(inputs[column.name]), column)
            made.append((codes[:, None] == np.arange(len(column.levels))).astype(np.float64))
    return np.concatenate(made, axis=1)


def numbered(columns: Sequence[AnyColumn], inputs: Columns) -> Matrix:
    """Make one column of each, as trees want them, ``(row, column)``: a number or NaN, or the number of a level.

    A value that is none of the levels has the number after the last.
    """
    found = [
        _numbers(array_of(inputs[column.name]))
        if column.kind == "number"
        else _codes(array_of(inputs[column.name]), column).astype(np.float64)
        for column in columns
    ]
    return np.stack(found, axis=1)


def _learned(name: str, values: pa.Array, most: int) -> AnyColumn:
    numbers = numbers_of(values)
    if numbers is None:
        counts = Counter(_texts(values))
        return CategoryColumn(name=name, levels=tuple(sorted(counts, key=lambda level: (-counts[level], level))[:most]))
    present = numbers[~np.isnan(numbers)]
    mean, scale = (float(present.mean()), float(present.std())) if len(present) else (0.0, 1.0)
    return NumberColumn(name=name, mean=mean, scale=scale or 1.0, gaps=len(present) < len(numbers))


def _numbers(values: pa.Array) -> Matrix:
    """Read numbers, ``(row,)``; what is none, in rows that were not learned from, is missing."""
    numbers = numbers_of(values)
    if numbers is not None:
        return numbers
    alone = (numbers_of(values[row : row + 1]) for row in range(len(values)))
    return np.array([np.nan if number is None else number[0] for number in alone])


def _codes(values: pa.Array, column: CategoryColumn) -> NDArray[np.int64]:
    """Number the levels of a column, ``(row,)``, with one number more for all that is none."""
    numbers = {level: number for number, level in enumerate(column.levels)}
    return np.array([numbers.get(text, len(numbers)) for text in _texts(values)], dtype=np.int64)


def _texts(values: pa.Array) -> list[str]:
    return ["" if value is None else str(value) for value in values.to_pylist()]
