"""What a head predicts, in the user's own labels and units. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """Predictions in the user's own words, one per row.

    Attributes:
        values: a label, a number, a list of labels, a list with a label per element, an array with one per pair of them, …
        probabilities: one array per row, or None for a head that has none. ``(class,)`` for one label or several
            independent ones, ``(element, class)`` for a label per element, ``(element, element, class)`` for one per pair.
        classes: the labels that the class axis counts.
    """

    values: list[Any]
    probabilities: list[NDArray[np.float32]] | None = None
    classes: tuple[Any, ...] = ()


def probabilities_by_label(shares: list[Any], classes: Sequence[Any]) -> Any:
    """Name probabilities by their classes: class → probability for a row, or a list of such for its elements, or pairs of them.

    Args:
        shares: a row of ``probabilities`` as a list.
    """
    if shares and isinstance(shares[0], list):
        return [probabilities_by_label(some, classes) for some in shares]
    return dict(zip(classes, shares, strict=True)) if shares else []


def concat_predictions(pieces: Sequence[Predictions], order: Sequence[int]) -> Predictions:
    """Put predictions of several batches into one.

    Args:
        order: for each predicted row, in the order of ``pieces``, the place where it belongs.
    """
    place = np.argsort(np.asarray(order, dtype=np.int64), kind="stable")
    values = [value for piece in pieces for value in piece.values]
    found = [row for piece in pieces for row in piece.probabilities or ()]
    probabilities = [found[index] for index in place] if found else None
    return Predictions([values[index] for index in place], probabilities, pieces[0].classes if pieces else ())
