"""Precision, recall and F1 per class, and the confusion matrix, from predictions and truth of any head."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.labels import label_key


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: labels, and the number of rows for each true class (down) and predicted class (across)."""

    classes: tuple[Any, ...]
    counts: tuple[tuple[int, ...], ...]


def confusion(kind: TargetKind, predictions: Predictions, truth: Sequence[Any]) -> Confusion | None:
    """Count pairs of true and predicted class; None unless each row has one label."""
    if kind != TargetKind.CATEGORY:
        return None
    classes = _classes(kind, predictions, truth)
    counts = Counter(_category_pairs(predictions, truth))
    return Confusion(classes, tuple(tuple(counts[label, true] for label in classes) for true in classes))


def per_class(kind: TargetKind, predictions: Predictions, truth: Sequence[Any]) -> dict[str, dict[str, float]]:
    """Compute precision, recall and F1 of each class.

    Returns:
        text of a label → ``precision``, ``recall`` and ``f1``, from 0 to 1, and ``support``: the number of rows of that class
        (elements, for a label per element). Undefined values are left out: the precision of a class that is never predicted,
        the recall of one that no row has. Empty for numeric targets.
    """
    if kind not in _PAIRS:
        return {}
    pairs = Counter(_PAIRS[kind](predictions, truth))
    predicted, actual = Counter[Any](), Counter[Any]()
    for (label, true), count in pairs.items():
        predicted[label] += count
        actual[true] += count
    return {
        label_key(label): _scores(pairs[label, label], predicted[label], actual[label])
        for label in _classes(kind, predictions, truth)
    }


def _scores(correct: int, predicted: int, actual: int) -> dict[str, float]:
    ratios = {"precision": (correct, predicted), "recall": (correct, actual), "f1": (2 * correct, predicted + actual)}
    return {name: part / whole for name, (part, whole) in ratios.items() if whole} | {"support": actual}


def _classes(kind: TargetKind, predictions: Predictions, truth: Sequence[Any]) -> tuple[Any, ...]:
    """Return the labels in the order of the head, or those that occur, sorted by text, if it names none."""
    if predictions.classes:
        return predictions.classes
    occurring = {label for pair in _PAIRS[kind](predictions, truth) for label in pair} - {None}
    return tuple(sorted(occurring, key=label_key))


_Pairs = Iterator[tuple[Any, Any]]
"""A predicted label and the true one; None where there is none."""


def _category_pairs(predictions: Predictions, truth: Sequence[Any]) -> _Pairs:
    return zip(predictions.values, truth, strict=True)


def _categories_pairs(predictions: Predictions, truth: Sequence[Any]) -> _Pairs:
    """Yield a pair for each label of each row for which it is known."""
    for labels, true_labels in zip(predictions.values, truth, strict=True):
        for label, is_true in true_labels.items():
            if is_true is not None:
                yield label if label in labels else None, label if is_true else None


def _element_pairs(predictions: Predictions, truth: Sequence[Any]) -> _Pairs:
    """Yield a pair for each labelled element; elements that were cut off have no predicted label."""
    for labels, true_labels in zip(predictions.values, truth, strict=True):
        for index, true in enumerate(true_labels):
            if true is not None:
                yield labels[index] if index < len(labels) else None, true


_PAIRS: Mapping[TargetKind, Callable[[Predictions, Sequence[Any]], _Pairs]] = {
    TargetKind.CATEGORY: _category_pairs,
    TargetKind.CATEGORIES: _categories_pairs,
    TargetKind.ELEMENT_CATEGORIES: _element_pairs,
}
