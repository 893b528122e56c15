"""The metric of contact maps: the share of contacts among the most likely pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Columns, DetailedMetric, EmptyConfig, Predictions

RANGES = {"long": (24, None), "medium": (12, 24)}
"""Name of a range → least distance along the sequence, and the distance at which it ends, exclusive."""

DIVISORS = {"l": 1, "l2": 2, "l5": 5}
"""Suffix of a metric → the length of a sequence is divided by this for the number of pairs that count."""


def contact_precision(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> DetailedMetric:
    """Compute the precision of the L, L/2 and L/5 most likely pairs of a sequence of length L; the mean over sequences, 0 to 1.

    ``contact_precision_long_l`` and so on are over pairs 24 or more apart along the sequence, ``…_medium_…`` over pairs 12 to
    23 apart (Rao and others, 2019, Evaluating protein transfer learning with TAPE). Pairs whose truth is unknown do not count.
    A sequence without a pair in a range is left out of that mean. The last class is the contact.
    """
    assert predictions.probabilities is not None
    pairs = zip(predictions.probabilities, truth, strict=True)
    precisions = np.array([_precisions(one, true, predictions.classes) for one, true in pairs], np.float64)
    precisions = precisions.reshape(len(truth), len(RANGES) * len(DIVISORS))
    names = [f"contact_precision_{distance}_{suffix}" for distance in RANGES for suffix in DIVISORS]

    def score(rows: NDArray[np.int64]) -> Mapping[str, float]:
        times = np.bincount(rows, minlength=len(truth)).astype(np.float64)
        scores = {}
        for name, column in zip(names, precisions.T, strict=True):
            counted = ~np.isnan(column) & (times > 0)
            if counted.any():
                scores[name] = float(np.average(column[counted], weights=times[counted]))
        return scores

    return DetailedMetric(score, dict.fromkeys(names, (0.0, 1.0)))


def _precisions(probabilities: NDArray[np.float32], truth: NDArray[Any], classes: Sequence[Any]) -> list[float]:
    """Compute the precision of one sequence for each range and divisor; NaN if it has no pair in the range.

    Args:
        probabilities: ``(element, element, class)``; of fewer elements than the truth if the sequence was truncated.
        truth: ``(element, element)``; unknown where it is not a class.
    """
    length = len(truth)
    contact = np.zeros(truth.shape, np.float32)
    contact[: len(probabilities), : len(probabilities)] = probabilities[:length, :length, -1]
    known, touching, position = np.isin(truth, classes), truth == classes[-1], np.arange(length)
    distance = position[None] - position[:, None]  # negative for the second of two equal pairs
    precisions = []
    for first, end in RANGES.values():
        counted = known & (distance >= first) & (distance < (end or length))
        order = np.argsort(-contact[counted], kind="stable")
        correct = touching[counted][order]
        for divisor in DIVISORS.values():
            top = correct[: max(length // divisor, 1)]
            precisions.append(float(top.mean()) if len(top) else np.nan)
    return precisions
