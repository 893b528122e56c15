"""Thresholds: above which probability a row is an alert, chosen by what mistakes cost or by how many alerts can be reviewed."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from taskgraft.plugin import Config
from taskgraft_fraud.cells import BadCells, column_of, numbers, reasons

Numbers = NDArray[np.float64]


class Threshold(Config):
    """A row is an alert where its probability exceeds ``value``.

    Attributes:
        chosen: how it was found.
        cost: of the validation rows together, the missed frauds and the reviews, in the unit of both.
        alerts_per_day: in the mean over the days of the validation rows.
    """

    value: float = Field(ge=0, le=1)
    chosen: Literal["stated", "by costs", "by capacity"]
    cost: float | None = None
    alerts_per_day: float | None = None


def by_costs(scores: Numbers, losses: Numbers, review: float) -> Threshold:
    """Choose the threshold of the least cost: each alert costs a review, each fraud that is none its loss.

    For calibrated probabilities, and one loss for all frauds, it tends to review / loss (Elkan, 2001, The foundations of
    cost-sensitive learning, section 1.2, where reviewing costs the same whatever is found). Rows of one score are alerts
    together. Of thresholds that cost the same the highest is taken, which gives the fewest alerts.

    Args:
        scores: ``(row,)``, probabilities.
        losses: ``(row,)``, what missing a row costs; 0 for a row that is no fraud.
        review: the price of an alert.
    """
    values, alerts = _candidates(scores)
    missed = np.concatenate([[0.0], np.cumsum(losses[np.argsort(scores, kind="stable")])])[len(scores) - alerts]
    costs = missed + review * alerts
    best = len(costs) - 1 - int(np.argmin(costs[::-1]))
    return Threshold(value=float(values[best]), chosen="by costs", cost=float(costs[best]))


def by_capacity(scores: Numbers, days: int, per_day: float) -> Threshold:
    """Choose the lowest threshold with at most so many alerts a day, in the mean over the days.

    Rows of one score are alerts together or not at all, so there may be fewer.
    """
    values, alerts = _candidates(scores)
    best = int(np.argmax(alerts / days <= per_day))
    return Threshold(value=float(values[best]), chosen="by capacity", alerts_per_day=float(alerts[best] / days))


def _candidates(scores: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
    """Give every threshold that makes a difference, rising, and the number of alerts at each.

    They lie half-way between neighbouring scores, so that a rounding of one turns no alert; then there are 0 and 1.
    """
    unique = np.unique(scores)
    values = np.unique(np.concatenate([[0.0], (unique[1:] + unique[:-1]) / 2, [1.0]]))
    return values, len(scores) - np.searchsorted(np.sort(scores), values, side="right")


def losses_of(column: str, values: Sequence[Any], frauds: NDArray[np.bool_]) -> Numbers:
    """Read what missing each row costs, ``(row,)``: its amount where it is a fraud, else 0, whatever stands there.

    Raises:
        BadCells: naming each fraud whose amount is missing, less than 0, or cannot be read.
    """
    rows = np.flatnonzero(frauds)
    cells = column_of(values).take(pa.array(rows))
    read = numbers(cells, column)
    below = reasons(cells, read.values < 0, column, "and no missed fraud costs less than 0")
    if problems := read.problems | below:
        raise BadCells({int(rows[place]): reason for place, reason in problems.items()})
    losses = np.zeros(len(frauds))
    losses[rows] = read.values
    return losses
