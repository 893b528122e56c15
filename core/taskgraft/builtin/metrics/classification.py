"""Metrics of labels: each makes a judge, which is asked for the numbers of many resamples of the rows.

A resample only says how often each row counts, so a judge weights what it counted once. torchmetrics counts anew each time, by
threads that wait for each other over tensors this small: on busy cores a thousand resamples take it a quarter of a minute.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.contract.columns import Columns
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricFunction
from taskgraft.evaluation.ranking import RankingCurves


def classification(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> MetricFunction:
    """How often, and how evenly over classes, the predicted label is right, and how well probabilities order the rows.

    Accuracy; its mean over the classes that occur (balanced); precision, recall and F1 averaged over classes (macro); F1
    over all rows (micro): each from 0 to 1. Matthews' correlation (mcc), from -1 to 1. Where there are probabilities, the area
    under the receiver operating characteristic (auroc) and average precision, from 0 to 1: of two classes for the second, of
    more the mean over each against the rest, where a class has rows both in it and outside.
    """
    numbers = {label: index for index, label in enumerate(predictions.classes)}
    predicted = np.array([numbers[label] for label in predictions.values], dtype=np.int64)
    wanted = np.array([numbers[label] for label in truth], dtype=np.int64)
    ranking = None
    if predictions.probabilities:
        ranked = slice(1, 2) if len(numbers) == 2 else slice(None)
        scores = np.stack(predictions.probabilities)
        ranking = RankingCurves(scores[:, ranked], (wanted[:, None] == np.arange(len(numbers)))[:, ranked])

    def judge(rows: NDArray[np.int64]) -> Mapping[str, float]:
        times = np.bincount(rows, minlength=len(truth))
        return _multiclass(predicted, wanted, times, len(numbers)) | _areas(ranking, times)

    return judge


def element_classification(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> MetricFunction:
    """The same as for classification, over all labelled elements, areas apart. An element that was cut off is wrong."""
    numbers = {label: index for index, label in enumerate(predictions.classes)}
    places, predicted, wanted = [], [], []
    for row, (labels, goals) in enumerate(zip(predictions.values, truth, strict=True)):
        for place, goal in enumerate(goals):
            if goal is not None:
                label = labels[place] if place < len(labels) else None
                places.append(row)
                wanted.append(numbers[goal])
                predicted.append(len(numbers) if label is None else numbers[label])
    row_of, given, goal_of = (np.array(found, dtype=np.int64) for found in (places, predicted, wanted))

    def judge(rows: NDArray[np.int64]) -> Mapping[str, float]:
        return _multiclass(given, goal_of, np.bincount(rows, minlength=len(truth))[row_of], len(numbers))

    return judge


def multi_label(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> MetricFunction:
    """Precision, recall and F1, averaged over labels (macro), and F1 over all (micro), where the label is known.

    Where there are probabilities, also the area under the receiver operating characteristic and average precision: the mean
    over the labels that are known to be true of some rows and false of others.
    """
    code = {True: 1, False: 0, None: -1}
    goals = np.array([[code[row[label]] for label in predictions.classes] for row in truth], dtype=np.int8)
    goals = goals.reshape(len(truth), len(predictions.classes))
    given = np.array([[label in row for label in predictions.classes] for row in predictions.values], dtype=np.bool_)
    kinds = ((goals == 1) & given, (goals == 0) & given, (goals == 1) & ~given)
    right, wrong, missed = (kind.astype(np.float64) for kind in kinds)
    ranking = None
    if predictions.probabilities:
        ranking = RankingCurves(np.stack(predictions.probabilities), goals == 1, goals >= 0)

    def judge(rows: NDArray[np.int64]) -> Mapping[str, float]:
        if not len(rows):
            return {}
        times = np.bincount(rows, minlength=len(truth))
        weights = times.astype(np.float64)
        hits, wrongs, misses = weights @ right, weights @ wrong, weights @ missed
        return {
            "precision_macro": _mean_share(hits, hits + wrongs),
            "recall_macro": _mean_share(hits, hits + misses),
            "f1_macro": _mean_share(2 * hits, 2 * hits + wrongs + misses),
            "f1_micro": _mean_share(2 * hits.sum(), (2 * hits + wrongs + misses).sum()),
        } | _areas(ranking, times)

    return judge


def _mean_share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    """Divide and average; nothing of nothing is 0."""
    return float(np.mean(part / np.maximum(whole, 1.0)))


def _areas(ranking: RankingCurves | None, times: NDArray[np.int64]) -> dict[str, float]:
    """Average the areas over the classes that have one."""
    if ranking is None:
        return {}
    named = zip(("auroc", "average_precision"), ranking.areas(times), strict=True)
    return {name: float(np.nanmean(areas)) for name, areas in named if not np.isnan(areas).all()}


def _multiclass(
    predicted: NDArray[np.int64], wanted: NDArray[np.int64], times: NDArray[np.int64], classes: int
) -> dict[str, float]:
    """Judge numbers of classes. The number after the last stands for no prediction: it is wrong, and no class's fault.

    The correlation of labels that never vary is 0 where the predicted do not, and left out where the true ones do not.
    """
    count = int(times.sum())
    if not count:
        return {}
    right = _counted(wanted, times * (predicted == wanted), classes + 1)
    given, true = (_counted(labels, times, classes + 1) for labels in (predicted, wanted))
    occurs = true > 0
    seen = occurs | (given > 0)
    seen[classes] = False
    accuracy = float(right.sum() / count)
    found = {
        "accuracy": accuracy,
        "balanced_accuracy": _mean_share(right[occurs], true[occurs]),
        "precision_macro": _mean_share(right[seen], given[seen]),
        "recall_macro": _mean_share(right[seen], true[seen]),
        "f1_macro": _mean_share(2 * right[seen], (given + true)[seen]),
        "f1_micro": accuracy,  # each wrong label is once too many and once missing
    }
    if occurs.sum() > 1:
        found["mcc"] = _correlation(right.sum() / count, given / count, true / count)
    return found


def _counted(labels: NDArray[np.int64], times: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(labels, times, size), dtype=np.float64)


def _correlation(right: float, given: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Correlate labels (Gorodkin, 2004, Comparing two K-category assignments by a K-category correlation coefficient).

    Args:
        right: the share of the rows whose label is right.
        given: the share of each predicted label, ``(class,)``.
        true: the share of each true label, ``(class,)``.
    """
    spread = (1 - given @ given) * (1 - true @ true)
    return float((right - given @ true) / np.sqrt(spread)) if given.max() < 1 else 0.0
