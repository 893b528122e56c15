"""The metric of contacts: of the pairs thought likeliest, how many touch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Columns, EmptyConfig, MetricFunction, Predictions

RANGES = {"long": (24, None), "medium": (12, 24)}
"""Distances along the sequence, the last one left out."""

CUTS = {"l": 1, "l2": 2, "l5": 5}
"""By what the length of a sequence is divided for the number of pairs that are looked at."""


def contacts(predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: EmptyConfig) -> MetricFunction:
    """Precision of the likeliest L, L/2 and L/5 pairs, of a sequence of L elements; the mean over sequences, from 0 to 1.

    ``contact_precision_long_l`` and so on, of pairs 24 or more apart along the sequence, and ``…_medium_…``, 12 to 23 apart
    (Rao and others, 2019, Evaluating protein transfer learning with TAPE). Pairs of which nothing is known do not count. A
    sequence without a pair of such a distance is left out. The last class is the contact.
    """
    assert predictions.probabilities is not None
    pairs = zip(predictions.probabilities, truth, strict=True)
    numbers = np.array([_precisions(found, goal, predictions.classes) for found, goal in pairs], np.float64)
    numbers = numbers.reshape(len(truth), len(RANGES) * len(CUTS))
    names = [f"contact_precision_{far}_{cut}" for far in RANGES for cut in CUTS]

    def judge(rows: NDArray[np.int64]) -> Mapping[str, float]:
        times = np.bincount(rows, minlength=len(truth)).astype(np.float64)
        found = {}
        for name, column in zip(names, numbers.T, strict=True):
            counts = ~np.isnan(column) & (times > 0)
            if counts.any():
                found[name] = float(np.average(column[counts], weights=times[counts]))
        return found

    return judge


def _precisions(found: NDArray[np.float32], goal: NDArray[Any], classes: Sequence[Any]) -> list[float]:
    """Judge one sequence: a number for each range and cut, NaN where there is none.

    Args:
        found: ``(element, element, class)``; of fewer elements than the truth when some were cut off.
        goal: ``(element, element)``; what is no class is not known.
    """
    length = len(goal)
    chance = np.zeros(goal.shape, np.float32)
    chance[: len(found), : len(found)] = found[:length, :length, -1]
    known, near, place = np.isin(goal, classes), goal == classes[-1], np.arange(length)
    apart = place[None] - place[:, None]  # each pair once
    numbers = []
    for first, end in RANGES.values():
        asked = known & (apart >= first) & (apart < (end or length))
        order = np.argsort(-chance[asked], kind="stable")
        right = near[asked][order]
        for divisor in CUTS.values():
            some = right[: max(length // divisor, 1)]
            numbers.append(float(some.mean()) if len(some) else np.nan)
    return numbers
