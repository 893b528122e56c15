"""What baselines read and answer: columns as a table backbone reads them, in one matrix; labels as numbers, and back."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Columns, Label, Predictions, label_indices, label_key, sort_labels
from taskgraft_fraud.columns import learn
from taskgraft_fraud.processor import CATEGORIES, NUMBERS, TableProcessor
from taskgraft_fraud.settings import CategoryColumn, Column, KindsConfig, TableConfig

Matrix = NDArray[np.float64]


def learned_columns(inputs: Columns, settings: KindsConfig, most: int, *, scaled: bool) -> tuple[Column, ...]:
    """Find out what each column is, as for a table backbone of the same settings.

    Args:
        most: categories of a column.
        scaled: whether numbers are, and not read as they are.

    Raises:
        NoColumns, UnreadableColumn, UnknownColumns: as :func:`learn` does.
    """
    scaling: Literal["standard", "none"] = "standard" if scaled else "none"
    return learn(TableConfig(columns=settings.columns, categories=most, scaling=scaling), inputs).learned or ()


def expanded(columns: Sequence[Column], inputs: Columns) -> Matrix:
    """Make numbers, and a column of 0 and 1 per place of a category, as a regression wants them: ``(row, column)``."""
    numbers, places = _prepared(columns, inputs)
    sizes = [column.size for column in columns if isinstance(column, CategoryColumn)]
    hot = [place[:, None] == np.arange(size) for place, size in zip(places.T, sizes, strict=True)]
    return np.concatenate([numbers, *hot], axis=1)


def numbered(columns: Sequence[Column], inputs: Columns) -> Matrix:
    """Make numbers, and the place of each category, as trees want them: ``(row, column)``, the categories last."""
    return np.concatenate(_prepared(columns, inputs), axis=1)


def labels_of(truth: Sequence[Any]) -> tuple[tuple[Label, ...], NDArray[np.int64]]:
    """Give the different labels, sorted, and the number of each row's."""
    classes = sort_labels({label_key(label): label for label in truth}.values())
    numbers = label_indices(classes)
    return classes, np.array([numbers[label_key(label)] for label in truth])


def likeliest(probabilities: Matrix, classes: tuple[Label, ...]) -> Predictions:
    """Predict the likeliest class of each row, and the probabilities of all, ``(row, class)``."""
    values = [classes[number] for number in probabilities.argmax(1).tolist()]
    return Predictions(values, list(probabilities.astype(np.float32)), classes)


def _prepared(columns: Sequence[Column], inputs: Columns) -> tuple[Matrix, NDArray[np.int64]]:
    """Give the numbers, ``(row, number)``, and the places of categories, ``(row, column)``.

    A row is answered though a cell of it cannot be read: it is as good as missing. Whether such rows count, the model's own
    processor says.
    """
    batch = TableProcessor(columns).prepare(inputs).batch
    nothing = np.zeros((len(batch), 0))
    numbers, places = (batch[name].numpy() if name in batch.tensors else nothing for name in (NUMBERS, CATEGORIES))
    return numbers.astype(np.float64), places.astype(np.int64)
