"""The metric ``segmentation``: intersection over union of predicted and true regions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Columns, DetailedMetric, EmptyConfig, Predictions


def segmentation_metric(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> DetailedMetric:
    """Evaluate predicted regions over the pixels of all rows together; from 0 to 1.

    ``mean_iou``: intersection over union of each class (the Jaccard index), averaged over the classes that are predicted or
    true anywhere. ``pixel_accuracy``: the share of pixels with the right class.

    Pixels whose true value is not one of the classes are ignored. A prediction of another size than the mask is resized by
    nearest neighbour. Each row is reduced to three counts per class, so a resample only adds them up.
    """
    classes = np.array(predictions.classes)
    counts = np.array(
        [_pixel_counts(value, mask, classes) for value, mask in zip(predictions.values, truth, strict=True)], np.float64
    ).reshape(len(truth), 3 * len(classes))

    def compute(rows: NDArray[np.int64]) -> Mapping[str, float]:
        weights = np.bincount(rows, minlength=len(truth)).astype(np.float64)
        hits, predicted, true = (weights @ counts).reshape(3, -1)
        union = predicted + true - hits
        if not true.any():
            return {}
        present = union > 0
        return {
            "mean_iou": float((hits[present] / union[present]).mean()),
            "pixel_accuracy": float(hits.sum() / true.sum()),
        }

    return DetailedMetric(compute, {"mean_iou": (0.0, 1.0), "pixel_accuracy": (0.0, 1.0)})


def _pixel_counts(value: NDArray[Any], mask: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Count the pixels of a row, ``(3, class)``: hits, predicted, true."""
    size = len(classes)
    pairs = _class_indices(mask, classes) * (size + 1) + _class_indices(_resize_nearest(value, mask.shape), classes)
    confusion = np.bincount(pairs.ravel(), minlength=(size + 1) ** 2).reshape(size + 1, size + 1)
    confusion = confusion[:size]  # the last row has no true class
    return np.stack([confusion[:, :size].diagonal(), confusion.sum(0)[:size], confusion.sum(1)])


def _class_indices(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Look up the index of each label among the classes; for any other label the index after the last."""
    order = np.argsort(classes)
    indices = order[np.searchsorted(classes, labels, sorter=order).clip(max=len(classes) - 1)]
    return np.where(classes[indices] == labels, indices, len(classes))


def _resize_nearest(value: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Resize an array to another height and width by nearest neighbour."""
    if value.shape == shape:
        return value
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(value.shape, shape, strict=True))
    return value[np.ix_(rows, columns)]
