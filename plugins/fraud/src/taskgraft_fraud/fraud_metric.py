"""The metric ``fraud``: ranking, alerts, costs and card precision for two classes, over many resamples of the same rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import (
    Columns,
    DetailedMetric,
    Label,
    MissingColumn,
    Predictions,
    RankingCurves,
    label_key,
)
from taskgraft_fraud.card_precision import CardPrecision
from taskgraft_fraud.days import parse_days
from taskgraft_fraud.metric_settings import FraudMetricConfig
from taskgraft_fraud.positive_label import metric_label
from taskgraft_fraud.threshold import fraud_losses

Metrics = Mapping[str, float]
Counts = NDArray[np.int64]
"""How often each row is in a resample, ``(row,)``."""

_AREAS = ("auroc", "average_precision")

_LEAST = 10
"""Frauds, or alerts, for intervals of their shares."""


@dataclass(frozen=True)
class Outcomes:
    """The truth and the prediction of each row, ``(row,)`` each.

    Attributes:
        fraud: whether it is a fraud.
        alert: whether it is predicted as fraud.
        scores: the probability of fraud, float64; None if the predictions have none.
    """

    fraud: NDArray[np.bool_]
    alert: NDArray[np.bool_]
    scores: NDArray[np.float64] | None


def fraud_metric(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: FraudMetricConfig
) -> DetailedMetric:
    """Evaluate alerts and scores. Shares are from 0 to 1; an undefined metric is left out.

    ``average_precision`` and ``auroc`` of the scores. ``precision`` and ``recall`` of the alerts (rows predicted as fraud), and
    ``alerts_share``, the share of all rows that are alerts. ``precision_at_K`` and ``recall_at_K`` of the k rows of highest
    score; if ties straddle rank k, each of them counts by the share that fits. ``card_precision_at_K``, with columns of
    customers and times: see :class:`CardPrecision`. ``expected_cost``, with a column of amounts and the cost of a review:
    mean cost per row, in their unit, of missed frauds and alerts.

    Raises:
        TaskgraftError: as :func:`taskgraft_fraud.positive_label.metric_label` does.
        MissingColumn, InvalidCells: for a column of the settings that is missing or has invalid cells.
    """
    outcomes = to_outcomes(predictions, truth, settings.positive)
    metrics = [_alert_metrics(outcomes)]
    ranking = None
    if outcomes.scores is not None:
        ranking = RankingCurves(outcomes.scores[:, None], outcomes.fraud[:, None])
        metrics.append(_ranking_metrics(ranking))
        metrics.append(_top_k_metrics(outcomes.fraud, outcomes.scores, settings.k))
        if settings.customer is not None and settings.time is not None:
            metrics.append(_card_precision(outcomes.fraud, outcomes.scores, columns, settings))
    if settings.amount is not None and settings.review is not None:
        losses = fraud_losses(settings.amount, _column(columns, settings.amount), outcomes.fraud)
        metrics.append(_expected_cost(outcomes.alert, losses, settings.review))

    def compute(rows: NDArray[np.int64]) -> Metrics:
        counts = np.bincount(rows, minlength=len(truth))
        return {name: value for metric in metrics for name, value in metric(counts).items()} if len(rows) else {}

    return _detailed(compute, outcomes, ranking, settings.k)


def _detailed(
    compute: Callable[[NDArray[np.int64]], Metrics], outcomes: Outcomes, ranking: RankingCurves | None, k: int
) -> DetailedMetric:
    """Say what the intervals need to know about each value."""
    rows, frauds, alerts = len(outcomes.fraud), int(outcomes.fraud.sum()), int(outcomes.alert.sum())
    at_k = [f"{name}_at_{k}" for name in ("precision", "recall", "card_precision")]
    shares = ("precision", "recall", "alerts_share", "auroc", "average_precision", *at_k)
    sizes = {"precision": alerts, "recall": frauds, "alerts_share": rows, f"precision_at_{k}": min(k, rows)}
    reasons = dict(ranking.too_few_rows()) if ranking is not None else {}
    few_frauds = f"fewer than {_LEAST} frauds" if frauds < _LEAST else None
    few_alerts = f"fewer than {_LEAST} alerts" if alerts < _LEAST else None
    for name, reason in (*((name, few_frauds) for name in ("recall", *at_k)), ("precision", few_alerts)):
        if reason is not None:
            reasons[name] = reason
    return DetailedMetric(
        compute,
        bounds=dict.fromkeys(shares, (0.0, 1.0)) | {"expected_cost": (0.0, math.inf)},
        sizes=sizes,
        no_intervals=reasons,
        rough=frozenset(at_k),
        leave_one_out=None if ranking is None else lambda: dict(zip(_AREAS, ranking.leave_one_out(), strict=True)),
    )


def positive_values(predictions: Predictions, settings: FraudMetricConfig) -> dict[str, Label]:
    """Return all values of :func:`fraud_metric`, each with the label of fraud, which they are about."""
    at_k = [f"{name}_at_{settings.k}" for name in ("precision", "recall", "card_precision")]
    names = ("average_precision", "auroc", "precision", "recall", "alerts_share", "expected_cost", *at_k)
    return dict.fromkeys(names, predictions.classes[metric_label(predictions, settings.positive)])


def to_outcomes(predictions: Predictions, truth: Sequence[Any], positive: Label | None) -> Outcomes:
    """Reduce labels and predictions to fraud or not.

    Args:
        positive: the label of fraud; None for the one that the head detects, or 1 of 0 and 1.

    Raises:
        TaskgraftError: as :func:`taskgraft_fraud.positive_label.metric_label` does.
    """
    index = metric_label(predictions, positive)
    label = label_key(predictions.classes[index])
    fraud, alert = (np.array([label_key(value) == label for value in labels]) for labels in (truth, predictions.values))
    scores = None
    if predictions.probabilities:
        scores = np.stack(predictions.probabilities)[:, index].astype(np.float64)
    return Outcomes(fraud, alert, scores)


def _alert_metrics(outcomes: Outcomes) -> Callable[[Counts], Metrics]:
    caught = outcomes.fraud & outcomes.alert

    def compute(counts: Counts) -> Metrics:
        hits, alerts, frauds = (int(counts[mask].sum()) for mask in (caught, outcomes.alert, outcomes.fraud))
        metrics = {"alerts_share": alerts / int(counts.sum())}
        if alerts:
            metrics["precision"] = hits / alerts
        if frauds:
            metrics["recall"] = hits / frauds
        return metrics

    return compute


def _ranking_metrics(ranking: RankingCurves) -> Callable[[Counts], Metrics]:
    def compute(counts: Counts) -> Metrics:
        areas = zip(_AREAS, ranking.areas(counts), strict=True)
        return {name: float(area[0]) for name, area in areas if not np.isnan(area[0])}

    return compute


def _top_k_metrics(fraud: NDArray[np.bool_], scores: NDArray[np.float64], k: int) -> Callable[[Counts], Metrics]:
    """Evaluate the k rows of highest score, or all rows if there are fewer."""
    order = np.argsort(-scores, kind="stable")
    descending = -scores[order]
    tie_starts, tie_ends = (np.searchsorted(descending, descending, side) for side in ("left", "right"))

    def compute(counts: Counts) -> Metrics:
        rows_so_far = np.append(0, np.cumsum(counts[order]))
        hits_so_far = np.append(0, np.cumsum((counts * fraud)[order]))
        size = min(k, int(rows_so_far[-1]))
        rank = int(np.searchsorted(rows_so_far, size)) - 1
        start, end = tie_starts[rank], tie_ends[rank]
        share = (size - rows_so_far[start]) / (rows_so_far[end] - rows_so_far[start])
        hits = float(hits_so_far[start] + share * (hits_so_far[end] - hits_so_far[start]))
        metrics = {f"precision_at_{k}": hits / size}
        return metrics | {f"recall_at_{k}": hits / int(hits_so_far[-1])} if hits_so_far[-1] else metrics

    return compute


def _card_precision(
    fraud: NDArray[np.bool_], scores: NDArray[np.float64], columns: Columns, settings: FraudMetricConfig
) -> Callable[[Counts], Metrics]:
    assert settings.customer is not None
    assert settings.time is not None
    days = parse_days(_column(columns, settings.time), settings.time, settings.unit).numbers
    cards = CardPrecision(_column(columns, settings.customer), days, scores, fraud, columns)
    return lambda counts: {f"card_precision_at_{settings.k}": cards.precision(counts, settings.k)}


def _expected_cost(alert: NDArray[np.bool_], losses: NDArray[np.float64], review: float) -> Callable[[Counts], Metrics]:
    costs = np.where(alert, review, losses)
    return lambda counts: {"expected_cost": float((counts * costs).sum() / counts.sum())}


def _column(columns: Columns, name: str) -> Sequence[Any]:
    if name not in columns:
        raise MissingColumn(name, "The evaluated data", tuple(columns))
    return columns[name]
