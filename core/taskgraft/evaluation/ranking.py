"""ROC AUC and average precision for many resamples of the same rows: scores are sorted once, and a resample only weights them.

torchmetrics sorts again for each class and each call, which takes minutes for a thousand resamples of a few thousand rows and
a hundred classes.
"""

import numpy as np
from numpy.typing import NDArray

from taskgraft.evaluation.detailed_metric import thin_classes

_LEAST_FOR_AUROC = 10
"""Rows of the rarer class, for an interval of the area under the ROC curve."""

_LEAST_FOR_PRECISION = 15
"""Positive rows, for an interval of the average precision."""

_LEAST_OUT_OF_ORDER = 0.5
"""The rows of the rarer class times the share of pairs out of order, for an interval of the area under the ROC curve."""


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
        self._scores, self._positive = scores, positive
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

    def leave_one_out(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute the mean of both areas over classes, as :meth:`areas` gives them, without each row in turn.

        Returns:
            two arrays ``(row,)`` from 0 to 1; NaN where no class has an area.
        """
        count = len(self._scores)
        whole = self.areas(np.ones(count, dtype=np.int64))
        sums, defined = np.zeros((2, count)), np.zeros((2, count))
        for index in range(self._classes):
            order = self._order[index][self._order[index] < count]  # rows whose label is known
            without = np.repeat(np.array([[area[index]] for area in whole]), count, axis=1)
            without[:, order] = _areas_without_each(self._scores[order, index], self._positive[order, index])
            sums += np.nan_to_num(without)
            defined += ~np.isnan(without)
        auroc, precision = np.divide(sums, defined, out=np.full((2, count), np.nan), where=defined > 0)
        return auroc, precision

    def too_few_rows(self) -> dict[str, str]:
        """Say why the mean of an area over classes has no 95 % interval that holds: "auroc" or "average_precision" → why."""
        auroc, precision = self.areas(np.ones(len(self._scores), dtype=np.int64))
        defined = ~np.isnan(auroc)
        if not defined.any():
            return {}
        known = (self._order < len(self._scores)).sum(1)[defined]
        positives = np.diff(self._offsets)[defined]
        rarer = np.minimum(positives, known - positives)
        if self._classes > 1 and (reason := thin_classes(rarer)) is not None:
            return dict.fromkeys(("auroc", "average_precision"), reason)
        reasons = {}
        if self._classes == 1 and rarer[0] < _LEAST_FOR_AUROC:
            reasons["auroc"] = f"fewer than {_LEAST_FOR_AUROC} rows of one class"
        elif (rarer * (1 - auroc[defined])).sum() < _LEAST_OUT_OF_ORDER:
            reasons["auroc"] = "so close to 1 that too few rows are out of order"
        if self._classes == 1 and positives[0] < _LEAST_FOR_PRECISION:
            reasons["average_precision"] = f"fewer than {_LEAST_FOR_PRECISION} positive rows"
        elif (positives * precision[defined]).sum() < 1:
            reasons["average_precision"] = "so close to 0 that too few positive rows rank high"
        return reasons

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


def _areas_without_each(scores: NDArray[np.floating], hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute both areas of one class without each row in turn.

    Args:
        scores: ``(row,)``, highest first.
        hits: ``(row,)``, whether the row belongs to the class.

    Returns:
        ``(area, row)``: under the ROC curve, and the average precision; NaN without rows in, or outside, the class.
    """
    count = len(scores)
    opens = np.append(True, scores[1:] != scores[:-1])[:count]
    tie = np.cumsum(opens) - 1
    starts = np.flatnonzero(opens)
    first, last = starts[tie], np.append(starts[1:], count)[tie]  # of the rows of the same score
    so_far = np.append(0, np.cumsum(hits))
    above, upto, positives = so_far[first], so_far[last], int(so_far[-1])
    negatives = count - positives
    found = np.full((2, count), np.nan)
    kept = np.where(hits, (positives > 1) & (negatives > 0), (positives > 0) & (negatives > 1))
    if not kept.any():
        return found
    # of pairs, those in order; half of each tie
    beaten = np.where(hits, negatives - ((last - upto) + (first - above)) / 2, (above + upto) / 2)
    pairs = beaten[hits].sum() - beaten
    found[0] = pairs / np.maximum(np.where(hits, (positives - 1) * negatives, positives * (negatives - 1)), 1)
    # positive rows of higher score keep their precision; the others lose the row from those up to their threshold
    before = np.append(0, np.cumsum(np.where(hits, upto / np.maximum(last, 1), 0)))[first]
    fewer = np.maximum(last - 1, 1)
    without_hit, without_miss = (np.where(hits, part / fewer, 0) for part in (upto - 1, upto))
    after_hit, after_miss = (part.sum() - np.append(0, np.cumsum(part))[first] for part in (without_hit, without_miss))
    precision = before + np.where(hits, after_hit - without_hit, after_miss)
    found[1] = precision / np.maximum(positives - hits, 1)
    found[:, ~kept] = np.nan
    return found
