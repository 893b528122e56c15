"""What a head predicts, in the user's own labels and units. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """Predictions in the user's own labels or units, one per row.

    Attributes:
        values: a label, a number, a list of labels, a list with a label per element, an array with one per pair of them, …
        probabilities: one array per row, or None for a head that has none. ``(class,)`` for one label or several
            independent ones, ``(element, class)`` for a label per element, ``(element, element, class)`` for one per pair.
        classes: the labels along the class axis.
        positive: the label to detect, for a head that detects one of two.
    """

    values: list[Any]
    probabilities: list[NDArray[np.float32]] | None = None
    classes: tuple[Any, ...] = ()
    positive: Any = None


def probabilities_by_label(row: list[Any], classes: Sequence[Any]) -> Any:
    """Turn a row of ``probabilities``, as a list, into a dict, label → probability; for elements or pairs, lists of dicts."""
    if row and isinstance(row[0], list):
        return [probabilities_by_label(one, classes) for one in row]
    return dict(zip(classes, row, strict=True)) if row else []


def concat_predictions(batches: Sequence[Predictions], order: Sequence[int]) -> Predictions:
    """Concatenate the predictions of several batches, and sort them.

    Args:
        order: the final position of each predicted row, in the order of ``batches``.
    """
    index = np.argsort(np.asarray(order, dtype=np.int64), kind="stable")
    values = [value for batch in batches for value in batch.values]
    rows = [row for batch in batches for row in batch.probabilities or ()]
    values, probabilities = [values[row] for row in index], [rows[row] for row in index] if rows else None
    return replace(batches[0], values=values, probabilities=probabilities) if batches else Predictions([])
