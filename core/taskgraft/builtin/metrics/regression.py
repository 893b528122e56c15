"""Metrics of numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score

from taskgraft.contract.columns import Columns
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricFunction

Numbers = NDArray[np.float64]


def regression(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> MetricFunction:
    """Mean squared and absolute error in the target's unit, R², Pearson's and Spearman's correlation.

    Of several columns the mean is given. What cannot be had is left out: R² where the truth does not vary, a correlation where
    the truth or the prediction does not.
    """
    given, goals = _columns(predictions.values), _columns(truth)
    ranked = [(_Ranks(one), _Ranks(other)) for one, other in zip(given.T, goals.T, strict=True)]

    def judge(rows: NDArray[np.int64]) -> Mapping[str, float]:
        if not len(rows):
            return {}
        predicted, wanted = given[rows], goals[rows]
        one, other = torch.from_numpy(predicted), torch.from_numpy(wanted)
        found = {
            "mean_squared_error": float(mean_squared_error(one, other)),
            "mean_absolute_error": float(mean_absolute_error(one, other)),
        }
        if not _vary(wanted):
            return found
        found["r2"] = float(r2_score(one, other))
        if _vary(predicted):
            ranks = [(first.among(rows), second.among(rows)) for first, second in ranked]
            found["pearson"] = _mean_correlation(zip(predicted.T, wanted.T, strict=True))
            found["spearman"] = _mean_correlation(ranks)
        return {name: number for name, number in found.items() if math.isfinite(number)}

    return judge


class _Ranks:
    """The ranks of numbers among resamples; equal ones share the mean of theirs.

    torchmetrics finds ties one by one, and every row that a resample draws twice is one.
    """

    def __init__(self, numbers: Numbers):
        distinct, self._place = np.unique(numbers, return_inverse=True)
        self._distinct = len(distinct)

    def among(self, rows: NDArray[np.int64]) -> Numbers:
        """Give the rank of each chosen row among them, from 1."""
        places = self._place[rows]
        counts = np.bincount(places, minlength=self._distinct)
        ranks: Numbers = (np.cumsum(counts) - (counts - 1) / 2)[places]
        return ranks


def _columns(rows: Sequence[Any]) -> Numbers:
    return np.array([row if isinstance(row, list) else [row] for row in rows], dtype=np.float64)


def _vary(columns: Numbers) -> bool:
    """Say whether no column holds one number only. Asked of the numbers: the deviation of equal ones may not be quite 0."""
    return bool((columns.min(0) < columns.max(0)).all())


def _mean_correlation(pairs: Iterable[tuple[Numbers, Numbers]]) -> float:
    with np.errstate(all="ignore"):  # numbers may vary by less than can be squared
        return float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs]))
