"""The metric of segmentation equals scikit-learn's on the pixels of all rows, and counts each row as often as it is drawn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, jaccard_score

from taskgraft.plugin import EmptyConfig, Predictions, TargetKind
from taskgraft.testing.metrics_and_baselines import LabelledRows, check_metrics_count_rows
from taskgraft_vision.iou import segmentation

CLASSES = (0, 3, 7, 9)
IGNORED = 255


def drawn(rows=6, classes=(0, 3, 7), seed=0):
    """Predictions of some of the classes, and truths, of which some pixels are ignored."""
    chance = np.random.default_rng(seed)
    shapes = [(5 + row, 9 - row) for row in range(rows)]
    truth = [chance.choice([*classes, IGNORED], shape).astype(np.uint8) for shape in shapes]
    values = [np.where(chance.random(goal.shape) < 0.5, goal, chance.choice(classes, goal.shape)) for goal in truth]
    values = [np.where(value == IGNORED, classes[0], value) for value in values]
    return Predictions(values, None, CLASSES), truth


def judge(predictions, truth):
    return segmentation(predictions, truth, {}, EmptyConfig())


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [2], [1, 1, 1, 4, 0, 4]])
def test_the_numbers_are_those_of_scikit_learn_on_the_pixels_of_all_rows(rows):
    predictions, truth = drawn()
    goals = np.concatenate([truth[row].ravel() for row in rows])
    values = np.concatenate([predictions.values[row].ravel() for row in rows])
    known = goals != IGNORED

    found = judge(predictions, truth)(np.array(rows))

    assert found == {
        "mean_iou": pytest.approx(jaccard_score(goals[known], values[known], average="macro")),
        "pixel_accuracy": pytest.approx(accuracy_score(goals[known], values[known])),
    }


def test_a_class_that_is_predicted_and_never_true_counts_as_wrong():
    found = judge(Predictions([np.array([[0, 3]])], None, CLASSES), [np.array([[0, 0]])])(np.array([0]))

    assert found == {"mean_iou": 0.25, "pixel_accuracy": 0.5}


def test_ignored_pixels_do_not_count_whatever_is_predicted_there():
    found = judge(Predictions([np.array([[0, 3, 7]])], None, CLASSES), [np.array([[0, 3, IGNORED]])])(np.array([0]))

    assert found == {"mean_iou": 1, "pixel_accuracy": 1}


def test_without_a_pixel_to_judge_there_are_no_numbers():
    predictions, truth = Predictions([np.array([[0]])], None, CLASSES), [np.array([[IGNORED]])]

    assert judge(predictions, truth)(np.array([0])) == {}
    assert judge(*drawn())(np.array([], np.int64)) == {}
    assert judge(Predictions([]), [])(np.array([], np.int64)) == {}


def test_a_prediction_of_another_size_is_looked_up_at_the_nearest_pixels():
    small = np.array([[0, 3], [7, 9]])
    large = np.repeat(np.repeat(small, 3, 0), 2, 1)

    for value, goal in ((small, large), (large, small)):
        assert judge(Predictions([value], None, CLASSES), [goal])(np.array([0])) == {"mean_iou": 1, "pixel_accuracy": 1}


def test_classes_need_not_be_in_order():
    predictions, truth = drawn()
    turned = Predictions(predictions.values, None, CLASSES[::-1])

    assert judge(turned, truth)(np.arange(6)) == pytest.approx(judge(predictions, truth)(np.arange(6)))


def test_a_thousand_resamples_of_many_rows_and_classes_take_moments():
    chance = np.random.default_rng(0)
    values = [chance.integers(0, 150, (8, 8)) for _ in range(1000)]
    asked = judge(Predictions(values, None, tuple(range(150))), values)

    for _ in range(1000):
        found = asked(chance.integers(0, 1000, 1000))

    assert found == {"mean_iou": 1, "pixel_accuracy": 1}


def test_the_judge_keeps_the_law_of_judges():
    rows = LabelledRows(TargetKind.GRID_CATEGORIES, *drawn(), {})

    check_metrics_count_rows("taskgraft_vision.plugin", {}, {"segmentation": rows})
