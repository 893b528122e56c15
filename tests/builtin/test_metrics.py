import random

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as known

from taskgraft.builtin.metrics.classification import classification, element_classification, multi_label
from taskgraft.builtin.metrics.regression import regression
from taskgraft.contract.predictions import Predictions

CLASSES = ("a", "b", "c", "d")


def drawn(count: int, classes=CLASSES, seed: int = 0) -> list[str]:
    return random.Random(seed).choices(classes, k=count)


def judged(metric, values, truth, classes=CLASSES, probabilities=None, rows=None) -> dict[str, float]:
    compute = metric(Predictions(values, probabilities, classes), truth)
    return compute(np.arange(len(truth)) if rows is None else np.array(rows, dtype=np.int64))


def shares(count: int, classes: int = 4, seed: int = 0) -> list[np.ndarray]:
    """Probabilities with ties."""
    chance = np.random.default_rng(seed)
    numbers = chance.integers(1, 6, (count, classes)).astype(np.float32)
    return list(numbers / numbers.sum(1, keepdims=True))


def assert_as_scikit_learn(found: dict[str, float], truth, values, **options) -> None:
    for name, score in (
        ("precision", known.precision_score),
        ("recall", known.recall_score),
        ("f1", known.f1_score),
    ):
        wanted = score(truth, values, average="macro", zero_division=0, **options)
        assert found[f"{name}_macro"] == pytest.approx(wanted, abs=1e-6)


def test_classification_is_judged_as_scikit_learn_judges_it():
    values, truth = drawn(200, seed=1), drawn(200, seed=2)
    found = judged(classification, values, truth)
    assert_as_scikit_learn(found, truth, values)
    assert found["accuracy"] == pytest.approx(known.accuracy_score(truth, values))
    assert found["f1_micro"] == pytest.approx(known.f1_score(truth, values, average="micro"))
    assert found["balanced_accuracy"] == pytest.approx(known.balanced_accuracy_score(truth, values))
    assert found["mcc"] == pytest.approx(known.matthews_corrcoef(truth, values), abs=1e-6)


def test_areas_are_those_of_each_class_against_the_rest():
    values, truth, found = drawn(200, seed=1), drawn(200, seed=2), shares(200)
    numbers = judged(classification, values, truth, probabilities=found)
    goals = np.array([[label == one for one in CLASSES] for label in truth])
    assert numbers["auroc"] == pytest.approx(known.roc_auc_score(goals, np.stack(found)), abs=1e-6)
    assert numbers["average_precision"] == pytest.approx(
        known.average_precision_score(goals, np.stack(found)), abs=1e-6
    )


def test_of_two_classes_areas_are_those_of_the_second():
    values, truth, found = drawn(60, "ab", seed=1), drawn(60, "ab", seed=2), shares(60, 2)
    numbers = judged(classification, values, truth, ("a", "b"), found)
    goals, scores = [label == "b" for label in truth], [row[1] for row in found]
    assert numbers["auroc"] == pytest.approx(known.roc_auc_score(goals, scores), abs=1e-6)
    assert numbers["average_precision"] == pytest.approx(known.average_precision_score(goals, scores), abs=1e-6)


def test_there_are_no_areas_without_probabilities_or_without_both_classes():
    values, truth = ["a", "b", "b"], ["a", "a", "b"]
    assert "auroc" not in judged(classification, values, truth, ("a", "b"))
    one = judged(classification, values, truth, ("a", "b"), shares(3, 2), rows=[0, 1])
    assert not {"auroc", "average_precision", "mcc"} & one.keys()


def test_a_class_that_no_row_has_does_not_change_the_areas():
    truth, values = drawn(50, "abc", seed=1), drawn(50, seed=2)
    found = judged(classification, values, truth, probabilities=shares(50))
    goals = np.array([[label == one for one in "abc"] for label in truth])
    assert found["auroc"] == pytest.approx(known.roc_auc_score(goals, np.stack(shares(50))[:, :3]), abs=1e-6)


def test_a_prediction_that_never_varies_has_no_correlation_with_the_truth():
    assert judged(classification, ["a"] * 20, drawn(20))["mcc"] == 0


def test_no_rows_have_no_numbers():
    for metric, value, truth in (
        (classification, "a", "a"),
        (element_classification, ["a"], ["a"]),
        (multi_label, ["a"], dict.fromkeys(CLASSES, True)),
        (regression, 1.0, 2.0),
    ):
        assert judged(metric, [value], [truth], rows=[]) == {}


def resampled(size: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, size, size)


def test_a_resample_is_judged_as_its_rows_would_be_alone():
    chance, size = np.random.default_rng(0), 40
    rows, found = resampled(size), shares(size)
    yes = [dict(zip(CLASSES, line, strict=True)) for line in (chance.random((size, 4)) < 0.5).tolist()]
    numbers = chance.integers(0, 9, size).astype(float).tolist()
    for metric, values, truth, probabilities in (
        (classification, drawn(size, seed=1), drawn(size, seed=2), found),
        (
            element_classification,
            [drawn(3, seed=row) for row in range(size)],
            [drawn(3, seed=-row) for row in range(size)],
            None,
        ),
        (multi_label, [drawn(2, seed=row) for row in range(size)], yes, found),
        (regression, chance.normal(size=size).tolist(), numbers, None),
    ):
        some = [probabilities[row] for row in rows] if probabilities else None
        alone = judged(metric, [values[row] for row in rows], [truth[row] for row in rows], probabilities=some)
        assert judged(metric, values, truth, probabilities=probabilities, rows=rows) == pytest.approx(alone, abs=1e-9)


def test_labels_have_areas_where_they_are_known():
    chance = np.random.default_rng(0)
    wanted, found = chance.integers(-1, 2, (60, 4)), np.stack(shares(60))
    meaning = {1: True, 0: False, -1: None}
    truth = [{label: meaning[value] for label, value in zip(CLASSES, row, strict=True)} for row in wanted.tolist()]
    numbers = judged(multi_label, [[]] * 60, truth, probabilities=list(found))
    columns = [(wanted[known_, place], found[known_, place]) for place, known_ in enumerate((wanted >= 0).T)]
    for name, score in (("auroc", known.roc_auc_score), ("average_precision", known.average_precision_score)):
        assert numbers[name] == pytest.approx(np.mean([score(goal, guess) for goal, guess in columns]), abs=1e-6)


def test_a_class_that_does_not_occur_does_not_lower_the_mean():
    values, truth = drawn(50, "ab", seed=1), drawn(50, "abc", seed=2)
    assert_as_scikit_learn(judged(classification, values, truth), truth, values)


def test_a_class_that_is_predicted_but_never_true_counts():
    values, truth = drawn(50, "abc", seed=1), drawn(50, "ab", seed=2)
    assert_as_scikit_learn(judged(classification, values, truth), truth, values)


def test_perfect_predictions_score_one():
    truth = drawn(20)
    assert set(judged(classification, truth, truth).values()) == {1.0}


def test_elements_are_judged_over_all_that_have_a_label():
    values = [drawn(size, seed=size) for size in (3, 5, 9)]
    truth = [drawn(size, (*CLASSES, None), seed=size + 1) for size in (3, 5, 9)]
    found = judged(element_classification, values, truth)
    assert "auroc" not in found
    pairs = [
        (label, goal)
        for row, goals in zip(values, truth, strict=True)
        for label, goal in zip(row, goals, strict=True)
        if goal
    ]
    assert_as_scikit_learn(found, [goal for _, goal in pairs], [label for label, _ in pairs])


def test_elements_that_were_cut_off_count_as_wrong():
    found = judged(element_classification, [["a", None], ["b"]], [["a", "a"], ["b", "b"]], ("a", "b"))
    assert found["accuracy"] == 0.5
    assert found["recall_macro"] == 0.5


def test_elements_that_were_cut_off_are_no_fault_of_another_class():
    values, truth = drawn(40, seed=1), drawn(40, seed=2)
    found = judged(element_classification, [values[:30]], [truth])
    assert_as_scikit_learn(found, truth, values[:30] + ["nothing"] * 10, labels=CLASSES)


def test_labels_are_judged_where_they_are_known():
    chance = np.random.default_rng(0)
    wanted, predicted = chance.integers(-1, 2, (60, 4)), chance.integers(0, 2, (60, 4))
    meaning = {1: True, 0: False, -1: None}
    truth = [{label: meaning[value] for label, value in zip(CLASSES, row, strict=True)} for row in wanted.tolist()]
    values = [[label for label, yes in zip(CLASSES, row, strict=True) if yes] for row in predicted]
    found = judged(multi_label, values, truth)
    columns = [(wanted[known_, place], predicted[known_, place]) for place, known_ in enumerate((wanted >= 0).T)]
    for name, score in (("precision", known.precision_score), ("recall", known.recall_score), ("f1", known.f1_score)):
        mean = np.mean([score(goal, guess) for goal, guess in columns])
        assert found[f"{name}_macro"] == pytest.approx(mean, abs=1e-6)
    everything = known.f1_score(wanted[wanted >= 0], predicted[wanted >= 0])
    assert found["f1_micro"] == pytest.approx(everything, abs=1e-6)


def test_regression_is_judged_as_scikit_learn_and_scipy_judge_it():
    chance = np.random.default_rng(0)
    truth = chance.integers(0, 9, 50).astype(float)  # with ties
    values = truth + chance.normal(size=50)
    found = judged(regression, values.tolist(), truth.tolist())
    assert found == pytest.approx(
        {
            "mean_squared_error": known.mean_squared_error(truth, values),
            "mean_absolute_error": known.mean_absolute_error(truth, values),
            "r2": known.r2_score(truth, values),
            "pearson": stats.pearsonr(truth, values).statistic,
            "spearman": stats.spearmanr(truth, values).statistic,
        },
        abs=1e-6,
    )


def test_of_several_columns_the_mean_is_given():
    chance = np.random.default_rng(0)
    truth, values = chance.normal(size=(2, 30, 2))
    found = judged(regression, values.tolist(), truth.tolist())
    alone = [judged(regression, values[:, column].tolist(), truth[:, column].tolist()) for column in (0, 1)]
    for name, number in found.items():
        assert number == pytest.approx((alone[0][name] + alone[1][name]) / 2, abs=1e-6)


def test_numbers_that_never_vary_have_no_correlation():
    assert judged(regression, [0.1] * 3, [1.0, 2.0, 3.0]).keys() == {"mean_squared_error", "mean_absolute_error", "r2"}
    assert judged(regression, [1.0, 2.0, 3.0], [0.1] * 3).keys() == {"mean_squared_error", "mean_absolute_error"}


def test_numbers_that_vary_too_little_to_be_squared_have_no_correlation():
    found = judged(regression, [0.0, 1e-200, 0.0], [1.0, 2.0, 3.0])
    assert "pearson" not in found
    assert "spearman" in found


def test_one_row_has_no_correlation():
    assert judged(regression, [1.0], [3.0]) == {"mean_squared_error": 4.0, "mean_absolute_error": 2.0}
