import random

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as known

from taskgraft.config import NoSettings
from taskgraft.head import Predictions
from taskgraft.metrics import judge

CLASSES = ("a", "b", "c", "d")


def drawn(count: int, classes=CLASSES, seed: int = 0) -> list[str]:
    return random.Random(seed).choices(classes, k=count)


def judged(metric, values, truth, classes=CLASSES) -> dict[str, float]:
    return metric(Predictions(values, classes=classes), truth, {}, NoSettings())


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
    found = judged(judge.classification, values, truth)
    assert_as_scikit_learn(found, truth, values)
    assert found["accuracy"] == pytest.approx(known.accuracy_score(truth, values))
    assert found["f1_micro"] == pytest.approx(known.f1_score(truth, values, average="micro"))


def test_a_class_that_does_not_occur_does_not_lower_the_mean():
    values, truth = drawn(50, "ab", seed=1), drawn(50, "abc", seed=2)
    assert_as_scikit_learn(judged(judge.classification, values, truth), truth, values)


def test_a_class_that_is_predicted_but_never_true_counts():
    values, truth = drawn(50, "abc", seed=1), drawn(50, "ab", seed=2)
    assert_as_scikit_learn(judged(judge.classification, values, truth), truth, values)


def test_perfect_predictions_score_one():
    truth = drawn(20)
    assert set(judged(judge.classification, truth, truth).values()) == {1.0}


def test_elements_are_judged_over_all_that_have_a_label():
    values = [drawn(size, seed=size) for size in (3, 5, 9)]
    truth = [drawn(size, (*CLASSES, None), seed=size + 1) for size in (3, 5, 9)]
    found = judged(judge.element_classification, values, truth)
    pairs = [
        (label, goal)
        for row, goals in zip(values, truth, strict=True)
        for label, goal in zip(row, goals, strict=True)
        if goal
    ]
    assert_as_scikit_learn(found, [goal for _, goal in pairs], [label for label, _ in pairs])


def test_elements_that_were_cut_off_count_as_wrong():
    found = judged(judge.element_classification, [["a", None], ["b"]], [["a", "a"], ["b", "b"]], ("a", "b"))
    assert found["accuracy"] == 0.5
    assert found["recall_macro"] == 0.5


def test_elements_that_were_cut_off_are_no_fault_of_another_class():
    values, truth = drawn(40, seed=1), drawn(40, seed=2)
    found = judged(judge.element_classification, [values[:30]], [truth])
    assert_as_scikit_learn(found, truth, values[:30] + ["nothing"] * 10, labels=CLASSES)


def test_labels_are_judged_where_they_are_known():
    chance = np.random.default_rng(0)
    wanted, predicted = chance.integers(-1, 2, (60, 4)), chance.integers(0, 2, (60, 4))
    meaning = {1: True, 0: False, -1: None}
    truth = [{label: meaning[value] for label, value in zip(CLASSES, row, strict=True)} for row in wanted.tolist()]
    values = [[label for label, yes in zip(CLASSES, row, strict=True) if yes] for row in predicted]
    found = judged(judge.multi_label, values, truth)
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
    found = judged(judge.regression, values.tolist(), truth.tolist())
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
    found = judged(judge.regression, values.tolist(), truth.tolist())
    alone = [judged(judge.regression, values[:, column].tolist(), truth[:, column].tolist()) for column in (0, 1)]
    for name, number in found.items():
        assert number == pytest.approx((alone[0][name] + alone[1][name]) / 2, abs=1e-6)


def test_one_row_has_no_correlation():
    assert judged(judge.regression, [1.0], [3.0]) == {"mean_squared_error": 4.0, "mean_absolute_error": 2.0}
