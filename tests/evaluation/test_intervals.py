"""Intervals hold the truth in simulated evaluations, and where they would not, none is given, with the reason."""

import importlib.util
import math
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from taskgraft.builtin.metrics.classification import classification_metrics
from taskgraft.builtin.metrics.regression import regression_metrics
from taskgraft.contract.predictions import Predictions
from taskgraft.evaluation.bootstrap import Bootstrap
from taskgraft.evaluation.detailed_metric import DetailedMetric, combine_metrics
from taskgraft.evaluation.intervals import Intervals, estimate_intervals
from taskgraft.evaluation.student import student_quantile

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "intervals.py"


def estimated(metric, rows, bootstrap=None) -> Intervals:
    return estimate_intervals(metric, metric(np.arange(rows)), rows, bootstrap or Bootstrap())


def labelled(right, classes: int) -> DetailedMetric:
    """Metrics of as many rows for each class, of which the given ones are predicted right."""
    true = np.arange(len(right)) % classes
    predicted = np.where(right, true, (true + 1) % classes)
    return classification_metrics(Predictions(predicted.tolist(), None, tuple(range(classes))), true.tolist())


# --- values at the ends


def test_thirty_right_rows_of_thirty_do_not_mean_that_all_rows_are_right():
    low, high = estimated(labelled(np.ones(30, bool), 2), 30).ends["accuracy"]
    assert (low, high) == (pytest.approx(0.878, abs=0.001), 1.0)


def test_an_accuracy_of_zero_has_an_interval_too():
    low, high = estimated(labelled(np.zeros(30, bool), 2), 30).ends["accuracy"]
    assert (low, high) == (0.0, pytest.approx(0.122, abs=0.001))


def test_an_interval_of_a_share_stays_between_zero_and_one():
    for wrong in range(31):
        low, high = estimated(labelled(np.arange(30) >= wrong, 2), 30).ends["accuracy"]
        assert 0 <= low < high <= 1


@pytest.mark.parametrize("rows", [10, 30, 100])
def test_intervals_of_an_accuracy_hold_it_in_more_than_90_percent_whatever_it_is(rows):
    """Computed, not simulated: the chance of each number of right rows. Few rows take few values, so it may be over 98 %."""
    ends = []
    for right in range(rows + 1):
        values = (np.arange(rows) < right).astype(int).tolist()
        metric = classification_metrics(Predictions(values, None, (0, 1)), [1] * rows)
        ends.append(estimated(metric, rows, Bootstrap(1)).ends["accuracy"])
    low, high = np.array(ends).T
    for true in np.linspace(0.5, 0.9999, 500):
        chances = stats.binom.pmf(np.arange(rows + 1), rows, true)
        assert chances[(low <= true) & (true <= high)].sum() > 0.915


# --- no interval


def test_fewer_than_ten_rows_or_groups_have_no_intervals():
    metric = labelled(np.arange(9) > 2, 2)
    found = estimated(metric, 9)
    assert (found.ends, set(found.missing.values())) == ({}, {"fewer than 10 rows"})
    metric, members = labelled(np.arange(90) > 20, 2), (np.arange(90) // 10).tolist()
    found = estimated(metric, 90, Bootstrap(groups="customer", members=members))
    assert (found.ends, set(found.missing.values())) == ({}, {"fewer than 10 groups by 'customer'"})


def test_averages_over_classes_with_few_rows_have_no_interval():
    found = estimated(labelled(np.arange(3 * 77) % 4 > 0, 77), 3 * 77)
    reason = "fewer than 5 rows in 77 of 77 classes"
    averages = ("balanced_accuracy", "precision_macro", "recall_macro", "f1_macro")
    assert found.missing == dict.fromkeys(averages, reason)
    assert found.ends.keys() == {"accuracy", "f1_micro", "mcc"}


def test_areas_of_few_positive_rows_or_next_to_one_have_no_interval():
    def areas(positives: int, shift: float) -> Intervals:
        truth = (np.arange(1000) < positives).astype(int)
        score = 1 / (1 + np.exp(-np.random.default_rng(0).normal(size=1000) - shift * truth))
        predictions = Predictions(truth.tolist(), list(np.stack([1 - score, score], 1)), (0, 1))
        return estimated(classification_metrics(predictions, truth.tolist()), 1000)

    few = areas(9, 1.0).missing
    assert few["auroc"] == "fewer than 10 rows of one class"
    assert few["average_precision"] == "fewer than 15 positive rows"
    assert areas(30, 9.0).missing["auroc"] == "so close to 1 that too few rows are out of order"
    assert {"auroc", "average_precision"} <= areas(30, 1.5).ends.keys()


def test_a_plain_function_without_variation_has_no_interval():
    found = estimated(lambda rows: {"constant": 3.0}, 20)
    assert found == Intervals({}, {"constant": "the same without any of the rows"})


def test_a_value_that_is_undefined_without_some_rows_has_no_interval():
    def metric(rows):
        return {"rest": float(len(rows))} if {0, 1, 2} <= set(rows.tolist()) else {}

    assert estimated(metric, 20).missing == {"rest": "undefined without 3 of 20 rows"}


def test_a_value_with_more_bias_than_error_has_no_interval():
    """The largest of few rows is below the largest of all."""
    numbers = np.repeat([1.0, 2.0], 10)
    found = estimated(lambda rows: {"kinds": float(numbers[rows].mean() * 1e-6 - 1 / len(set(rows.tolist())))}, 20)
    assert found.missing == {"kinds": "over so few rows its bias is larger than its standard error"}


# --- what they are made of


def test_a_metric_says_what_it_is_about_in_company_too():
    one = DetailedMetric(
        lambda rows: {"a": float(rows.mean())}, {"a": (0.0, 99.0)}, {"a": 20}, no_intervals={"a": "so"}
    )
    both = combine_metrics([one, lambda rows: {"b": float(rows.max())}], 20)
    assert (both.bounds, both.sizes, both.rough) == ({"a": (0.0, 99.0)}, {"a": 20}, frozenset({"b"}))
    found = estimated(both, 20)
    assert found.missing["a"] == "so"


def test_the_interval_of_a_mean_is_that_of_students_t_on_the_scale_of_its_bounds():
    numbers = np.random.default_rng(0).normal(size=50)
    bounded = DetailedMetric(lambda rows: {"mean": float(numbers[rows].mean())}, {"mean": (-1e6, 1e6)}, {"mean": 50})
    found = estimated(bounded, 50).ends["mean"]
    expected = stats.t.interval(0.95, 49, numbers.mean(), stats.sem(numbers))
    assert found == pytest.approx(expected, rel=1e-3)


def test_errors_have_an_interval_above_zero_and_correlations_below_one():
    chance = np.random.default_rng(0)
    true = chance.normal(size=30)
    found = estimated(
        regression_metrics(Predictions((true + 0.1 * chance.normal(size=30)).tolist()), true.tolist()), 30
    )
    assert all(low > 0 for low, _ in found.ends.values())
    assert all(high < 1 for _, high in found.ends.values())


def test_rows_of_a_group_count_as_one():
    right = np.repeat(np.random.default_rng(0).random(40) < 0.7, 25)
    metric = classification_metrics(Predictions(right.astype(int).tolist(), None, (0, 1)), np.ones(1000, int).tolist())
    alone = estimated(metric, 1000).ends["accuracy"]
    together = estimated(metric, 1000, Bootstrap(members=(np.arange(1000) // 25).tolist())).ends["accuracy"]
    assert 4 < (together[1] - together[0]) / (alone[1] - alone[0]) < 6


def test_students_quantiles_equal_those_of_scipy():
    for degrees in (2, 2.5, 3, 4.9, 5, 9, 30, 99.5, 1e4, math.inf):
        assert student_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-4)
    assert student_quantile(0.5) == student_quantile(2)


# --- coverage


def benchmark():
    spec = importlib.util.spec_from_file_location("intervals_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CELLS = {
    "77 classes of 5 rows": lambda made: made.labels(77, 5, 0.8, "fixed"),
    "150 classes of 3 rows": lambda made: made.labels(150, 3, 0.8, "fixed"),
    "20 classes of 10 rows": lambda made: made.labels(20, 10, 0.95),
    "a long tail": lambda made: made.labels(20, 100, 0.8, "long"),
    "10 positive rows": lambda made: made.rare(10, 1.2, 1.0),
    "50 positive rows": lambda made: made.rare(50, 2.3, 1.8),
    "20 groups": lambda made: made.grouped(20, 20, 0.7),
    "elements": lambda made: made.elements(30, 5, 0.7),
    "numbers": lambda made: made.numbers(30, "normal", 0.6),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_intervals_hold_the_truth_in_90_to_98_percent_of_simulated_cases(name):
    """300 draws each: an interval that holds in 96 % holds in fewer than 99.3 % of them, with a chance of 999 in 1,000."""
    made = benchmark()
    found = made.simulate(CELLS[name](made), 300)
    shares = {metric: one.share for metric, one in found.items() if one.printed > 0.2}
    assert {metric: share for metric, share in shares.items() if not 0.90 <= share <= 0.99} == {}
    if name == "150 classes of 3 rows":
        assert shares.keys() == {"accuracy", "f1_micro", "mcc"}
    if name == "77 classes of 5 rows":
        assert "f1_macro" in shares


# --- speed


@pytest.mark.slow
def test_a_thousand_classes_of_eight_rows_take_seconds():
    """The limit leaves room for a busy machine: alone, it takes about three seconds."""
    chance = np.random.default_rng(0)
    scores = chance.random((8_000, 1_000), dtype=np.float32)
    true = np.arange(8_000) % 1_000
    metric = classification_metrics(Predictions(true.tolist(), list(scores), tuple(range(1_000))), true.tolist())
    start = time.process_time()
    estimated(metric, 8_000)
    assert time.process_time() - start < 20
