"""The metric of masked elements: how well their categories and numbers are predicted from the rest of the row."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.contract.predictions import Predictions
from taskgraft.evaluation.detailed_metric import DetailedMetric


def masked_element_metrics(predictions: Predictions, truth: Sequence[Any]) -> DetailedMetric:
    """Compute accuracy over all masked categories; mean squared error and R² over masked numbers, averaged over kinds.

    Undefined values are left out: each where nothing of the sort is masked, R² also of a kind whose numbers are constant.
    """
    correct: list[tuple[int, bool]] = []
    numbers: dict[Any, list[tuple[int, float, float]]] = {}
    for row, kind, prediction, value in _masked(predictions.values, truth):
        if isinstance(value, float):
            numbers.setdefault(kind, []).append((row, prediction, value))
        else:
            correct.append((row, prediction == value))
    row_of, is_correct = np.array(correct, dtype=np.int64).reshape(-1, 2).T
    kinds = [np.array(triples, dtype=np.float64).T for triples in numbers.values()]

    def compute(rows: NDArray[np.int64]) -> Mapping[str, float]:
        times = np.bincount(rows, minlength=len(truth))
        metrics = {}
        if (count := times[row_of].sum()) > 0:
            metrics["hidden_accuracy"] = float(times[row_of] @ is_correct / count)
        errors, r2 = [], []
        for kind_rows, predicted, true in kinds:
            weights = times[kind_rows.astype(np.int64)]
            drawn = weights > 0
            if not drawn.any():
                continue
            predicted, true, weights = predicted[drawn], true[drawn], weights[drawn]
            errors.append(np.average((predicted - true) ** 2, weights=weights))
            near = true - true[0]  # first: a mean of numbers far from 0 would be rounded to their digits
            variance = np.average((near - np.average(near, weights=weights)) ** 2, weights=weights)
            if true.min() < true.max() and variance > 0:
                r2.append(1 - errors[-1] / variance)
        if errors:
            metrics["hidden_mean_squared_error"] = float(np.mean(errors))
        if r2:
            metrics["hidden_r2"] = float(np.mean(r2))
        return metrics

    bounds = {"hidden_mean_squared_error": (0.0, math.inf), "hidden_r2": (-math.inf, 1.0)}
    sizes = {"hidden_accuracy": len(np.unique(row_of))}
    return DetailedMetric(compute, bounds | {"hidden_accuracy": (0.0, 1.0)}, sizes, uneven=frozenset(sizes))


def _masked(predictions: Sequence[Any], truth: Sequence[Any]) -> Iterator[tuple[int, Any, Any, Any]]:
    """Iterate over masked values: the row, the kind, the prediction and the true value of each."""
    for row, (predicted, true) in enumerate(zip(predictions, truth, strict=True)):
        for key in true if isinstance(true, dict) else range(len(true)):
            kind = key if isinstance(true, dict) else None
            if isinstance(true[key], list):
                pairs = zip(predicted[key], true[key], strict=True)
                yield from ((row, (kind, i), *pair) for i, pair in enumerate(pairs) if pair[1] is not None)
            elif true[key] is not None:
                yield row, kind, predicted[key], true[key]
