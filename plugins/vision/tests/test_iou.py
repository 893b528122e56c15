"""The metric of segmentation equals scikit-learn's on the pixels of all rows, and weights rows by their count in a resample."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, jaccard_score

from taskgraft.plugin import EmptyConfig, Predictions, TargetKind
from taskgraft.testing import LabelledRows, check_metrics_count_rows
from taskgraft_vision.iou import segmentation_metric

CLASSES = (0, 3, 7, 9)
IGNORED = 255


def sample(rows=6, classes=(0, 3, 7), seed=0):
    """Predictions of some of the classes, and true masks with some ignored pixels."""
    rng = np.random.default_rng(seed)
    shapes = [(5 + row, 9 - row) for row in range(rows)]
    truth = [rng.choice([*classes, IGNORED], shape).astype(np.uint8) for shape in shapes]
    values = [np.where(rng.random(mask.shape) < 0.5, mask, rng.choice(classes, mask.shape)) for mask in truth]
    values = [np.where(value == IGNORED, classes[0], value) for value in values]
    return Predictions(values, None, CLASSES), truth


def build_metric(predictions, truth):
    return segmentation_metric(predictions, truth, {}, EmptyConfig())


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [2], [1, 1, 1, 4, 0, 4]])
def test_metrics_equal_those_of_scikit_learn_on_the_pixels_of_all_rows(rows):
    predictions, truth = sample()
    labels = np.concatenate([truth[row].ravel() for row in rows])
    values = np.concatenate([predictions.values[row].ravel() for row in rows])
    known = labels != IGNORED

    metrics = build_metric(predictions, truth)(np.array(rows))

    assert metrics == {
        "mean_iou": pytest.approx(jaccard_score(labels[known], values[known], average="macro")),
        "pixel_accuracy": pytest.approx(accuracy_score(labels[known], values[known])),
    }


def test_a_class_that_is_predicted_but_never_true_counts():
    metrics = build_metric(Predictions([np.array([[0, 3]])], None, CLASSES), [np.array([[0, 0]])])(np.array([0]))

    assert metrics == {"mean_iou": 0.25, "pixel_accuracy": 0.5}


def test_ignored_pixels_do_not_count():
    metrics = build_metric(Predictions([np.array([[0, 3, 7]])], None, CLASSES), [np.array([[0, 3, IGNORED]])])(
        np.array([0])
    )

    assert metrics == {"mean_iou": 1, "pixel_accuracy": 1}


def test_without_labelled_pixels_there_are_no_metrics():
    predictions, truth = Predictions([np.array([[0]])], None, CLASSES), [np.array([[IGNORED]])]

    assert build_metric(predictions, truth)(np.array([0])) == {}
    assert build_metric(*sample())(np.array([], np.int64)) == {}
    assert build_metric(Predictions([]), [])(np.array([], np.int64)) == {}


def test_a_prediction_of_another_size_is_resized_by_nearest_neighbour():
    small = np.array([[0, 3], [7, 9]])
    large = np.repeat(np.repeat(small, 3, 0), 2, 1)

    for value, mask in ((small, large), (large, small)):
        assert build_metric(Predictions([value], None, CLASSES), [mask])(np.array([0])) == {
            "mean_iou": 1,
            "pixel_accuracy": 1,
        }


def test_classes_need_not_be_in_order():
    predictions, truth = sample()
    reversed_classes = Predictions(predictions.values, None, CLASSES[::-1])

    assert build_metric(reversed_classes, truth)(np.arange(6)) == pytest.approx(
        build_metric(predictions, truth)(np.arange(6))
    )


def test_a_thousand_resamples_of_many_rows_and_classes_are_fast():
    rng = np.random.default_rng(0)
    values = [rng.integers(0, 150, (8, 8)) for _ in range(1000)]
    metric = build_metric(Predictions(values, None, tuple(range(150))), values)

    for _ in range(1000):
        metrics = metric(rng.integers(0, 1000, 1000))

    assert metrics == {"mean_iou": 1, "pixel_accuracy": 1}


def test_the_metric_passes_the_conformance_check():
    rows = LabelledRows(TargetKind.GRID_CATEGORIES, *sample(), {})

    check_metrics_count_rows("taskgraft_vision.plugin", {}, {"segmentation": rows})
