"""The inputs and outputs of baselines: columns, as a table backbone reads them, in one matrix; labels as class indices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Columns, Label, Predictions, label_indices, label_key, sort_labels
from taskgraft_fraud.columns import fit_config
from taskgraft_fraud.processor import CATEGORIES, NUMBERS, TableProcessor
from taskgraft_fraud.settings import CategoryColumn, Column, ColumnKindsConfig, TableConfig

Matrix = NDArray[np.float64]


def fit_columns(inputs: Columns, settings: ColumnKindsConfig, max_categories: int) -> tuple[Column, ...]:
    """Fit the columns as a table backbone with the same settings does, numbers standardized also for trees.

    Trees decide the same at any scale, and a float32 has too few digits for numbers far from 0.

    Args:
        max_categories: per column.

    Raises:
        FraudError: as :func:`taskgraft_fraud.columns.fit_config` does.
    """
    config = TableConfig(columns=settings.columns, categories=max_categories)
    return fit_config(config, inputs).learned or ()


def one_hot_matrix(columns: Sequence[Column], inputs: Columns) -> Matrix:
    """Build the matrix for a regression, ``(row, column)``: numbers, then one-hot categories."""
    numbers, categories = _processed(columns, inputs)
    sizes = [column.size for column in columns if isinstance(column, CategoryColumn)]
    one_hot = [indices[:, None] == np.arange(size) for indices, size in zip(categories.T, sizes, strict=True)]
    return np.concatenate([numbers, *one_hot], axis=1)


def ordinal_matrix(columns: Sequence[Column], inputs: Columns) -> Matrix:
    """Build the matrix for trees, ``(row, column)``: numbers, then category indices."""
    return np.concatenate(_processed(columns, inputs), axis=1)


def encode_labels(labels: Sequence[Any]) -> tuple[tuple[Label, ...], NDArray[np.int64]]:
    """Give the classes, sorted, and the class index of each row, ``(row,)``."""
    classes = sort_labels({label_key(label): label for label in labels}.values())
    indices = label_indices(classes)
    return classes, np.array([indices[label_key(label)] for label in labels])


def most_likely_class(probabilities: Matrix, classes: tuple[Label, ...]) -> Predictions:
    """Predict the most likely class of each row, and the probabilities of all, ``(row, class)``."""
    values = [classes[index] for index in probabilities.argmax(1).tolist()]
    return Predictions(values, list(probabilities.astype(np.float32)), classes)


def _processed(columns: Sequence[Column], inputs: Columns) -> tuple[Matrix, NDArray[np.int64]]:
    """Compute numbers, ``(row, number)``, and category indices, ``(row, column)``.

    An invalid cell counts as missing, and its row is predicted. The model's own processor decides about invalid rows.
    """
    batch = TableProcessor(columns).prepare(inputs).batch
    empty = np.zeros((len(batch), 0))
    numbers, categories = (batch[name].numpy() if name in batch.tensors else empty for name in (NUMBERS, CATEGORIES))
    return numbers.astype(np.float64), categories.astype(np.int64)
