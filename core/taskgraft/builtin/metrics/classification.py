"""Metrics of labels. Each returns a function that computes the values on a resample of the rows, and is called for many.

A resample only changes how often each row counts, so the counts of one pass are reweighted. torchmetrics counts again for
every resample, with threads that wait for each other over small tensors: on busy cores 1,000 resamples take it 15 seconds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricFunction
from taskgraft.evaluation.ranking import RankingCurves


def classification_metrics(predictions: Predictions, truth: Sequence[Any]) -> MetricFunction:
    """Compute metrics of one label per row.

    Accuracy; its mean over the classes that occur (balanced); precision, recall and F1 averaged over classes (macro); F1
    over all rows (micro): each from 0 to 1. Matthews' correlation coefficient (mcc), from -1 to 1. Where there are
    probabilities, the area under the receiver operating characteristic (auroc) and average precision, from 0 to 1: with two
    classes that of the second, with more the mean of one versus rest, over classes with rows both in and outside them.
    """
    index_of = {label: index for index, label in enumerate(predictions.classes)}
    predicted = np.array([index_of[label] for label in predictions.values], dtype=np.int64)
    true = np.array([index_of[label] for label in truth], dtype=np.int64)
    ranking = None
    if predictions.probabilities:
        classes = slice(1, 2) if len(index_of) == 2 else slice(None)
        scores = np.stack(predictions.probabilities)
        ranking = RankingCurves(scores[:, classes], (true[:, None] == np.arange(len(index_of)))[:, classes])

    def compute(rows: NDArray[np.int64]) -> Mapping[str, float]:
        times = np.bincount(rows, minlength=len(truth))
        return _multiclass(predicted, true, times, len(index_of)) | _areas(ranking, times)

    return compute


def element_classification_metrics(predictions: Predictions, truth: Sequence[Any]) -> MetricFunction:
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

    def compute(rows: NDArray[np.int64]) -> Mapping[str, float]:
        return _multiclass(predicted, true, np.bincount(rows, minlength=len(truth))[row_of], len(index_of))

    return compute


def multi_label_metrics(predictions: Predictions, truth: Sequence[Any]) -> MetricFunction:
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

    def compute(rows: NDArray[np.int64]) -> Mapping[str, float]:
        if not len(rows):
            return {}
        times = np.bincount(rows, minlength=len(truth))
        weights = times.astype(np.float64)
        tp, fp, fn = weights @ true_positive, weights @ false_positive, weights @ false_negative
        return {
            "precision_macro": _mean_ratio(tp, tp + fp),
            "recall_macro": _mean_ratio(tp, tp + fn),
            "f1_macro": _mean_ratio(2 * tp, 2 * tp + fp + fn),
            "f1_micro": _mean_ratio(2 * tp.sum(), (2 * tp + fp + fn).sum()),
        } | _areas(ranking, times)

    return compute


def _mean_ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    """Divide counts and average; 0 / 0 is 0."""
    return float(np.mean(part / np.maximum(whole, 1.0)))


def _areas(ranking: RankingCurves | None, times: NDArray[np.int64]) -> dict[str, float]:
    """Average the areas over the classes that have one. ``times`` counts how often each row is in the resample."""
    if ranking is None:
        return {}
    named = zip(("auroc", "average_precision"), ranking.areas(times), strict=True)
    return {name: float(np.nanmean(areas)) for name, areas in named if not np.isnan(areas).all()}


def _multiclass(
    predicted: NDArray[np.int64], true: NDArray[np.int64], times: NDArray[np.int64], classes: int
) -> dict[str, float]:
    """Compute the metrics of class indices.

    The index after the last class means no prediction: it is wrong, and a false positive of no class. The correlation is 0
    where all predictions are equal, and undefined, so left out, where all true labels are.
    """
    count = int(times.sum())
    if not count:
        return {}
    correct = _weighted_counts(true, times * (predicted == true), classes + 1)
    predictions, labels = (_weighted_counts(indices, times, classes + 1) for indices in (predicted, true))
    occurs = labels > 0
    seen = occurs | (predictions > 0)
    seen[classes] = False
    accuracy = float(correct.sum() / count)
    metrics = {
        "accuracy": accuracy,
        "balanced_accuracy": _mean_ratio(correct[occurs], labels[occurs]),
        "precision_macro": _mean_ratio(correct[seen], predictions[seen]),
        "recall_macro": _mean_ratio(correct[seen], labels[seen]),
        "f1_macro": _mean_ratio(2 * correct[seen], (predictions + labels)[seen]),
        "f1_micro": accuracy,  # each wrong label is one false positive and one false negative
    }
    if occurs.sum() > 1:
        metrics["mcc"] = _correlation(correct.sum() / count, predictions / count, labels / count)
    return metrics


def _weighted_counts(indices: NDArray[np.int64], times: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(indices, times, size), dtype=np.float64)


def _correlation(correct: float, predicted: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Correlate labels (Gorodkin, 2004, Comparing two K-category assignments by a K-category correlation coefficient).

    Args:
        correct: the share of rows whose label is right.
        predicted: the share of each label among predictions, ``(class,)``.
        true: the share of each label among true labels, ``(class,)``.
    """
    variance = (1 - predicted @ predicted) * (1 - true @ true)
    return float((correct - predicted @ true) / np.sqrt(variance)) if predicted.max() < 1 else 0.0
