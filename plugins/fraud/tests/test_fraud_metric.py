from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from taskgraft.plugin import MissingColumn, Predictions, TaskgraftError
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.fraud_metric import fraud_metric, positive_values
from taskgraft_fraud.metric_settings import FraudMetricConfig
from taskgraft_fraud.parse_cells import InvalidCells
from taskgraft_fraud.positive_label import metric_label

COLUMNS = {
    "id": [1, 2, 3, 4],
    "customer": ["a", "a", "b", "c"],
    "time": [10, 20, 30, 86_400],
    "amount": ["10", "20", "30", "40"],
}


def predictions(scores, threshold=0.5, classes=("0", "1")) -> Predictions:
    both = np.stack([1 - np.array(scores), scores], axis=1).astype(np.float32)
    return Predictions([classes[int(score >= threshold)] for score in scores], list(both), classes)


def evaluate(scores, truth, columns=COLUMNS, rows=None, **settings) -> dict[str, float]:
    metric = fraud_metric(predictions(scores), truth, columns, FraudMetricConfig(**settings))
    return dict(metric(np.arange(len(truth)) if rows is None else np.array(rows, dtype=np.int64)))


# --- metrics


def test_areas_equal_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, truth = np.round(rng.random(500), 2), (rng.random(500) < 0.1).astype(int)
    metrics = evaluate(scores, truth.astype(str).tolist())
    single = scores.astype(np.float32)
    assert metrics["average_precision"] == pytest.approx(average_precision_score(truth, single))
    assert metrics["auroc"] == pytest.approx(roc_auc_score(truth, single))


def test_alerts_and_the_highest_scores_are_counted():
    metrics = evaluate([0.9, 0.8, 0.6, 0.1], ["1", "0", "0", "1"], k=1)
    assert metrics["alerts_share"] == 0.75
    assert metrics["precision"] == pytest.approx(1 / 3)
    assert metrics["recall"] == 0.5
    assert (metrics["precision_at_1"], metrics["recall_at_1"]) == (1.0, 0.5)


def test_ties_at_rank_k_count_by_the_share_that_fits():
    metrics = evaluate([0.9, 0.5, 0.5, 0.5], ["0", "1", "0", "0"], k=2)
    assert metrics["precision_at_2"] == pytest.approx((1 / 3) / 2)
    assert metrics["recall_at_2"] == pytest.approx(1 / 3)


def test_all_rows_count_if_there_are_fewer_than_k():
    assert evaluate([0.9, 0.8, 0.6, 0.1], ["1", "0", "0", "1"], k=100)["precision_at_100"] == 0.5


def test_card_precision_needs_columns_of_customers_and_times():
    scores, truth = [0.9, 0.8, 0.95, 0.1], ["0", "1", "0", "1"]
    assert "card_precision_at_1" not in evaluate(scores, truth, k=1, customer="customer")
    metrics = evaluate(scores, truth, k=1, customer="customer", time="time")
    assert metrics["card_precision_at_1"] == (0.0 + 1.0) / 2
    in_days = evaluate(scores, truth, k=1, customer="customer", time="time", unit="days")
    assert in_days["card_precision_at_1"] == (0.0 + 1.0 + 0.0 + 1.0) / 4


def test_a_missed_fraud_costs_its_amount_and_an_alert_the_review():
    metrics = evaluate([0.9, 0.1, 0.9, 0.1], ["1", "1", "0", "0"], amount="amount", review=2.5)
    assert metrics["expected_cost"] == (2.5 + 20 + 2.5 + 0) / 4
    assert "expected_cost" not in evaluate([0.9, 0.1, 0.9, 0.1], ["1", "1", "0", "0"], amount="amount")


def test_undefined_metrics_are_left_out():
    assert evaluate([0.1, 0.2], ["0", "0"], k=1) == {"alerts_share": 0.0, "precision_at_1": 0.0}
    assert evaluate([0.1, 0.2], ["0", "1"], rows=[]) == {}
    alone = fraud_metric(Predictions(["1", "0"], None, ("0", "1")), ["1", "1"], {}, FraudMetricConfig())
    assert alone(np.arange(2)) == {"alerts_share": 0.5, "precision": 1.0, "recall": 0.5}


def test_the_label_of_fraud_can_be_set():
    metric = fraud_metric(
        predictions([0.9, 0.2], classes=("bad", "good")), ["good", "bad"], {}, FraudMetricConfig(positive="bad")
    )
    assert metric(np.arange(2))["average_precision"] == 1.0
    numbers = fraud_metric(predictions([0.9, 0.2], classes=(0, 1)), [1, 0], {}, FraudMetricConfig(positive="1"))
    assert numbers(np.arange(2))["recall"] == 1.0


# --- resamples


def test_a_resample_gives_the_metrics_of_a_table_of_its_rows():
    rng = np.random.default_rng(0)
    size = 300
    columns = {
        "id": list(range(size)),
        "customer": rng.integers(0, 40, size).tolist(),
        "time": rng.integers(0, 5, size).tolist(),
        "amount": rng.random(size).tolist(),
    }
    scores, truth = np.round(rng.random(size), 1), np.where(rng.random(size) < 0.2, "1", "0").tolist()
    settings = {"k": 7, "customer": "customer", "time": "time", "unit": "days", "amount": "amount", "review": 0.3}
    for rows in rng.integers(0, size, (20, size)):
        table = {name: [values[row] for row in rows] for name, values in columns.items()}
        alone = evaluate(scores[rows], [truth[row] for row in rows], table, **settings)
        assert evaluate(scores, truth, columns, rows, **settings) == pytest.approx(alone)


# --- errors


def test_three_classes_are_an_error():
    with pytest.raises(FraudError) as caught:
        fraud_metric(Predictions(["a"], None, ("a", "b", "c")), ["a"], {}, FraudMetricConfig())
    assert str(caught.value) == (
        "The metric 'fraud' evaluates two classes, but there are 3: a, b, c. Choose another metric (classification), or a "
        "target of two labels."
    )


def test_an_unknown_label_of_fraud_is_an_error():
    with pytest.raises(TaskgraftError) as caught:
        evaluate([0.1, 0.2], ["0", "1"], positive="fraud")
    assert str(caught.value) == (
        "The positive class of the metric 'fraud' is 'fraud', but the labels are '0', '1'. Name one of these."
    )


def test_labels_that_do_not_say_which_is_fraud_are_an_error():
    """Sorted by text, the second of fraud and ok is ok."""
    found = predictions([0.9, 0.2], classes=("fraud", "ok"))
    with pytest.raises(FraudError) as caught:
        fraud_metric(found, ["ok", "fraud"], {}, FraudMetricConfig())
    assert str(caught.value) == (
        "The metric 'fraud' cannot tell which of the labels 'fraud', 'ok' is fraud, since the head detects none of them. Name "
        'it in the metric\'s settings: positive = "fraud" or positive = "ok".'
    )


def test_the_label_that_the_head_detects_is_fraud():
    found = replace(predictions([0.9, 0.2], classes=("fraud", "ok")), positive="fraud")
    metric = fraud_metric(found, ["ok", "fraud"], {}, FraudMetricConfig())
    assert metric(np.arange(2))["average_precision"] == 1.0
    assert set(positive_values(found, FraudMetricConfig()).values()) == {"fraud"}
    assert metric(np.arange(2)).keys() <= positive_values(found, FraudMetricConfig()).keys()


@pytest.mark.parametrize("classes", [(0, 1), (False, True), ("false", "true"), ("0", "1")])
def test_of_0_and_1_the_1_is_fraud(classes):
    assert metric_label(Predictions([], None, classes), None) == 1


def test_a_missing_column_is_an_error():
    with pytest.raises(MissingColumn) as caught:
        evaluate([0.1, 0.2], ["0", "1"], {"amounts": [1, 2]}, amount="amount", review=1.0)
    assert str(caught.value) == "The evaluated data has no column 'amount'. Did you mean 'amounts'? Columns: amounts."


@pytest.mark.parametrize(("amount", "problem"), [("much", "is 'much', which is not a number"), (None, "is empty")])
def test_a_missed_fraud_without_amount_is_an_error(amount, problem):
    with pytest.raises(InvalidCells) as caught:
        evaluate([0.1, 0.2], ["0", "1"], {"amount": ["refund", amount]}, amount="amount", review=1.0)
    assert str(caught.value) == (
        f"Row 2: the column 'amount' {problem}. Fix or remove these rows, or name another column."
    )


def test_a_missing_time_is_an_error():
    with pytest.raises(InvalidCells) as caught:
        evaluate([0.1, 0.2], ["0", "1"], {"who": ["a", "b"], "when": [1, None]}, customer="who", time="when")
    assert caught.value.reasons == {1: "the column 'when' is empty"}
