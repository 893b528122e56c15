"""Predictions for data of any length, written as they come: in the order of the rows, a window of rows at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa

from taskgraft.contract.descriptions import PER_ELEMENT, TargetKind
from taskgraft.contract.predictions import Predictions, probabilities_by_label
from taskgraft.contract.rows import Rows
from taskgraft.errors import TaskgraftError
from taskgraft.inference.prediction_files import SUFFIXES, Form, Writer, check_output, open_file, text_writer
from taskgraft.progress import ProgressReporter

WINDOW = 4_096
"""Rows that are predicted and written at a time."""

GRIDS = frozenset({TargetKind.GRID_CATEGORIES, TargetKind.PAIR_CATEGORIES})
"""Kinds of target of which each row is predicted as a grid of labels."""

WINDOW_OF_GRIDS = 64
"""Rows of grids that are predicted and written at a time."""


@dataclass(frozen=True)
class PredictionColumns:
    """What is written of each row.

    Attributes:
        target: the kind of target that the head predicts.
        names: the target columns, or the names by which each row's predictions are told apart. Several get a column each.
        probabilities: whether the probability of every class is added.
        top: how many of the likeliest classes are added, with their probabilities.
        keep: columns of the data that stand before the predictions.
    """

    target: TargetKind
    names: tuple[str, ...]
    probabilities: bool = False
    top: int | None = None
    keep: tuple[str, ...] = ()


def write_predictions(
    rows: Rows,
    predict: Callable[[Rows], Predictions],
    wanted: PredictionColumns,
    path: Path,
    *,
    overwrite: bool,
    reporter: ProgressReporter,
) -> int:
    """Predict for all rows into a file; its suffix says how it is written.

    Args:
        predict: makes the predictions of some of the rows.

    Returns:
        the number of rows.

    Raises:
        OutputError: for a file that is there already, another suffix, or a place that cannot be written.
        GridsInCsv: when each row is predicted as a grid of labels.
        BadColumns: when two columns would have one name.
    """
    check_output(path, overwrite=overwrite)
    _check_form(wanted, SUFFIXES[path.suffix.lower()])
    with open_file(path) as writer:
        return _write(rows, predict, wanted, writer, reporter)


def print_predictions(
    rows: Rows,
    predict: Callable[[Rows], Predictions],
    wanted: PredictionColumns,
    stream: TextIO,
    form: Form,
    reporter: ProgressReporter,
) -> int:
    """Predict for all rows into an open text stream, as CSV or JSON lines.

    Returns:
        the number of rows.

    Raises:
        GridsInCsv, BadColumns: as :func:`write_predictions` does.
    """
    _check_form(wanted, form)
    return _write(rows, predict, wanted, text_writer(stream, form), reporter)


def _write(
    rows: Rows,
    predict: Callable[[Rows], Predictions],
    wanted: PredictionColumns,
    writer: Writer,
    reporter: ProgressReporter,
) -> int:
    for column in wanted.keep:
        rows.values(column, 0, 0)  # raises when there is no such column
    size = WINDOW_OF_GRIDS if wanted.target in GRIDS else WINDOW
    starts = range(0, len(rows), size) or (0,)
    for start in reporter.track(starts, "predicting", len(starts)):
        window = rows.take(range(start, min(start + size, len(rows))))
        writer.write(_table(window, predict(window), wanted))
    return len(rows)


def _check_form(wanted: PredictionColumns, form: Form) -> None:
    if wanted.target in GRIDS and form == "csv":
        raise GridsInCsv()


# --- tables


def _table(rows: Rows, found: Predictions, wanted: PredictionColumns) -> pa.Table:
    """Put kept columns, predictions and probabilities of some rows side by side."""
    columns = [(name, rows.table.column(name)) for name in wanted.keep]
    columns += _predicted(found, wanted)
    if wanted.probabilities or wanted.top is not None:
        if found.values and found.probabilities is None:
            raise WithoutProbabilities()
        columns += _likeliest(found, wanted) if wanted.top is not None else []
        columns += _probable(found, wanted) if wanted.probabilities else []
    names = [name for name, _ in columns]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise BadColumns(twice[0])
    return pa.table([values for _, values in columns], names=names)


def _predicted(found: Predictions, wanted: PredictionColumns) -> list[tuple[str, pa.Array]]:
    if wanted.target == TargetKind.NUMBERS:
        if len(wanted.names) == 1:
            numbers = [value[0] if isinstance(value, list | tuple) else value for value in found.values]
            return [("prediction", pa.array(numbers, pa.float64()))]
        return [
            (f"prediction_{name}", pa.array([value[place] for value in found.values], pa.float64()))
            for place, name in enumerate(wanted.names)
        ]
    if wanted.target == TargetKind.INPUTS and wanted.names:
        return [(f"prediction_{name}", pa.array([value[name] for value in found.values])) for name in wanted.names]
    if wanted.target in GRIDS:
        return [("prediction", _grids(found))]
    one = pa.array(found.classes).type if found.classes else None
    if wanted.target != TargetKind.CATEGORY and one is not None:
        one = pa.list_(one)
    return [("prediction", pa.array(found.values, one))]


def _grids(found: Predictions) -> pa.Array:
    """Give arrays of labels, (height, width), as lists of their rows, with integers as small as the arrays have them."""
    arrays = [np.asarray(value) for value in found.values]
    integers = arrays and arrays[0].dtype.kind in "iu"
    one = pa.from_numpy_dtype(arrays[0].dtype) if integers else pa.array(found.classes).type
    return pa.array([list(array) for array in arrays], pa.list_(pa.list_(one)))


def _likeliest(found: Predictions, wanted: PredictionColumns) -> list[tuple[str, pa.Array]]:
    if wanted.target != TargetKind.CATEGORY:
        raise NoRanking(wanted.target)
    assert wanted.top is not None
    probabilities = _matrix(found)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : wanted.top]
    columns = []
    for place in range(order.shape[1]):
        labels = pa.array(found.classes).take(pa.array(order[:, place]))
        chances = pa.array(np.take_along_axis(probabilities, order[:, [place]], axis=1)[:, 0])
        columns += [(f"top_{place + 1}", labels), (f"top_{place + 1}_probability", chances)]
    return columns


def _probable(found: Predictions, wanted: PredictionColumns) -> list[tuple[str, pa.Array]]:
    if wanted.target not in PER_ELEMENT:
        probabilities = _matrix(found)
        return [
            (f"probability_{label}", pa.array(probabilities[:, place])) for place, label in enumerate(found.classes)
        ]
    names = [str(label) for label in found.classes]
    kind = pa.list_(pa.struct([(name, pa.float32()) for name in names]))
    if wanted.target == TargetKind.PAIR_CATEGORIES:
        kind = pa.list_(kind)
    return [
        (
            "probabilities",
            pa.array([probabilities_by_label(row.tolist(), names) for row in found.probabilities or ()], kind),
        )
    ]


def _matrix(found: Predictions) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Give the probabilities as one array, (row, class)."""
    if not found.probabilities:
        return np.zeros((0, len(found.classes)), np.float32)
    return np.stack(found.probabilities).astype(np.float32)


# --- errors


@dataclass(eq=False)
class BadColumns(TaskgraftError):
    """Two columns of one name."""

    column: str

    def __str__(self) -> str:
        return f"The column '{self.column}' is kept and predicted as well, or kept twice. Keep other columns."


@dataclass(eq=False)
class WithoutProbabilities(TaskgraftError):
    """Probabilities asked of a head that has none."""

    def __str__(self) -> str:
        return "This model predicts without probabilities. Ask for the predictions alone."


@dataclass(eq=False)
class NoRanking(TaskgraftError):
    """The likeliest classes, of a head that does not choose one class per row."""

    target: TargetKind

    def __str__(self) -> str:
        return (
            f"The likeliest classes can be had where there is one label per row, but this model predicts {self.target}."
        )


@dataclass(eq=False)
class GridsInCsv(TaskgraftError):
    """A grid of labels per row, in a file whose cells hold one value."""

    def __str__(self) -> str:
        return (
            "This model predicts a grid of labels for each row, which a cell of a CSV file does not hold. Write to a file "
            'that ends in .jsonl or .parquet, or print JSON lines (--json, form="jsonl").'
        )
