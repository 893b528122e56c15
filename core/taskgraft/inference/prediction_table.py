"""Predictions as output tables, written in row order, one window of rows after another."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft.contract.descriptions import PER_ELEMENT, TargetKind
from taskgraft.contract.predictions import Predictions, probabilities_by_label
from taskgraft.contract.rows import Rows
from taskgraft.inference.errors import InferenceError, NoProbabilities
from taskgraft.inference.writers import CsvWriter, check_output, check_unique, open_writer, writer_type
from taskgraft.progress import ProgressReporter

ROWS_PER_WINDOW, GRIDS_PER_WINDOW = 4_096, 64
"""Rows that are predicted and written at a time; fewer where the prediction of a row is a grid of labels."""

_GRID_TARGETS = frozenset({TargetKind.GRID_CATEGORIES, TargetKind.PAIR_CATEGORIES})


@dataclass(frozen=True)
class PredictionColumns:
    """The columns of the output.

    Attributes:
        target: what kind of target the head predicts.
        names: the target columns, or the names that distinguish the predictions of one row. Several get a column each.
        probabilities: whether to add the probability of every class.
        top: how many of the most likely classes to add, with their probabilities.
        keep: columns of the data, placed before the predictions.
    """

    target: TargetKind
    names: tuple[str, ...]
    probabilities: bool = False
    top: int | None = None
    keep: tuple[str, ...] = ()


def write_predictions(
    rows: Rows,
    predict: Callable[[Rows], Predictions],
    columns: PredictionColumns,
    output: Path | TextIO,
    *,
    form: Literal["csv", "jsonl"] = "csv",
    overwrite: bool = False,
    reporter: ProgressReporter,
) -> int:
    """Predict for all rows into a file, in the format of its suffix, or into an open text stream; return their number.

    Args:
        predict: predicts for some of the rows.
        form: of a text stream.

    Raises:
        OutputError: if the file exists, has another suffix, or cannot be written.
        MissingColumn: for a kept column.
        InferenceError, NoProbabilities: for two columns of one name, or what these predictions do not have.
    """
    if isinstance(output, Path):
        check_output(output, "predictions", overwrite=overwrite)
    if columns.target in _GRID_TARGETS and writer_type(output, "predictions", form) is CsvWriter:
        raise InferenceError(
            "This model predicts a grid of labels for each row, which a CSV cell cannot hold. Write a .jsonl or .parquet "
            'file, or print JSON lines (--json, form="jsonl").'
        )
    for column in columns.keep:
        rows.column(column)  # raises when there is no such column
    size = GRIDS_PER_WINDOW if columns.target in _GRID_TARGETS else ROWS_PER_WINDOW
    starts = range(0, len(rows), size) or (0,)
    with open_writer(output, "predictions", len(rows), form) as writer:
        for start in reporter.track(starts, "predicting", len(starts)):
            window = rows.take(range(start, min(start + size, len(rows))))
            writer.write(_output_table(window, predict(window), columns))
    return len(rows)


def _output_table(rows: Rows, predictions: Predictions, wanted: PredictionColumns) -> pa.Table:
    columns = [(name, rows.table.column(name)) for name in wanted.keep]
    columns += _prediction_columns(predictions, wanted)
    if wanted.probabilities or wanted.top is not None:
        if predictions.values and predictions.probabilities is None:
            raise NoProbabilities("This model predicts without probabilities. Ask for the predictions alone.")
        columns += [] if wanted.top is None else _top_columns(predictions, wanted.target, wanted.top)
        columns += _probability_columns(predictions, wanted.target) if wanted.probabilities else []
    check_unique([name for name, _ in columns])
    return pa.table(dict(columns))


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
    if wanted.target in _GRID_TARGETS:
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
