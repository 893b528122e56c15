"""The metric of segmentation: how well predicted regions lie over the true ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Columns, EmptyConfig, MetricFunction, Predictions


def segmentation(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> MetricFunction:
    """How well predicted regions cover the true ones, over the pixels of all rows together; each from 0 to 1.

    ``mean_iou``: of each class the pixels where it is predicted and true by those where it is predicted or true (Jaccard's
    index); the mean over the classes that occur in either. ``pixel_accuracy``: the share of pixels whose class is right.

    Pixels whose truth is none of the classes do not count. A prediction of another size than the truth is looked up at the
    nearest pixels. Of each row three counts per class are kept, so that a resample only adds them up.
    """
    classes = np.array(predictions.classes)
    counts = np.array(
        [_counted(value, goal, classes) for value, goal in zip(predictions.values, truth, strict=True)], np.float64
    ).reshape(len(truth), 3 * len(classes))

    def judge(rows: NDArray[np.int64]) -> Mapping[str, float]:
        times = np.bincount(rows, minlength=len(truth)).astype(np.float64)
        hits, given, true = (times @ counts).reshape(3, -1)
        either = given + true - hits
        if not true.any():
            return {}
        occurs = either > 0
        return {
            "mean_iou": float((hits[occurs] / either[occurs]).mean()),
            "pixel_accuracy": float(hits.sum() / true.sum()),
        }

    return judge


def _counted(value: NDArray[Any], goal: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Count the pixels of a row, ``(3, class)``: where a class is predicted and true, where predicted, and where true."""
    size = len(classes)
    places = _places(goal, classes) * (size + 1) + _places(_resized(value, goal.shape), classes)
    table = np.bincount(places.ravel(), minlength=(size + 1) ** 2).reshape(size + 1, size + 1)
    table = table[:size]  # the rest has no true class
    return np.stack([table[:, :size].diagonal(), table.sum(0)[:size], table.sum(1)])


def _places(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Find the place of each label among the classes; of one that is none, the place after the last."""
    order = np.argsort(classes)
    places = order[np.searchsorted(classes, labels, sorter=order).clip(max=len(classes) - 1)]
    return np.where(classes[places] == labels, places, len(classes))


def _resized(value: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Look an array up at the nearest pixels of another size."""
    if value.shape == shape:
        return value
    down, across = (
        (2 * np.arange(wanted) + 1) * have // (2 * wanted) for have, wanted in zip(value.shape, shape, strict=True)
    )
    return value[np.ix_(down, across)]
