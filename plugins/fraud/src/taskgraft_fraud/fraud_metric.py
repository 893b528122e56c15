"""The metric ``fraud``: two classes judged as a fraud team would, for many resamples of the same rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import (
    Columns,
    Label,
    MetricFunction,
    MissingColumn,
    Predictions,
    RankingCurves,
    TaskgraftError,
    join_words,
    label_key,
)
from taskgraft_fraud.card_precision import Cards
from taskgraft_fraud.day import days_of
from taskgraft_fraud.metric_settings import FraudMetricConfig
from taskgraft_fraud.threshold import losses_of

Numbers = Mapping[str, float]
Times = NDArray[np.int64]
"""How often each row counts, ``(row,)``."""


@dataclass(frozen=True)
class Outcomes:
    """What is true and predicted of each row, ``(row,)`` each.

    Attributes:
        fraud: whether it is one.
        alert: whether it is predicted as one.
        scores: the probability of fraud, float64; None where there is none.
    """

    fraud: NDArray[np.bool_]
    alert: NDArray[np.bool_]
    scores: NDArray[np.float64] | None


def fraud(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: FraudMetricConfig
) -> MetricFunction:
    """Judge alerts and scores; shares are from 0 to 1, and what cannot be had is left out.

    ``average_precision`` and ``auroc`` of the scores. ``precision`` and ``recall`` of the alerts (the rows predicted as fraud),
    and ``alerts_share``, how many of all rows they are. ``precision_at_K`` and ``recall_at_K`` of the k rows of the highest
    scores; where equal scores straddle the k-th place, each counts by the share of them that fits. ``card_precision_at_K``,
    where the columns of customers and times are known: see :class:`Cards`. ``expected_cost``, where the column of amounts and
    the price of a review are: the mean per row, in their unit, of what a missed fraud or an alert costs.

    Raises:
        NotTwoClasses, NotALabel, MissingColumn, BadCells: for what cannot be judged so.
    """
    found = outcomes(predictions, truth, settings.positive)
    parts = [_alerts(found)]
    if found.scores is not None:
        parts += [_areas(found.fraud, found.scores), _highest(found.fraud, found.scores, settings.k)]
        if settings.customer is not None and settings.time is not None:
            parts.append(_cards(found.fraud, found.scores, columns, settings))
    if settings.amount is not None and settings.review is not None:
        losses = losses_of(settings.amount, _column(columns, settings.amount), found.fraud)
        parts.append(_cost(found.alert, losses, settings.review))

    def judge(rows: NDArray[np.int64]) -> Numbers:
        times = np.bincount(rows, minlength=len(truth))
        return {name: number for part in parts for name, number in part(times).items()} if len(rows) else {}

    return judge


def outcomes(predictions: Predictions, truth: Sequence[Any], positive: Label | None) -> Outcomes:
    """Tell fraud from the rest.

    Args:
        positive: the label of fraud; None for the second class.

    Raises:
        NotTwoClasses, NotALabel: when that is not possible.
    """
    classes = tuple(map(label_key, predictions.classes))
    if len(classes) != 2:
        raise NotTwoClasses(classes)
    label = classes[1] if positive is None else label_key(positive)
    if label not in classes:
        raise NotALabel(label, classes)
    wanted, given = (np.array([label_key(one) == label for one in labels]) for labels in (truth, predictions.values))
    scores = None
    if predictions.probabilities:
        scores = np.stack(predictions.probabilities)[:, classes.index(label)].astype(np.float64)
    return Outcomes(wanted, given, scores)


def _alerts(found: Outcomes) -> Callable[[Times], Numbers]:
    caught = found.fraud & found.alert

    def judge(times: Times) -> Numbers:
        right, alerts, frauds = (int(times[chosen].sum()) for chosen in (caught, found.alert, found.fraud))
        numbers = {"alerts_share": alerts / int(times.sum())}
        if alerts:
            numbers["precision"] = right / alerts
        if frauds:
            numbers["recall"] = right / frauds
        return numbers

    return judge


def _areas(wanted: NDArray[np.bool_], scores: NDArray[np.float64]) -> Callable[[Times], Numbers]:
    ranking = RankingCurves(scores[:, None], wanted[:, None])

    def judge(times: Times) -> Numbers:
        named = zip(("auroc", "average_precision"), ranking.areas(times), strict=True)
        return {name: float(areas[0]) for name, areas in named if not np.isnan(areas[0])}

    return judge


def _highest(wanted: NDArray[np.bool_], scores: NDArray[np.float64], k: int) -> Callable[[Times], Numbers]:
    """MetricFunction the k rows of the highest scores, or all where there are fewer."""
    order = np.argsort(-scores, kind="stable")
    ordered = -scores[order]
    first, last = (np.searchsorted(ordered, ordered, side) for side in ("left", "right"))  # of the rows of equal score

    def judge(times: Times) -> Numbers:
        passed = np.append(0, np.cumsum(times[order]))
        hits = np.append(0, np.cumsum((times * wanted)[order]))
        size = min(k, int(passed[-1]))
        limit = int(np.searchsorted(passed, size)) - 1
        above, below = first[limit], last[limit]
        share = (size - passed[above]) / (passed[below] - passed[above])
        right = float(hits[above] + share * (hits[below] - hits[above]))
        numbers = {f"precision_at_{k}": right / size}
        return numbers | {f"recall_at_{k}": right / int(hits[-1])} if hits[-1] else numbers

    return judge


def _cards(
    wanted: NDArray[np.bool_], scores: NDArray[np.float64], columns: Columns, settings: FraudMetricConfig
) -> Callable[[Times], Numbers]:
    assert settings.customer is not None
    assert settings.time is not None
    days = days_of(_column(columns, settings.time), settings.time, settings.unit).numbers
    cards = Cards(_column(columns, settings.customer), days, scores, wanted, columns)
    return lambda times: {f"card_precision_at_{settings.k}": cards.precision(times, settings.k)}


def _cost(alert: NDArray[np.bool_], losses: NDArray[np.float64], review: float) -> Callable[[Times], Numbers]:
    costs = np.where(alert, review, losses)
    return lambda times: {"expected_cost": float((times * costs).sum() / times.sum())}


def _column(columns: Columns, name: str) -> Sequence[Any]:
    if name not in columns:
        raise MissingColumn(name, "The judged data", tuple(columns))
    return columns[name]


@dataclass(eq=False)
class NotTwoClasses(TaskgraftError):
    """Fraud is one class of two; these are not two."""

    classes: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"The metric 'fraud' judges two classes, but here are {len(self.classes)}: {join_words(self.classes)}. "
            "Name another metric (classification), or learn from a target of two labels."
        )


@dataclass(eq=False)
class NotALabel(TaskgraftError):
    """A label of fraud that is none of the classes."""

    positive: str
    classes: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"The metric 'fraud' is to take '{self.positive}' for the label of fraud (positive), but the labels are "
            f"{join_words(map(repr, self.classes))}. Name one of those."
        )
