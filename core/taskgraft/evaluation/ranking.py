"""ROC AUC and average precision for many resamples of the same rows: scores are sorted once, and a resample only weights them.

torchmetrics sorts again for each class and each call, which takes minutes for a thousand resamples of a few thousand rows and
a hundred classes.
"""

import numpy as np
from numpy.typing import NDArray


class RankingCurves:
    """The rows of each class in the order of their scores, highest first.

    A threshold is a score that occurs; rows of equal score pass it together. Only thresholds that a positive row passes count:
    at others neither area grows.
    """

    def __init__(
        self, scores: NDArray[np.floating], positive: NDArray[np.bool_], known: NDArray[np.bool_] | None = None
    ):
        """Sort the rows of each class by score.

        Args:
            scores: ``(row, class)``, finite.
            positive: ``(row, class)``, whether the row belongs to the class.
            known: ``(row, class)``, whether that is known; None if all of it is. Unknown labels do not count.
        """
        count, self._classes = scores.shape
        if known is None:
            known = np.ones_like(positive)
        order = np.lexsort((-scores.T, ~known.T))  # (class, row), unknown labels last
        self._order = np.where(np.take_along_axis(known.T, order, 1), order, count)  # the row `count` has no weight
        hits = np.take_along_axis(positive.T & known.T, order, 1)
        ordered = np.take_along_axis(scores.T, order, 1)
        opens = np.ones_like(hits)
        opens[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        opens[:, 1:] |= self._order[:, 1:] == count
        first = np.maximum.accumulate(np.where(opens, np.arange(count), 0), axis=1)
        self._find_thresholds(hits, first, np.append(opens[:, 1:], np.ones((self._classes, 1), bool), axis=1))

    def areas(self, counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute the area under the ROC curve and the average precision of each class.

        The first by trapezoids over thresholds (Fawcett, 2006, An introduction to ROC analysis); the second is the sum over
        thresholds of precision times the step of recall.

        Args:
            counts: ``(row,)`` int64, how often each row counts.

        Returns:
            two arrays ``(class,)`` from 0 to 1; NaN for a class to which no row, or every row, belongs.
        """
        passed = np.zeros((self._classes, self._order.shape[1] + 1), dtype=np.int64)
        np.cumsum(np.append(counts, 0)[self._order], axis=1, out=passed[:, 1:])
        hit = np.append(0, np.cumsum(counts[self._positives]))
        total, below = passed[:, -1], hit[self._offsets[:-1]]
        positives = hit[self._offsets[1:]] - below
        of_class = self._class
        before, after = hit[self._hit_first] - below[of_class], hit[self._hit_last] - below[of_class]
        false_before = passed[of_class, self._first] - before
        false_after = passed[of_class, self._last] - after
        step = after - before
        negatives = (total - positives)[of_class]
        area = self._sum_by_class(step * (negatives - (false_before + false_after) / 2))
        precision = self._sum_by_class(step * after / np.maximum(after + false_after, 1))
        usable = (positives > 0) & (positives < total)
        return (
            np.divide(area, positives * (total - positives), out=np.full(self._classes, np.nan), where=usable),
            np.divide(precision, positives, out=np.full(self._classes, np.nan), where=usable),
        )

    def _find_thresholds(self, hits: NDArray[np.bool_], first: NDArray[np.int64], closes: NDArray[np.bool_]) -> None:
        """Find, for each threshold with a positive row, where its rows and its positive rows begin and end."""
        count = hits.shape[1]
        last = np.minimum.accumulate(np.where(closes, np.arange(count) + 1, count)[:, ::-1], axis=1)[:, ::-1]
        of_class, at = np.nonzero(hits)
        self._positives = self._order[of_class, at]
        self._offsets = np.append(0, np.cumsum(hits.sum(1)))
        starts = first[of_class, at]
        new = np.ones(len(at), dtype=np.bool_)
        new[1:] = (of_class[1:] != of_class[:-1]) | (starts[1:] != starts[:-1])
        self._hit_first = np.flatnonzero(new)
        self._hit_last = np.append(self._hit_first[1:], len(at)) if len(at) else self._hit_first
        self._class = of_class[new]
        self._first, self._last = starts[new], last[of_class, at][new]

    def _sum_by_class(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(self._class, values, self._classes), dtype=np.float64)
