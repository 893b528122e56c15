"""Metrics of labels. Each returns a function that computes the values of any rows, and knows them without each row in turn.

Leaving a row out only changes counts, so the counts of one pass are changed, for many rows at once. torchmetrics counts again
for every call, with threads that wait for each other over small tensors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.builtin.metrics.label_counts import (
    biases,
    in_chunks,
    least_errors,
    multi_label,
    multiclass,
    too_few,
    weighted_counts,
)
from taskgraft.contract.predictions import Predictions
from taskgraft.evaluation.detailed_metric import DetailedMetric
from taskgraft.evaluation.positive_class import positive_class
from taskgraft.evaluation.ranking import RankingCurves
from taskgraft.labels import Label

_Values = NDArray[np.float64]
_Indices = NDArray[np.int64]

_AREAS = ("auroc", "average_precision")
_LEAST_FOR_CORRELATION = 15
"""Rows of the rarer of two classes, for an interval of their correlation."""

_MACRO = ("precision_macro", "recall_macro", "f1_macro")


def classification_metrics(
    predictions: Predictions, truth: Sequence[Any], positive: Label | None = None
) -> DetailedMetric:
    """Compute metrics of one label per row.

    Accuracy; its mean over the classes that occur (balanced); precision, recall and F1 averaged over classes (macro); F1
    over all rows (micro): each from 0 to 1. Matthews' correlation coefficient (mcc), from -1 to 1. Where there are
    probabilities, the area under the receiver operating characteristic (auroc) and average precision, from 0 to 1: with two
    classes that of the positive one, with more the mean of one versus rest, over classes with rows both in and outside them.

    Args:
        positive: of two classes, the positive one; None takes that of the head, or the second.

    Raises:
        EvaluationError: if it is not one of two classes.
    """
    of_two = _positive_of_two(predictions, positive)
    index_of = {label: index for index, label in enumerate(predictions.classes)}
    predicted = np.array([index_of[label] for label in predictions.values], dtype=np.int64)
    true = np.array([index_of[label] for label in truth], dtype=np.int64)
    ranking = None
    if predictions.probabilities:
        classes = slice(None) if of_two is None else slice(of_two, of_two + 1)
        scores = np.stack(predictions.probabilities)
        ranking = RankingCurves(scores[:, classes], (true[:, None] == np.arange(len(index_of)))[:, classes])

    return _of_elements(np.arange(len(truth)), predicted, true, len(truth), len(index_of), ranking)


def positive_values(predictions: Predictions, positive: Label | None) -> dict[str, Any]:
    """Return the values of :func:`classification_metrics` that are about one class, each with its label."""
    of_two = _positive_of_two(predictions, positive)
    if of_two is None:
        return {}
    return dict.fromkeys(("auroc", "average_precision"), predictions.classes[of_two])


def element_classification_metrics(predictions: Predictions, truth: Sequence[Any]) -> DetailedMetric:
    """Compute the metrics of classification, without areas, over all labelled elements. A truncated element is wrong."""
    index_of = {label: index for index, label in enumerate(predictions.classes)}
    elements = []
    for row, (labels, true_labels) in enumerate(zip(predictions.values, truth, strict=True)):
        for position, true_label in enumerate(true_labels):
            if true_label is not None:
                label = labels[position] if position < len(labels) else None
                predicted_index = len(index_of) if label is None else index_of[label]
                elements.append((row, predicted_index, index_of[true_label]))
    row_of, predicted, true = np.array(elements, dtype=np.int64).reshape(-1, 3).T
    return _of_elements(row_of, predicted, true, len(truth), len(index_of))


def multi_label_metrics(predictions: Predictions, truth: Sequence[Any]) -> DetailedMetric:
    """Compute precision, recall and F1, averaged over labels (macro), and F1 over all (micro), where the label is known.

    Where there are probabilities, also the area under the receiver operating characteristic and average precision, averaged
    over the labels that are known to be true for some rows and false for others.
    """
    code = {True: 1, False: 0, None: -1}
    true = np.array([[code[row[label]] for label in predictions.classes] for row in truth], dtype=np.int8)
    true = true.reshape(len(truth), len(predictions.classes))
    predicted = np.array([[label in row for label in predictions.classes] for row in predictions.values], np.bool_)
    outcomes = ((true == 1) & predicted, (true == 0) & predicted, (true == 1) & ~predicted)
    true_positive, false_positive, false_negative = (outcome.astype(np.float64) for outcome in outcomes)
    ranking = None
    if predictions.probabilities:
        ranking = RankingCurves(np.stack(predictions.probabilities), true == 1, true >= 0)
    totals = tuple(outcome.sum(0) for outcome in (true_positive, false_positive, false_negative))

    def compute(rows: NDArray[np.int64]) -> Mapping[str, float]:
        if not len(rows):
            return {}
        times = np.bincount(rows, minlength=len(truth))
        weights = times.astype(np.float64)
        counts = (weights @ true_positive, weights @ false_positive, weights @ false_negative)
        return _single(multi_label(*counts)) | _areas(ranking, times)

    def leave_one_out() -> dict[str, _Values]:
        def without(rows: slice) -> dict[str, _Values]:
            outcomes = (true_positive, false_positive, false_negative)
            return multi_label(*(total - outcome[rows] for total, outcome in zip(totals, outcomes, strict=True)))

        return in_chunks(without, len(truth), true.shape[1]) | _areas_without_each(ranking)

    support, predictions_of = (np.asarray(flags.sum(0)) for flags in (true == 1, predicted & (true >= 0)))
    occurring = support[support > 0]
    least = min(len(truth), int(len(occurring) * occurring.min(initial=len(truth))))
    reasons = too_few(support, predictions_of, "true rows") | (ranking.too_few_rows() if ranking is not None else {})
    names = ("precision_macro", "recall_macro", "f1_macro", "f1_micro")
    bounds = dict.fromkeys((*names, *_AREAS), (0.0, 1.0))
    counts_of = (totals[0], predictions_of, support)
    errors, known = least_errors(*counts_of), biases(*counts_of)
    sizes = dict.fromkeys(names, least)
    return DetailedMetric(
        compute, bounds, sizes, errors, known, reasons, uneven=frozenset(names), leave_one_out=leave_one_out
    )


def _positive_of_two(predictions: Predictions, positive: Label | None) -> int | None:
    """Return the index of the positive class; None if there are not two classes."""
    index = positive_class(predictions, positive, "classification")
    return 1 if index is None and len(predictions.classes) == 2 else index


def _of_elements(
    row_of: _Indices, predicted: _Indices, true: _Indices, rows: int, classes: int, ranking: RankingCurves | None = None
) -> DetailedMetric:
    """Make the metric function of class indices, of any number of elements per row.

    Args:
        row_of: ``(element,)`` int64, the row of each element, rising.
        predicted: ``(element,)`` int64, the class; the index after the last for no prediction.
        true: ``(element,)`` int64, the class.
    """
    right = predicted == true
    correct, predictions, labels = (
        np.bincount(indices[kept], minlength=classes + 1).astype(np.float64)
        for indices, kept in ((true, right), (predicted, slice(None)), (true, slice(None)))
    )

    def compute(some: NDArray[np.int64]) -> Mapping[str, float]:
        times = np.bincount(some, minlength=rows)
        weights = times[row_of]
        if not weights.any():
            return {}
        counts = (weighted_counts(true, weights * right, classes), weighted_counts(predicted, weights, classes))
        return _single(multiclass(*counts, weighted_counts(true, weights, classes))) | _areas(ranking, times)

    def leave_one_out() -> dict[str, _Values]:
        kinds, kind_of = _distinct_rows(row_of, predicted, true, rows, classes)

        def without(some: slice) -> dict[str, _Values]:
            left = [
                np.repeat(counts[None], some.stop - some.start, axis=0) for counts in (correct, predictions, labels)
            ]
            start, stop = np.searchsorted(kinds[0], (some.start, some.stop))
            at, of_predicted, of_true = (part[start:stop] for part in kinds)
            hit = of_predicted == of_true
            for counts, indices, kept in zip(left, (of_true, of_predicted, of_true), (hit, ..., ...), strict=True):
                np.subtract.at(counts, (at[kept] - some.start, indices[kept]), 1.0)
            return multiclass(*left)

        values = in_chunks(without, int(kind_of.max(initial=-1)) + 1, classes)
        return {name: array[kind_of] for name, array in values.items()} | _areas_without_each(ranking)

    seen, occurs = (labels + predictions)[:classes] > 0, labels[:classes] > 0
    sizes = dict.fromkeys(("accuracy", "f1_micro", "mcc"), rows)
    if occurs.any():
        least = min(rows, int(occurs.sum() * labels[:classes][occurs].min()))
        sizes |= dict.fromkeys((*_MACRO, "balanced_accuracy", *(["mcc"] if classes == 2 else [])), least)
    what = "rows" if len(row_of) == rows else "elements"
    reasons = too_few(labels[:classes][seen], predictions[:classes][seen], what)
    if (reason := reasons.get("recall_macro")) is not None:
        reasons["balanced_accuracy"] = reason
    if classes == 2 and labels[:2].min() < _LEAST_FOR_CORRELATION:
        reasons["mcc"] = f"fewer than {_LEAST_FOR_CORRELATION} {what} of one class"
    reasons |= ranking.too_few_rows() if ranking is not None else {}
    of_seen = [counts[:classes][seen] for counts in (correct, predictions, labels)]
    errors, known = least_errors(*of_seen), biases(*of_seen) | {"balanced_accuracy": 0.0}
    if "recall_macro" in errors:
        errors["balanced_accuracy"] = errors["recall_macro"]
        if classes == 2:
            errors["mcc"] = 2 * errors["f1_macro"]  # of a rare class: about its own F1
    bounds = {"mcc": (-1.0, 1.0)} | dict.fromkeys(
        ("accuracy", "balanced_accuracy", "f1_micro", *_MACRO, *_AREAS), (0.0, 1.0)
    )
    uneven = frozenset() if len(row_of) == rows else frozenset(sizes)
    return DetailedMetric(compute, bounds, sizes, errors, known, reasons, uneven=uneven, leave_one_out=leave_one_out)


def _distinct_rows(
    row_of: _Indices, predicted: _Indices, true: _Indices, rows: int, classes: int
) -> tuple[tuple[_Indices, _Indices, _Indices], _Indices]:
    """Find rows whose elements are alike, where each row has one element.

    Returns:
        the number, and the predicted and the true class of each of their elements, ``(element,)``, and the number of each row,
        ``(row,)``.
    """
    if len(row_of) != rows or not np.array_equal(row_of, np.arange(rows)):
        return (row_of, predicted, true), np.arange(rows)
    pairs, pair_of = np.unique(true * (classes + 1) + predicted, return_inverse=True)
    return (np.arange(len(pairs)), pairs % (classes + 1), pairs // (classes + 1)), pair_of


def _single(values: Mapping[str, _Values]) -> dict[str, float]:
    """Turn values without axes into numbers, without those that are undefined."""
    return {name: float(value) for name, value in values.items() if not np.isnan(value)}


def _areas(ranking: RankingCurves | None, times: NDArray[np.int64]) -> dict[str, float]:
    """Average the areas over the classes that have one. ``times`` counts how often each row is in the resample."""
    if ranking is None:
        return {}
    named = zip(_AREAS, ranking.areas(times), strict=True)
    return {name: float(np.nanmean(areas)) for name, areas in named if not np.isnan(areas).all()}


def _areas_without_each(ranking: RankingCurves | None) -> dict[str, _Values]:
    return {} if ranking is None else dict(zip(_AREAS, ranking.leave_one_out(), strict=True))
