"""The metric of recovered elements: how well hidden categories and hidden numbers are told from the rest of their rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.contract.columns import Columns
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricFunction

Numbers = NDArray[np.float64]


def masked_elements(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> MetricFunction:
    """Accuracy over all hidden categories; mean squared error and R² over hidden numbers, averaged over kinds.

    What cannot be had is left out: each where nothing of the sort is hidden, R² also of a kind whose numbers do not vary.
    """
    right: list[tuple[int, bool]] = []
    numbers: dict[Any, list[tuple[int, float, float]]] = {}
    for row, kind, said, goal in _hidden(predictions.values, truth):
        if isinstance(goal, float):
            numbers.setdefault(kind, []).append((row, said, goal))
        else:
            right.append((row, said == goal))
    row_of, hits = np.array([row for row, _ in right], dtype=np.int64), np.array([hit for _, hit in right], dtype=bool)
    kinds = [np.array(some, dtype=np.float64).T for some in numbers.values()]

    def judge(rows: NDArray[np.int64]) -> Mapping[str, float]:
        times = np.bincount(rows, minlength=len(truth))
        found = {}
        if (count := times[row_of].sum()) > 0:
            found["hidden_accuracy"] = float(times[row_of][hits].sum() / count)
        errors, explained = [], []
        for some in kinds:
            weights = times[some[0].astype(np.int64)]
            if not weights.any():
                continue
            said, goal, weights = (one[weights > 0] for one in (some[1], some[2], weights))
            errors.append(np.average((said - goal) ** 2, weights=weights))
            spread = np.average((goal - np.average(goal, weights=weights)) ** 2, weights=weights)
            if goal.min() < goal.max() and spread > 0:
                explained.append(1 - errors[-1] / spread)
        if errors:
            found["hidden_mean_squared_error"] = float(np.mean(errors))
        if explained:
            found["hidden_r2"] = float(np.mean(explained))
        return found

    return judge


def _hidden(predictions: Sequence[Any], truth: Sequence[Any]) -> Iterator[tuple[int, Any, Any, Any]]:
    """Give what was hidden, number by number: its row, its kind, what was predicted, what it was."""
    for row, (found, goals) in enumerate(zip(predictions, truth, strict=True)):
        keys = goals if isinstance(goals, dict) else range(len(goals))
        for key in keys:
            kind = key if isinstance(goals, dict) else None
            if isinstance(goals[key], list):
                parts = zip(found[key], goals[key], strict=True)
                yield from ((row, (kind, i), said, goal) for i, (said, goal) in enumerate(parts) if goal is not None)
            elif goals[key] is not None:
                yield row, kind, found[key], goals[key]
