import numpy as np
import pytest

from taskgraft.builtin.metrics.masked_elements import masked_elements
from taskgraft.contract.predictions import Predictions


def judged(predictions, truth, rows=None):
    compute = masked_elements(Predictions(predictions), truth)
    return compute(np.arange(len(truth)) if rows is None else np.array(rows, dtype=np.int64))


def test_categories_count_where_they_were_hidden():
    found = judged([["a", "b"], ["a"], [3]], [["a", None], ["b"], [3]])
    assert found == {"hidden_accuracy": pytest.approx(2 / 3)}


def test_numbers_are_averaged_over_kinds():
    predictions = [{"size": 1.0, "span": [0.0, 4.0]}, {"size": 3.0, "span": [9.0, 4.0]}]
    truth = [{"size": 1.0, "span": [0.0, 4.0]}, {"size": 2.0, "span": [None, 6.0]}]
    # size: errors 0 and 1, spread 1/4; first of span: 0, no spread; second: 0 and 4, spread 1
    assert judged(predictions, truth) == {
        "hidden_mean_squared_error": pytest.approx((0.5 + 0 + 2) / 3),
        "hidden_r2": pytest.approx(((1 - 0.5 / 0.25) + (1 - 2 / 1)) / 2),
    }


def test_a_row_counts_as_often_as_it_is_drawn():
    assert judged([["a"], ["b"]], [["a"], ["a"]], [0, 0, 0, 1]) == {"hidden_accuracy": 0.75}


def test_the_mean_of_the_truth_explains_nothing():
    truth = [{"size": float(number)} for number in range(5)]
    assert judged([{"size": 2.0}] * 5, truth)["hidden_r2"] == pytest.approx(0)


def test_where_nothing_is_hidden_there_is_no_number():
    assert judged([["a"], [1.0]], [[None], [None]]) == {}
    assert judged([["a"]], [["a"]], []) == {}
