from io import StringIO

import numpy as np
from rich.console import Console

from taskgraft.builtin.metrics import classification_metrics
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.evaluation.better_baselines import BaselineComparison
from taskgraft.evaluation.bootstrap import Bootstrap
from taskgraft.evaluation.detailed_metric import DetailedMetric, combine_metrics
from taskgraft.evaluation.evaluation import Evaluation

ROWS = 200
HOW = Bootstrap(200)


def metric(values, name="accuracy") -> DetailedMetric:
    """The mean of a value per row."""
    array = np.asarray(values, dtype=np.float64)
    return combine_metrics([lambda rows: {name: float(array[rows].mean())}], len(array))


def right(share: float, shift: int = 0) -> np.ndarray:
    """Which of the rows are predicted right."""
    return np.roll(np.arange(ROWS) < share * ROWS, shift)


def better(model, baseline, how=HOW, **directions):
    return BaselineComparison(model, {"majority": baseline}, **directions).better(ROWS, how)


def test_a_baseline_is_better_where_the_interval_of_the_difference_excludes_0():
    found = better(metric(right(0.6)), metric(right(0.8)))
    low, high = found["majority"]["accuracy"]
    assert 0.1 < low < 0.2 < high < 0.3


def test_a_baseline_is_not_better_within_the_interval():
    assert better(metric(right(0.6)), metric(right(0.62, shift=90))) == {}
    assert better(metric(right(0.8)), metric(right(0.6))) == {}
    assert better(metric(right(0.6)), metric(right(0.6))) == {}


def test_differences_are_paired():
    """Three rows in a hundred more, on the same rows, are more than chance; on others they are not."""
    assert better(metric(right(0.6)), metric(right(0.66))) != {}
    assert better(metric(right(0.6)), metric(right(0.66, shift=100))) == {}


def test_lower_may_be_better_and_some_values_are_better_neither_way():
    model, baseline = metric(right(0.8), "cost"), metric(right(0.6), "cost")
    assert better(model, baseline) == {}
    low, high = better(model, baseline, lower_is_better=frozenset({"cost"}))["majority"]["cost"]
    assert low < high < 0
    assert better(baseline, model, descriptive=frozenset({"cost"})) == {}


def test_without_resamples_nothing_is_compared():
    assert better(metric(right(0.2)), metric(right(0.9)), Bootstrap(0)) == {}


def test_where_the_model_is_better_nothing_is_drawn_again():
    calls = []
    model = DetailedMetric(lambda rows: calls.append(len(rows)) or {"accuracy": 0.9})
    assert better(model, metric(right(0.6))) == {}
    assert calls == [ROWS]


def test_a_baseline_that_is_better_is_said_in_one_line_and_in_json():
    truth = ["ok"] * 180 + ["fraud"] * 20
    classes = ("ok", "fraud")
    model = Predictions(["ok"] * 120 + ["fraud"] * 80, None, classes)
    comparison = BaselineComparison(
        classification_metrics(model, truth),
        {"majority": classification_metrics(Predictions(["ok"] * 200, None, classes), truth)},
    )
    baseline = dict(comparison.baselines["majority"](np.arange(200)))
    found = Evaluation(
        TargetKind.CATEGORY, model, truth, comparison.model, HOW, {"majority": baseline}, comparison=comparison
    )
    out = StringIO()
    Console(file=out, width=200, markup=False).print(found)
    assert (
        "The baseline 'majority' is better than the model in accuracy (0.9000 against 0.7000), f1_micro (0.9000 against "
        "0.7000): the 95 % interval of the difference excludes 0.\n"
    ) in out.getvalue()
    assert list(found.to_json()["better_baselines"]) == ["majority"]
    low, high = found.better_baselines["majority"]["accuracy"]
    assert found.to_json()["better_baselines"]["majority"]["accuracy"] == {"low": low, "high": high}
    assert 0.1 < low < 0.2 < high < 0.3
