"""How each class fares, and which is taken for which: counted from predictions and truth, whatever head made them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.labels import label_key
from taskgraft.contract.predictions import Predictions


@dataclass(frozen=True)
class Confusion:
    """How often each class was taken for each.

    Attributes:
        classes: the labels.
        counts: rows; for each true class (down) a tuple with a number for each predicted class (across).
    """

    classes: tuple[Any, ...]
    counts: tuple[tuple[int, ...], ...]


def confusion(kind: TargetKind, predictions: Predictions, truth: Sequence[Any]) -> Confusion | None:
    """Count which class was taken for which; None unless each row has one label."""
    if kind != TargetKind.CATEGORY:
        return None
    classes = _classes(kind, predictions, truth)
    found = Counter(_of_category(predictions, truth))
    return Confusion(classes, tuple(tuple(found[label, goal] for label in classes) for goal in classes))


def per_class(kind: TargetKind, predictions: Predictions, truth: Sequence[Any]) -> dict[str, dict[str, float]]:
    """Judge each class by itself.

    Returns:
        text of a label → ``precision``, ``recall`` and ``f1``, from 0 to 1, and ``support``: of how many rows (elements, for a
        label per element) it is true. What cannot be had is left out: the precision of a label that is never predicted, the
        recall of one that is never true. Empty for numbers.
    """
    if kind not in _PAIRS:
        return {}
    pairs = Counter(_PAIRS[kind](predictions, truth))
    given, wanted = Counter[Any](), Counter[Any]()
    for (label, goal), count in pairs.items():
        given[label] += count
        wanted[goal] += count
    return {
        label_key(label): _shares(pairs[label, label], given[label], wanted[label])
        for label in _classes(kind, predictions, truth)
    }


def _shares(right: int, given: int, wanted: int) -> dict[str, float]:
    found = {"precision": (right, given), "recall": (right, wanted), "f1": (2 * right, given + wanted)}
    return {name: part / whole for name, (part, whole) in found.items() if whole} | {"support": wanted}


def _classes(kind: TargetKind, predictions: Predictions, truth: Sequence[Any]) -> tuple[Any, ...]:
    """Give the labels as the head orders them, or those that occur by their text when it does not say."""
    if predictions.classes:
        return predictions.classes
    occurring = {label for pair in _PAIRS[kind](predictions, truth) for label in pair} - {None}
    return tuple(sorted(occurring, key=label_key))


Pairs = Iterator[tuple[Any, Any]]
"""A predicted label and the true one; None where there is none."""


def _of_category(predictions: Predictions, truth: Sequence[Any]) -> Pairs:
    return zip(predictions.values, truth, strict=True)


def _of_categories(predictions: Predictions, truth: Sequence[Any]) -> Pairs:
    """Give a pair for each label of each row of which it is known."""
    for labels, goals in zip(predictions.values, truth, strict=True):
        for label, true in goals.items():
            if true is not None:
                yield label if label in labels else None, label if true else None


def _of_elements(predictions: Predictions, truth: Sequence[Any]) -> Pairs:
    """Give a pair for each labelled element; what was cut off has no predicted label."""
    for labels, goals in zip(predictions.values, truth, strict=True):
        for place, goal in enumerate(goals):
            if goal is not None:
                yield labels[place] if place < len(labels) else None, goal


_PAIRS: Mapping[TargetKind, Callable[[Predictions, Sequence[Any]], Pairs]] = {
    TargetKind.CATEGORY: _of_category,
    TargetKind.CATEGORIES: _of_categories,
    TargetKind.ELEMENT_CATEGORIES: _of_elements,
}
