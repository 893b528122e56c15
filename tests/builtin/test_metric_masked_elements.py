import numpy as np
import pytest

from taskgraft.builtin.metrics.masked_elements import masked_element_metrics
from taskgraft.contract.predictions import Predictions


def evaluate(predictions, truth, rows=None):
    compute = masked_element_metrics(Predictions(predictions), truth)
    return compute(np.arange(len(truth)) if rows is None else np.array(rows, dtype=np.int64))


def test_only_masked_categories_count():
    found = evaluate([["a", "b"], ["a"], [3]], [["a", None], ["b"], [3]])
    assert found == {"hidden_accuracy": pytest.approx(2 / 3)}


def test_numbers_are_averaged_over_kinds():
    predictions = [{"size": 1.0, "span": [0.0, 4.0]}, {"size": 3.0, "span": [9.0, 4.0]}]
    truth = [{"size": 1.0, "span": [0.0, 4.0]}, {"size": 2.0, "span": [None, 6.0]}]
    # size: errors 0 and 1, spread 1/4; first of span: 0, no spread; second: 0 and 4, spread 1
    assert evaluate(predictions, truth) == {
        "hidden_mean_squared_error": pytest.approx((0.5 + 0 + 2) / 3),
        "hidden_r2": pytest.approx(((1 - 0.5 / 0.25) + (1 - 2 / 1)) / 2),
    }


def test_a_row_counts_as_often_as_it_is_resampled():
    assert evaluate([["a"], ["b"]], [["a"], ["a"]], [0, 0, 0, 1]) == {"hidden_accuracy": 0.75}


def test_predicting_the_mean_has_an_r2_of_zero():
    truth = [{"size": float(number)} for number in range(5)]
    assert evaluate([{"size": 2.0}] * 5, truth)["hidden_r2"] == pytest.approx(0)


def test_without_masked_elements_there_is_no_metric():
    assert evaluate([["a"], [1.0]], [[None], [None]]) == {}
    assert evaluate([["a"]], [["a"]], []) == {}
