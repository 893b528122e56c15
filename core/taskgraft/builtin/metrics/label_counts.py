"""Metrics of labels from counts: how many rows of each class are right, predicted as it, and of it.

Counts may have axes before the class, one entry for each row that is left out.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.evaluation.detailed_metric import thin_classes

_Values = NDArray[np.float64]


def multiclass(correct: _Values, predictions: _Values, labels: _Values) -> dict[str, _Values]:
    """Compute the metrics of counts ``(…, class)``; NaN where a metric is undefined.

    The last class means no prediction: it is wrong, and a false positive of no class. The correlation is 0 where all
    predictions are equal, and undefined where all true labels are.
    """
    count = labels.sum(-1)
    occurs = labels > 0
    seen = occurs | (predictions > 0)
    seen[..., -1] = False
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = np.asarray(correct.sum(-1) / count)
        mcc = _correlation(accuracy, predictions / count[..., None], labels / count[..., None])
    metrics = {
        "accuracy": accuracy,
        "balanced_accuracy": _mean_ratio(correct, labels, occurs),
        "precision_macro": _mean_ratio(correct, predictions, seen),
        "recall_macro": _mean_ratio(correct, labels, seen),
        "f1_macro": _mean_ratio(2 * correct, predictions + labels, seen),
        "f1_micro": accuracy,  # each wrong label is one false positive and one false negative
        "mcc": np.where(occurs.sum(-1) > 1, mcc, np.nan),
    }
    return {name: np.where(count > 0, values, np.nan) for name, values in metrics.items()}


def multi_label(true_positive: _Values, false_positive: _Values, false_negative: _Values) -> dict[str, _Values]:
    """Compute the metrics of counts ``(…, label)``."""
    tp, predicted, true = true_positive, true_positive + false_positive, true_positive + false_negative
    return {
        "precision_macro": _mean_ratio(tp, predicted),
        "recall_macro": _mean_ratio(tp, true),
        "f1_macro": _mean_ratio(2 * tp, predicted + true),
        "f1_micro": np.asarray(2 * tp.sum(-1) / np.maximum((predicted + true).sum(-1), 1.0)),
    }


def least_errors(correct: _Values, predictions: _Values, labels: _Values) -> dict[str, float]:
    """Compute standard errors of averages over classes as if one right and one wrong row more were spread over the classes.

    Counts of a class with few rows, none of them right (or wrong), show no error. F1 is a function of the share of right rows
    among those that belong to the class or are predicted as it. Source: Agresti and Coull, 1998, Approximate is better than
    "exact" for interval estimation of binomial proportions.

    Args: counts of the classes that the averages are over, ``(class,)``.
    """
    classes = len(labels)
    if not classes:
        return {}

    def error(whole: _Values, slope: Callable[[_Values], _Values]) -> float:
        share = (correct + 1 / classes) / (whole + 2 / classes)
        variances = slope(share) ** 2 * share * (1 - share) / np.maximum(whole, 1)
        return float(np.sqrt(variances.sum()) / classes)

    return {
        "precision_macro": error(predictions, np.ones_like),
        "recall_macro": error(labels, np.ones_like),
        "f1_macro": error(predictions + labels - correct, lambda share: 2 / (1 + share) ** 2),
    }


def biases(correct: _Values, predictions: _Values, labels: _Values) -> dict[str, float]:
    """Compute how far averages over classes are above those of all rows, on average over samples.

    By a second-order Taylor expansion. Right rows t, missed rows m and false alarms f of a class are independent; variances are
    equal to means. If all classes have the same number of rows, that number was chosen: t is binomial, m is the rest.

    Args: counts of the classes that the averages are over, ``(class,)``.
    """
    missed, false = labels - correct, predictions - correct
    of_f1, of_precision = -missed - false, np.zeros_like(correct)
    if len(labels) > 1 and (labels == labels[0]).all():
        of_f1 = false - missed - false * missed / np.maximum(labels, 1)
        of_precision = false * correct / np.maximum(labels, 1)
    f1 = 2 * correct * of_f1 / np.maximum(labels + predictions, 1) ** 3
    precision = correct * of_precision / np.maximum(predictions, 1) ** 3
    count = max(len(labels), 1)
    return {"recall_macro": 0.0, "precision_macro": precision.sum() / count, "f1_macro": f1.sum() / count}


def too_few(labels: NDArray[Any], predictions: NDArray[Any], what: str = "rows") -> dict[str, str]:
    """Say which averages over classes have no interval, and why."""
    found = {}
    rows, predicted = thin_classes(labels, what), thin_classes(predictions, "predictions", of_all=0)
    for name, reason in (("recall_macro", rows), ("f1_macro", rows), ("precision_macro", rows or predicted)):
        if reason is not None:
            found[name] = reason
    return found


def in_chunks(compute: Callable[[slice], dict[str, _Values]], count: int, classes: int) -> dict[str, _Values]:
    """Compute values of a few rows at a time, so that a few million counts are in memory."""
    size = max(1, 2_000_000 // (classes + 1))
    parts = [compute(slice(start, min(start + size, count))) for start in range(0, count, size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def weighted_counts(indices: NDArray[np.int64], times: NDArray[np.int64], classes: int) -> _Values:
    """Count class indices by weights, ``(class + 1,)``: the last are those without a class."""
    return np.asarray(np.bincount(indices, times, classes + 1), dtype=np.float64)


def _mean_ratio(part: _Values, whole: _Values, counted: NDArray[np.bool_] | None = None) -> _Values:
    """Divide counts, and average over the last axis, or the counted places of it; 0 / 0 is 0."""
    ratios = part / np.maximum(whole, 1.0)
    if counted is None:
        return np.asarray(ratios.mean(-1))
    return np.asarray((ratios * counted).sum(-1) / np.maximum(counted.sum(-1), 1))


def _correlation(correct: _Values, predicted: _Values, true: _Values) -> _Values:
    """Correlate labels (Gorodkin, 2004, Comparing two K-category assignments by a K-category correlation coefficient).

    Args:
        correct: the share of rows whose label is right, ``(…)``.
        predicted: the share of each label among predictions, ``(…, class)``.
        true: the share of each label among true labels, ``(…, class)``.
    """
    variance = (1 - (predicted**2).sum(-1)) * (1 - (true**2).sum(-1))
    return np.where(predicted.max(-1) < 1, (correct - (predicted * true).sum(-1)) / np.sqrt(variance), 0.0)
