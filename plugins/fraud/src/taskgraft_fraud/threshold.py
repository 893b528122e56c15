"""Decision thresholds: the probability above which a row is an alert, chosen by costs or by review capacity."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from taskgraft.plugin import Config
from taskgraft_fraud.parse_cells import InvalidCells, invalid_reasons, parse_numbers, to_arrow_array

Numbers = NDArray[np.float64]


class Threshold(Config):
    """A row is an alert if its probability exceeds ``value``.

    Attributes:
        chosen: how it was chosen.
        cost: total over the validation rows of missed frauds and reviews, in the unit of both.
        alerts_per_day: mean over the days of the validation rows.
    """

    value: float = Field(ge=0, le=1)
    chosen: Literal["stated", "by costs", "by capacity"]
    cost: float | None = None
    alerts_per_day: float | None = None


def choose_by_costs(scores: Numbers, losses: Numbers, review: float) -> Threshold:
    """Choose the threshold of least cost: each alert costs a review, each missed fraud its loss.

    For calibrated probabilities and equal losses it converges to review / loss (Elkan, 2001, The foundations of cost-sensitive
    learning, section 1.2, with the same review cost for frauds and non-frauds). Rows of equal score are alerts together. Of
    thresholds of equal cost the highest wins, which gives the fewest alerts.

    Args:
        scores: ``(row,)``, probabilities.
        losses: ``(row,)``, the cost of missing a row; 0 for a row that is not fraud.
        review: the cost of an alert.
    """
    values, alerts = _candidates(scores)
    missed = np.concatenate([[0.0], np.cumsum(losses[np.argsort(scores, kind="stable")])])[len(scores) - alerts]
    costs = missed + review * alerts
    best = len(costs) - 1 - int(np.argmin(costs[::-1]))
    return Threshold(value=float(values[best]), chosen="by costs", cost=float(costs[best]))


def choose_by_capacity(scores: Numbers, days: int, per_day: float) -> Threshold:
    """Choose the lowest threshold with at most ``per_day`` alerts a day, in the mean over the days.

    Rows of equal score are alerts together or not at all, so there may be fewer.
    """
    values, alerts = _candidates(scores)
    best = int(np.argmax(alerts / days <= per_day))
    return Threshold(value=float(values[best]), chosen="by capacity", alerts_per_day=float(alerts[best] / days))


def _candidates(scores: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
    """List the distinguishable thresholds in ascending order, and the number of alerts at each.

    They are midpoints between neighbouring scores, so that rounding of a score changes no alert, plus 0 and 1.
    """
    unique = np.unique(scores)
    values = np.unique(np.concatenate([[0.0], (unique[1:] + unique[:-1]) / 2, [1.0]]))
    return values, len(scores) - np.searchsorted(np.sort(scores), values, side="right")


def fraud_losses(column: str, values: Sequence[Any], frauds: NDArray[np.bool_]) -> Numbers:
    """Parse the cost of missing each row, ``(row,)``: its amount if it is a fraud, else 0, whatever the cell contains.

    Raises:
        InvalidCells: naming each fraud whose amount is missing, negative or not a number.
    """
    rows = np.flatnonzero(frauds)
    cells = to_arrow_array(values).take(pa.array(rows))
    amounts = parse_numbers(cells, column)
    negative = invalid_reasons(cells, amounts.values < 0, column, "and the cost of a missed fraud cannot be negative")
    if problems := amounts.problems | negative:
        raise InvalidCells({int(rows[index]): reason for index, reason in problems.items()})
    losses = np.zeros(len(frauds))
    losses[rows] = amounts.values
    return losses
