import random

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from taskgraft.builtin.metrics.classification import (
    classification_metrics,
    element_classification_metrics,
    multi_label_metrics,
)
from taskgraft.builtin.metrics.regression import regression_metrics
from taskgraft.contract.predictions import Predictions

CLASSES = ("a", "b", "c", "d")


def drawn(count: int, classes=CLASSES, seed: int = 0) -> list[str]:
    return random.Random(seed).choices(classes, k=count)


def evaluate(metric, values, truth, classes=CLASSES, probabilities=None, rows=None) -> dict[str, float]:
    compute = metric(Predictions(values, probabilities, classes), truth)
    return compute(np.arange(len(truth)) if rows is None else np.array(rows, dtype=np.int64))


def shares(count: int, classes: int = 4, seed: int = 0) -> list[np.ndarray]:
    """Probabilities with ties."""
    chance = np.random.default_rng(seed)
    numbers = chance.integers(1, 6, (count, classes)).astype(np.float32)
    return list(numbers / numbers.sum(1, keepdims=True))


def assert_as_scikit_learn(metrics: dict[str, float], truth, values, **options) -> None:
    for name, score in (
        ("precision", sklearn_metrics.precision_score),
        ("recall", sklearn_metrics.recall_score),
        ("f1", sklearn_metrics.f1_score),
    ):
        wanted = score(truth, values, average="macro", zero_division=0, **options)
        assert metrics[f"{name}_macro"] == pytest.approx(wanted, abs=1e-6)


def test_classification_metrics_equal_those_of_scikit_learn():
    values, truth = drawn(200, seed=1), drawn(200, seed=2)
    metrics = evaluate(classification_metrics, values, truth)
    assert_as_scikit_learn(metrics, truth, values)
    assert metrics["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(truth, values))
    assert metrics["f1_micro"] == pytest.approx(sklearn_metrics.f1_score(truth, values, average="micro"))
    assert metrics["balanced_accuracy"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(truth, values))
    assert metrics["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(truth, values), abs=1e-6)


def test_areas_are_one_versus_rest():
    values, truth, probabilities = drawn(200, seed=1), drawn(200, seed=2), shares(200)
    numbers = evaluate(classification_metrics, values, truth, probabilities=probabilities)
    goals = np.array([[label == one for one in CLASSES] for label in truth])
    assert numbers["auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(goals, np.stack(probabilities)), abs=1e-6)
    assert numbers["average_precision"] == pytest.approx(
        sklearn_metrics.average_precision_score(goals, np.stack(probabilities)), abs=1e-6
    )


def test_with_two_classes_areas_are_those_of_the_second():
    values, truth, probabilities = drawn(60, "ab", seed=1), drawn(60, "ab", seed=2), shares(60, 2)
    numbers = evaluate(classification_metrics, values, truth, ("a", "b"), probabilities)
    goals, scores = [label == "b" for label in truth], [row[1] for row in probabilities]
    assert numbers["auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(goals, scores), abs=1e-6)
    assert numbers["average_precision"] == pytest.approx(
        sklearn_metrics.average_precision_score(goals, scores), abs=1e-6
    )


def test_there_are_no_areas_without_probabilities_or_without_both_classes():
    values, truth = ["a", "b", "b"], ["a", "a", "b"]
    assert "auroc" not in evaluate(classification_metrics, values, truth, ("a", "b"))
    one = evaluate(classification_metrics, values, truth, ("a", "b"), shares(3, 2), rows=[0, 1])
    assert not {"auroc", "average_precision", "mcc"} & one.keys()


def test_a_class_without_rows_does_not_change_the_areas():
    truth, values = drawn(50, "abc", seed=1), drawn(50, seed=2)
    metrics = evaluate(classification_metrics, values, truth, probabilities=shares(50))
    goals = np.array([[label == one for one in "abc"] for label in truth])
    assert metrics["auroc"] == pytest.approx(
        sklearn_metrics.roc_auc_score(goals, np.stack(shares(50))[:, :3]), abs=1e-6
    )


def test_constant_predictions_have_a_correlation_of_zero():
    assert evaluate(classification_metrics, ["a"] * 20, drawn(20))["mcc"] == 0


def test_without_rows_there_are_no_metrics():
    for metric, value, truth in (
        (classification_metrics, "a", "a"),
        (element_classification_metrics, ["a"], ["a"]),
        (multi_label_metrics, ["a"], dict.fromkeys(CLASSES, True)),
        (regression_metrics, 1.0, 2.0),
    ):
        assert evaluate(metric, [value], [truth], rows=[]) == {}


def resampled(size: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, size, size)


def test_a_resample_has_the_metrics_of_its_rows_alone():
    chance, size = np.random.default_rng(0), 40
    rows, probabilities = resampled(size), shares(size)
    yes = [dict(zip(CLASSES, line, strict=True)) for line in (chance.random((size, 4)) < 0.5).tolist()]
    numbers = chance.integers(0, 9, size).astype(float).tolist()
    for metric, values, truth, predicted in (
        (classification_metrics, drawn(size, seed=1), drawn(size, seed=2), probabilities),
        (
            element_classification_metrics,
            [drawn(3, seed=row) for row in range(size)],
            [drawn(3, seed=-row) for row in range(size)],
            None,
        ),
        (multi_label_metrics, [drawn(2, seed=row) for row in range(size)], yes, probabilities),
        (regression_metrics, chance.normal(size=size).tolist(), numbers, None),
    ):
        some = [predicted[row] for row in rows] if predicted else None
        alone = evaluate(metric, [values[row] for row in rows], [truth[row] for row in rows], probabilities=some)
        assert evaluate(metric, values, truth, probabilities=predicted, rows=rows) == pytest.approx(alone, abs=1e-9)


def test_labels_have_areas_where_they_are_known():
    chance = np.random.default_rng(0)
    wanted, probabilities = chance.integers(-1, 2, (60, 4)), np.stack(shares(60))
    meaning = {1: True, 0: False, -1: None}
    truth = [{label: meaning[value] for label, value in zip(CLASSES, row, strict=True)} for row in wanted.tolist()]
    numbers = evaluate(multi_label_metrics, [[]] * 60, truth, probabilities=list(probabilities))
    columns = [(wanted[known, place], probabilities[known, place]) for place, known in enumerate((wanted >= 0).T)]
    for name, score in (
        ("auroc", sklearn_metrics.roc_auc_score),
        ("average_precision", sklearn_metrics.average_precision_score),
    ):
        assert numbers[name] == pytest.approx(np.mean([score(goal, guess) for goal, guess in columns]), abs=1e-6)


def test_a_class_that_does_not_occur_does_not_lower_the_mean():
    values, truth = drawn(50, "ab", seed=1), drawn(50, "abc", seed=2)
    assert_as_scikit_learn(evaluate(classification_metrics, values, truth), truth, values)


def test_a_class_that_is_predicted_but_never_true_counts():
    values, truth = drawn(50, "abc", seed=1), drawn(50, "ab", seed=2)
    assert_as_scikit_learn(evaluate(classification_metrics, values, truth), truth, values)


def test_perfect_predictions_score_one():
    truth = drawn(20)
    assert set(evaluate(classification_metrics, truth, truth).values()) == {1.0}


def test_element_metrics_cover_all_labelled_elements():
    values = [drawn(size, seed=size) for size in (3, 5, 9)]
    truth = [drawn(size, (*CLASSES, None), seed=size + 1) for size in (3, 5, 9)]
    metrics = evaluate(element_classification_metrics, values, truth)
    assert "auroc" not in metrics
    pairs = [
        (label, goal)
        for row, goals in zip(values, truth, strict=True)
        for label, goal in zip(row, goals, strict=True)
        if goal
    ]
    assert_as_scikit_learn(metrics, [goal for _, goal in pairs], [label for label, _ in pairs])


def test_truncated_elements_count_as_wrong():
    metrics = evaluate(element_classification_metrics, [["a", None], ["b"]], [["a", "a"], ["b", "b"]], ("a", "b"))
    assert metrics["accuracy"] == 0.5
    assert metrics["recall_macro"] == 0.5


def test_truncated_elements_are_no_false_positives():
    values, truth = drawn(40, seed=1), drawn(40, seed=2)
    metrics = evaluate(element_classification_metrics, [values[:30]], [truth])
    assert_as_scikit_learn(metrics, truth, values[:30] + ["nothing"] * 10, labels=CLASSES)


def test_multi_label_metrics_cover_knownlabels():
    chance = np.random.default_rng(0)
    wanted, predicted = chance.integers(-1, 2, (60, 4)), chance.integers(0, 2, (60, 4))
    meaning = {1: True, 0: False, -1: None}
    truth = [{label: meaning[value] for label, value in zip(CLASSES, row, strict=True)} for row in wanted.tolist()]
    values = [[label for label, yes in zip(CLASSES, row, strict=True) if yes] for row in predicted]
    metrics = evaluate(multi_label_metrics, values, truth)
    columns = [(wanted[known, place], predicted[known, place]) for place, known in enumerate((wanted >= 0).T)]
    for name, score in (
        ("precision", sklearn_metrics.precision_score),
        ("recall", sklearn_metrics.recall_score),
        ("f1", sklearn_metrics.f1_score),
    ):
        mean = np.mean([score(goal, guess) for goal, guess in columns])
        assert metrics[f"{name}_macro"] == pytest.approx(mean, abs=1e-6)
    everything = sklearn_metrics.f1_score(wanted[wanted >= 0], predicted[wanted >= 0])
    assert metrics["f1_micro"] == pytest.approx(everything, abs=1e-6)


def test_regression_metrics_equal_those_of_scikit_learn_and_scipy():
    chance = np.random.default_rng(0)
    truth = chance.integers(0, 9, 50).astype(float)  # with ties
    values = truth + chance.normal(size=50)
    metrics = evaluate(regression_metrics, values.tolist(), truth.tolist())
    assert metrics == pytest.approx(
        {
            "mean_squared_error": sklearn_metrics.mean_squared_error(truth, values),
            "mean_absolute_error": sklearn_metrics.mean_absolute_error(truth, values),
            "r2": sklearn_metrics.r2_score(truth, values),
            "pearson": stats.pearsonr(truth, values).statistic,
            "spearman": stats.spearmanr(truth, values).statistic,
        },
        abs=1e-6,
    )


def test_with_several_columns_metrics_are_averaged():
    chance = np.random.default_rng(0)
    truth, values = chance.normal(size=(2, 30, 2))
    metrics = evaluate(regression_metrics, values.tolist(), truth.tolist())
    alone = [evaluate(regression_metrics, values[:, column].tolist(), truth[:, column].tolist()) for column in (0, 1)]
    for name, number in metrics.items():
        assert number == pytest.approx((alone[0][name] + alone[1][name]) / 2, abs=1e-6)


def test_constant_numbers_have_no_correlation():
    assert evaluate(regression_metrics, [0.1] * 3, [1.0, 2.0, 3.0]).keys() == {
        "mean_squared_error",
        "mean_absolute_error",
        "r2",
    }
    assert evaluate(regression_metrics, [1.0, 2.0, 3.0], [0.1] * 3).keys() == {
        "mean_squared_error",
        "mean_absolute_error",
    }


def test_numbers_whose_variance_underflows_have_no_correlation():
    metrics = evaluate(regression_metrics, [0.0, 1e-200, 0.0], [1.0, 2.0, 3.0])
    assert "pearson" not in metrics
    assert "spearman" in metrics


def test_one_row_has_no_correlation():
    assert evaluate(regression_metrics, [1.0], [3.0]) == {"mean_squared_error": 4.0, "mean_absolute_error": 2.0}
