"""Metrics of numbers, computed on many resamples of the rows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score

from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricFunction

_Numbers = NDArray[np.float64]


def regression_metrics(predictions: Predictions, truth: Sequence[Any]) -> MetricFunction:
    """Compute mean squared and absolute error in the target's unit, R², and the correlations of Pearson and Spearman.

    With several columns each is the mean. Undefined values are left out: R² where the true numbers are constant, a correlation
    where the true or the predicted numbers are.
    """
    all_predicted, all_true = _columns(predictions.values), _columns(truth)
    orders = [(_order(first), _order(second)) for first, second in zip(all_predicted.T, all_true.T, strict=True)]

    def compute(rows: NDArray[np.int64]) -> Mapping[str, float]:
        if not len(rows):
            return {}
        predicted, true = all_predicted[rows], all_true[rows]
        tensors = torch.from_numpy(predicted), torch.from_numpy(true)
        metrics = {
            "mean_squared_error": float(mean_squared_error(*tensors)),
            "mean_absolute_error": float(mean_absolute_error(*tensors)),
        }
        if not _varies(true):
            return metrics
        metrics["r2"] = float(r2_score(*tensors))
        if _varies(predicted):
            metrics["pearson"] = _mean_correlation(zip(predicted.T, true.T, strict=True))
            metrics["spearman"] = _mean_correlation(
                (_ranks(first[rows]), _ranks(second[rows])) for first, second in orders
            )
        return {name: value for name, value in metrics.items() if math.isfinite(value)}

    return compute


def _order(numbers: _Numbers) -> NDArray[np.int64]:
    """Replace each number by its position among the distinct numbers."""
    return np.unique(numbers, return_inverse=True)[1]


def _ranks(order: NDArray[np.int64]) -> _Numbers:
    """Rank positions from 1; equal ones share their mean rank. In torchmetrics ties are slow, and a resample has many."""
    counts = np.bincount(order)
    ranks: _Numbers = (np.cumsum(counts) - (counts - 1) / 2)[order]
    return ranks


def _columns(rows: Sequence[Any]) -> _Numbers:
    return np.array([row if isinstance(row, list) else [row] for row in rows], dtype=np.float64)


def _varies(columns: _Numbers) -> bool:
    """Say whether no column is constant. Compares the numbers: the deviation of equal numbers may not be exactly 0."""
    return bool((columns.min(0) < columns.max(0)).all())


def _mean_correlation(pairs: Iterable[tuple[_Numbers, _Numbers]]) -> float:
    with np.errstate(all="ignore"):  # the variance of numbers that differ little may underflow
        return float(np.mean([np.corrcoef(first, second)[0, 1] for first, second in pairs]))
