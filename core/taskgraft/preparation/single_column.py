"""How well a single column predicts the target: a score on rows that it was not fitted to.

A column that alone predicts almost perfectly is rarely a feature: more often it is known only after the target is.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

LEAST = 12
"""Rows of a class, in both halves together: with fewer, chance may tell classes apart."""

_CLASSES, _NUMBERS = 0.995, 0.999
"""What a column must reach: area under the ROC curve or balanced accuracy for classes, R² for numbers."""

_HALF = 0.98
"""What it must reach in either half of the rows, so that chance in one of them does not count."""

_NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True)
class ColumnScore:
    """A column that predicts almost perfectly: by which measure, how well, and on how many rows."""

    measure: str
    value: float
    rows: int

    def __str__(self) -> str:
        return f"{self.measure} {self.value:.4f} on {self.rows:,} rows"


def to_numbers(cells: pa.Array) -> Numbers | None:
    """Turn cells into numbers that keep their order: ``(row,)``, NaN where empty. None for a type that has no order.

    Texts are numbers if all are, else their places in the sorted texts.
    """
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    kind = cells.type
    if pa.types.is_null(kind):
        return np.full(len(cells), np.nan)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _texts_to_numbers(cells.cast(pa.large_string()))
    if pa.types.is_boolean(kind):
        cells = cells.cast(pa.int8())
    elif pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        cells = cells.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    numbers = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def score_classes(numbers: Numbers, classes: Indices) -> ColumnScore | None:
    """Return the score of a column that tells classes apart almost perfectly; None for any other.

    Args:
        numbers: of the sampled rows, from :func:`to_numbers`; ``classes`` are theirs.
    """
    values, half = _with_missing_as_lowest(numbers), _halves(classes)
    if classes.max() == 1:
        areas = [_area_under_roc(values[some], classes[some] == 1) for some in (half, ~half)]
        areas = [1 - area for area in areas] if areas[0] < 0.5 else areas
        if _reach(areas, _CLASSES):
            return ColumnScore("AUROC", float(np.mean(areas)), len(values))
    shares = [_nearest_class_accuracy(values, classes, some) for some in (half, ~half)]
    return ColumnScore("balanced accuracy", float(np.mean(shares)), len(values)) if _reach(shares, _CLASSES) else None


def score_numbers(numbers: Numbers, targets: Numbers) -> ColumnScore | None:
    """Return the score of a column that gives the target almost exactly; None for any other, or for few rows."""
    if len(targets) < 2 * LEAST or targets.min() == targets.max():
        return None
    values, half = _with_missing_as_lowest(numbers), _halves(np.zeros(len(targets), np.int64))
    shares = [_interpolation_fit(values, targets, some) for some in (half, ~half)]
    return ColumnScore("R²", float(np.mean(shares)), len(values)) if _reach(shares, _NUMBERS) else None


def _reach(scores: list[float], least: float) -> bool:
    return float(np.mean(scores)) >= least and min(scores) >= _HALF


def _texts_to_numbers(texts: pa.Array) -> Numbers:
    texts = pc.utf8_trim_whitespace(texts)
    encoded = pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts).dictionary_encode()
    distinct = encoded.dictionary
    if len(distinct) and pc.all(pc.match_substring_regex(distinct, _NUMBER_PATTERN)).as_py():
        numbers = distinct.cast(pa.float64()).to_numpy(zero_copy_only=False)
    else:
        numbers = pc.rank(distinct).to_numpy(zero_copy_only=False).astype(np.float64)
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return np.asarray(np.append(numbers, np.nan)[codes], dtype=np.float64)


def _with_missing_as_lowest(numbers: Numbers) -> Numbers:
    """Put empty cells far below all others, so that whether a cell is empty can tell classes apart too."""
    missing = np.isnan(numbers)
    if not missing.any() or missing.all():
        return np.where(missing, 0.0, numbers)
    low, high = numbers[~missing].min(), numbers[~missing].max()
    return np.where(missing, low - 10 * (high - low) - 1, numbers)


def _halves(classes: Indices) -> NDArray[np.bool_]:
    """Divide rows at random, each class in two: ``(row,)`` bool."""
    order = np.random.default_rng(1).permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    half = np.zeros(len(classes), np.bool_)
    half[order[::2]] = True
    return half


def _area_under_roc(values: Numbers, positive: NDArray[np.bool_]) -> float:
    """Compute the share of pairs of a positive and a negative row that are in order, ties counted by half."""
    low, high = np.sort(values[~positive]), values[positive]
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / (2 * len(low)))


def _nearest_class_accuracy(values: Numbers, classes: Indices, fitted: NDArray[np.bool_]) -> float:
    """Predict the majority class of the nearest value among the fitted rows; return the mean recall of the other rows."""
    known, places = np.unique(values[fitted], return_inverse=True)
    count = int(classes.max()) + 1
    votes = np.bincount(places * count + classes[fitted], minlength=len(known) * count).reshape(-1, count)
    predicted = votes.argmax(1)[_nearest(known, values[~fitted])]
    right, truth = predicted == classes[~fitted], classes[~fitted]
    return float((np.bincount(truth, right, count) / np.bincount(truth, minlength=count)).mean())


def _nearest(known: Numbers, values: Numbers) -> Indices:
    """Find the place of the nearest known value of each value; ``known`` is sorted."""
    right = np.clip(np.searchsorted(known, values), 0, len(known) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(values - known[left] <= known[right] - values, left, right)


def _interpolation_fit(values: Numbers, targets: Numbers, fitted: NDArray[np.bool_]) -> float:
    """Interpolate between the fitted rows; return R² on the other rows."""
    known, places = np.unique(values[fitted], return_inverse=True)
    means = np.bincount(places, targets[fitted]) / np.bincount(places)
    error = targets[~fitted] - np.interp(values[~fitted], known, means)
    spread = targets[~fitted] - targets[~fitted].mean()
    total = float((spread**2).sum())
    return 1 - float((error**2).sum()) / total if total > 0 else 0.0
