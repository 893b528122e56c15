"""Metrics of numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.contract.predictions import Predictions
from taskgraft.evaluation.detailed_metric import DetailedMetric

_Numbers = NDArray[np.float64]

_LEAST_ROWS = 20
"""With fewer, one large error decides what the others say about its likes."""


def regression_metrics(predictions: Predictions, truth: Sequence[Any]) -> DetailedMetric:
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
        errors = predicted - true
        metrics = {
            "mean_squared_error": float((errors**2).mean()),
            "mean_absolute_error": float(np.abs(errors).mean()),
        }
        if not _varies(true):
            return metrics
        with np.errstate(all="ignore"):  # squares of numbers that differ little may underflow
            metrics["r2"] = float((1 - (errors**2).sum(0) / (subtract_mean(true) ** 2).sum(0)).mean())
        if _varies(predicted):
            metrics["pearson"] = _mean_correlation(zip(predicted.T, true.T, strict=True))
            metrics["spearman"] = _mean_correlation(
                (_ranks(first[rows]), _ranks(second[rows])) for first, second in orders
            )
        return {name: value for name, value in metrics.items() if math.isfinite(value)}

    def leave_one_out() -> dict[str, _Numbers]:
        return _without_each(all_predicted, all_true)

    correlation, error = (-1.0, 1.0), (0.0, math.inf)
    bounds = {"mean_squared_error": error, "mean_absolute_error": error, "r2": (-math.inf, 1.0)}
    bounds |= {"pearson": correlation, "spearman": correlation}
    reason = None if len(truth) >= _LEAST_ROWS else f"fewer than {_LEAST_ROWS} rows"
    reasons = dict.fromkeys(bounds, reason) if reason is not None else {}
    return DetailedMetric(compute, bounds, no_intervals=reasons, leave_one_out=leave_one_out)


def subtract_mean(numbers: _Numbers) -> _Numbers:
    """Subtract the mean from numbers, ``(row, …)``.

    A number is subtracted first: the mean of numbers far from 0 would be rounded to their digits.
    """
    near = numbers - numbers[:1]
    return np.asarray(near - near.mean(0))


def _without_each(predicted: _Numbers, true: _Numbers) -> dict[str, _Numbers]:
    """Compute all values but Spearman's correlation without each row in turn, from sums; NaN where little varies.

    Args: ``(row, column)`` each.
    """
    rest = len(true) - 1
    errors = predicted - true
    squares, absolutes = errors**2, np.abs(errors)
    first, second = subtract_mean(predicted), subtract_mean(true)  # sums of these lose no digits

    def products(one: _Numbers, other: _Numbers) -> _Numbers:
        """Sum products of deviations from the mean of the rest."""
        return np.asarray((one * other).sum(0) - one * other - one * other / rest)

    of_true, of_predicted = products(second, second), products(first, first)
    with np.errstate(all="ignore"):
        r2 = np.where(_is_spread(of_true, second), 1 - (squares.sum(0) - squares) / of_true, np.nan).mean(1)
        correlation = products(first, second) / (np.sqrt(of_true) * np.sqrt(of_predicted))
    usable = _is_spread(of_true, second) & _is_spread(of_predicted, first)
    return {
        "mean_squared_error": (squares.mean(1).sum() - squares.mean(1)) / rest,
        "mean_absolute_error": (absolutes.mean(1).sum() - absolutes.mean(1)) / rest,
        "r2": r2,
        "pearson": np.where(usable, correlation, np.nan).mean(1),
    }


def _is_spread(deviations: _Numbers, centered: _Numbers) -> NDArray[np.bool_]:
    """Say whether sums of squared deviations are more than rounding."""
    return np.asarray(deviations > 1e-12 * (centered**2).sum(0))


def _order(numbers: _Numbers) -> NDArray[np.int64]:
    """Replace each number by its position among the distinct numbers."""
    return np.unique(numbers, return_inverse=True)[1]


def _ranks(order: NDArray[np.int64]) -> _Numbers:
    """Rank positions from 1; equal ones share their mean rank."""
    counts = np.bincount(order)
    ranks: _Numbers = (np.cumsum(counts) - (counts - 1) / 2)[order]
    return ranks


def _columns(rows: Sequence[Any]) -> _Numbers:
    return np.array([row if isinstance(row, list) else [row] for row in rows], dtype=np.float64)


def _varies(columns: _Numbers) -> bool:
    """Say whether no column is constant. Compares the numbers: the deviation of equal numbers may not be exactly 0."""
    return bool((columns.min(0) < columns.max(0)).all())


def _mean_correlation(pairs: Iterable[tuple[_Numbers, _Numbers]]) -> float:
    with np.errstate(all="ignore"):  # squares of numbers that differ little may underflow
        correlations = [_correlation(subtract_mean(first), subtract_mean(second)) for first, second in pairs]
    return float(np.clip(np.mean(correlations), -1, 1))


def _correlation(first: _Numbers, second: _Numbers) -> float:
    """Correlate numbers of mean 0, ``(row,)``."""
    return float((first @ second) / (np.sqrt(first @ first) * np.sqrt(second @ second)))
