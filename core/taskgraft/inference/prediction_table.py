"""Predictions as output tables, one window of rows after another."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft.contract.descriptions import PER_ELEMENT, TargetKind
from taskgraft.contract.predictions import Predictions, probabilities_by_label
from taskgraft.contract.rows import Rows
from taskgraft.inference.errors import InferenceError, NoProbabilities
from taskgraft.inference.row_results import OnInvalidRow
from taskgraft.inference.writers import check_unique

GRID_TARGETS = frozenset({TargetKind.GRID_CATEGORIES, TargetKind.PAIR_CATEGORIES})
"""Kinds of target of which the prediction of a row is a grid of labels."""


@dataclass(frozen=True)
class PredictionColumns:
    """The columns of the output.

    Attributes:
        target: what kind of target the head predicts.
        names: the target columns, or the names that distinguish the predictions of one row. Several get a column each.
        probabilities: whether to add the probability of every class.
        top: how many of the most likely classes to add, with their probabilities.
        keep: columns of the data, placed before the predictions.
        files: a column of the data that names the file of each row, written as ``file``.
    """

    target: TargetKind
    names: tuple[str, ...]
    probabilities: bool = False
    top: int | None = None
    keep: tuple[str, ...] = ()
    files: str | None = None


class OutputTable:
    """Makes output tables of windows. Those before the first valid row wait until the columns are known."""

    def __init__(self, wanted: PredictionColumns, on_bad_row: OnInvalidRow):
        self._wanted, self._on_bad_row = wanted, on_bad_row
        self._schema: pa.Schema | None = None
        self._waiting: list[tuple[Rows, Mapping[int, str]]] = []

    def add(self, rows: Rows, predictions: Predictions, invalid: Mapping[int, str]) -> Iterator[pa.Table]:
        """Yield the tables that are complete with the predictions for the valid ones of these rows."""
        if invalid and len(invalid) == len(rows) and self._schema is None:
            self._waiting.append((rows, invalid))
            return
        predicted = None if len(invalid) == len(rows) > 0 else _prediction_table(predictions, self._wanted)
        if predicted is not None and self._schema is None:
            self._schema = predicted.schema
            yield from self.finish()
        yield self._table(rows, predicted, invalid)

    def finish(self) -> Iterator[pa.Table]:
        """Yield the tables of rows that wait."""
        for rows, invalid in self._waiting:
            yield self._table(rows, None, invalid)
        self._waiting = []

    def _table(self, rows: Rows, predicted: pa.Table | None, invalid: Mapping[int, str]) -> pa.Table:
        skip = self._on_bad_row == "skip"
        written = [row for row in range(len(rows)) if not (skip and row in invalid)]
        if skip and invalid:
            rows = rows.take(written)
        columns = [place_column(rows)] if skip else []
        if self._wanted.files is not None and "file" not in self._wanted.keep:
            columns.append(("file", rows.table.column(self._wanted.files)))
        columns += [(name, rows.table.column(name)) for name in self._wanted.keep]
        columns += self._prediction_columns(predicted, written, invalid)
        if self._on_bad_row == "null":
            columns.append(("reason", pa.array([invalid.get(row) for row in written], pa.large_string())))
        check_unique([name for name, _ in columns])
        return pa.table(dict(columns))

    def _prediction_columns(
        self, predicted: pa.Table | None, written: Sequence[int], invalid: Mapping[int, str]
    ) -> list[tuple[str, Any]]:
        """Return the columns of predictions, null for rows that have none."""
        if predicted is None:
            schema = self._schema or pa.schema([(name, pa.string()) for name in _names_without_types(self._wanted)])
            return [(field.name, pa.nulls(len(written), field.type)) for field in schema]
        if len(predicted) < len(written):
            valid = iter(range(len(predicted)))
            predicted = predicted.take(
                pa.array([None if row in invalid else next(valid) for row in written], pa.int64())
            )
        return list(zip(predicted.column_names, predicted.columns, strict=True))


def _prediction_table(predictions: Predictions, wanted: PredictionColumns) -> pa.Table:
    columns = _prediction_columns(predictions, wanted)
    if wanted.probabilities or wanted.top is not None:
        if predictions.values and predictions.probabilities is None:
            raise NoProbabilities("This model predicts without probabilities. Ask for the predictions alone.")
        columns += [] if wanted.top is None else _top_columns(predictions, wanted.target, wanted.top)
        columns += _probability_columns(predictions, wanted.target) if wanted.probabilities else []
    check_unique([name for name, _ in columns])
    return pa.table(dict(columns))


def place_column(rows: Rows) -> tuple[str, pa.Array]:
    """Return the lines of rows in their file, or their numbers in the data."""
    if rows.lines is not None:
        return "line", pa.array(rows.lines, pa.int64())
    return "row", pa.array(range(len(rows)) if rows.numbers is None else rows.numbers, pa.int64())


def _names_without_types(wanted: PredictionColumns) -> list[str]:
    """Return the columns of predictions if no row has one."""
    several = wanted.target in (TargetKind.NUMBERS, TargetKind.INPUTS) and len(wanted.names) > 1
    return [f"prediction_{name}" for name in wanted.names] if several else ["prediction"]


def _prediction_columns(predictions: Predictions, wanted: PredictionColumns) -> list[tuple[str, pa.Array]]:
    values = predictions.values
    if wanted.target == TargetKind.NUMBERS:
        if len(wanted.names) == 1:
            numbers = [value[0] if isinstance(value, list | tuple) else value for value in values]
            return [("prediction", pa.array(numbers, pa.float64()))]
        return [
            (f"prediction_{name}", pa.array([value[index] for value in values], pa.float64()))
            for index, name in enumerate(wanted.names)
        ]
    if wanted.target == TargetKind.INPUTS and wanted.names:
        return [(f"prediction_{name}", pa.array([value[name] for value in values])) for name in wanted.names]
    if wanted.target in GRID_TARGETS:
        return [("prediction", _grid_column(predictions))]
    label_type = pa.array(predictions.classes).type if predictions.classes else None
    if wanted.target != TargetKind.CATEGORY and label_type is not None:
        label_type = pa.list_(label_type)
    return [("prediction", pa.array(values, label_type))]


def _grid_column(predictions: Predictions) -> pa.Array:
    """Convert ``(height, width)`` arrays of labels to lists of lists; integers keep their size."""
    grids = [np.asarray(value) for value in predictions.values]
    integers = grids and grids[0].dtype.kind in "iu"
    label_type = pa.from_numpy_dtype(grids[0].dtype) if integers else pa.array(predictions.classes).type
    return pa.array([list(grid) for grid in grids], pa.list_(pa.list_(label_type)))


def _top_columns(predictions: Predictions, target: TargetKind, top: int) -> list[tuple[str, pa.Array]]:
    if target != TargetKind.CATEGORY:
        raise InferenceError(
            f"The most likely classes are defined for one label per row, but this model predicts {target}. Leave top out."
        )
    probabilities = _probability_matrix(predictions)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    columns = []
    for rank in range(order.shape[1]):
        labels = pa.array(predictions.classes).take(pa.array(order[:, rank]))
        likelihood = pa.array(np.take_along_axis(probabilities, order[:, [rank]], axis=1)[:, 0])
        columns += [(f"top_{rank + 1}", labels), (f"top_{rank + 1}_probability", likelihood)]
    return columns


def _probability_columns(predictions: Predictions, target: TargetKind) -> list[tuple[str, pa.Array]]:
    if target not in PER_ELEMENT:
        by_class = _probability_matrix(predictions).T
        return [
            (f"probability_{label}", pa.array(column))
            for label, column in zip(predictions.classes, by_class, strict=True)
        ]
    names = [str(label) for label in predictions.classes]
    value_type = pa.list_(pa.struct([(name, pa.float32()) for name in names]))
    if target == TargetKind.PAIR_CATEGORIES:
        value_type = pa.list_(value_type)
    values = [probabilities_by_label(row.tolist(), names) for row in predictions.probabilities or ()]
    return [("probabilities", pa.array(values, value_type))]


def _probability_matrix(predictions: Predictions) -> NDArray[np.float32]:
    """Return the probabilities as ``(row, class)`` float32."""
    if not predictions.probabilities:
        return np.zeros((0, len(predictions.classes)), np.float32)
    return np.stack(predictions.probabilities).astype(np.float32)
