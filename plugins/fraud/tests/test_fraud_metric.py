import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from taskgraft.evaluation.evaluation import Bootstrap
from taskgraft.plugin import MissingColumn, Predictions
from taskgraft_fraud.cells import BadCells
from taskgraft_fraud.fraud_metric import NotALabel, NotTwoClasses, fraud
from taskgraft_fraud.metric_settings import FraudMetricConfig

COLUMNS = {
    "id": [1, 2, 3, 4],
    "customer": ["a", "a", "b", "c"],
    "time": [10, 20, 30, 86_400],
    "amount": ["10", "20", "30", "40"],
}


def predicted(scores, threshold=0.5, classes=("0", "1")) -> Predictions:
    both = np.stack([1 - np.array(scores), scores], axis=1).astype(np.float32)
    return Predictions([classes[int(score >= threshold)] for score in scores], list(both), classes)


def judged(scores, truth, columns=COLUMNS, rows=None, **settings) -> dict[str, float]:
    judge = fraud(predicted(scores), truth, columns, FraudMetricConfig(**settings))
    return dict(judge(np.arange(len(truth)) if rows is None else np.array(rows, dtype=np.int64)))


# --- numbers


def test_areas_are_those_of_scikit_learn():
    chance = np.random.default_rng(0)
    scores, truth = np.round(chance.random(500), 2), (chance.random(500) < 0.1).astype(int)
    found = judged(scores, truth.astype(str).tolist())
    single = scores.astype(np.float32)
    assert found["average_precision"] == pytest.approx(average_precision_score(truth, single))
    assert found["auroc"] == pytest.approx(roc_auc_score(truth, single))


def test_alerts_and_the_highest_scores_are_counted():
    found = judged([0.9, 0.8, 0.6, 0.1], ["1", "0", "0", "1"], k=1)
    assert found["alerts_share"] == 0.75
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == 0.5
    assert (found["precision_at_1"], found["recall_at_1"]) == (1.0, 0.5)


def test_of_equal_scores_at_the_last_place_each_counts_by_the_share_that_fits():
    found = judged([0.9, 0.5, 0.5, 0.5], ["0", "1", "0", "0"], k=2)
    assert found["precision_at_2"] == pytest.approx((1 / 3) / 2)
    assert found["recall_at_2"] == pytest.approx(1 / 3)


def test_fewer_rows_than_k_are_all_looked_at():
    assert judged([0.9, 0.8, 0.6, 0.1], ["1", "0", "0", "1"], k=100)["precision_at_100"] == 0.5


def test_cards_are_judged_where_customers_and_times_are_known():
    scores, truth = [0.9, 0.8, 0.95, 0.1], ["0", "1", "0", "1"]
    assert "card_precision_at_1" not in judged(scores, truth, k=1, customer="customer")
    found = judged(scores, truth, k=1, customer="customer", time="time")
    assert found["card_precision_at_1"] == (0.0 + 1.0) / 2
    in_days = judged(scores, truth, k=1, customer="customer", time="time", unit="days")
    assert in_days["card_precision_at_1"] == (0.0 + 1.0 + 0.0 + 1.0) / 4


def test_a_missed_fraud_costs_its_amount_and_an_alert_the_review():
    found = judged([0.9, 0.1, 0.9, 0.1], ["1", "1", "0", "0"], amount="amount", review=2.5)
    assert found["expected_cost"] == (2.5 + 20 + 2.5 + 0) / 4
    assert "expected_cost" not in judged([0.9, 0.1, 0.9, 0.1], ["1", "1", "0", "0"], amount="amount")


def test_what_cannot_be_had_is_left_out():
    assert judged([0.1, 0.2], ["0", "0"], k=1) == {"alerts_share": 0.0, "precision_at_1": 0.0}
    assert judged([0.1, 0.2], ["0", "1"], rows=[]) == {}
    alone = fraud(Predictions(["1", "0"], None, ("0", "1")), ["1", "1"], {}, FraudMetricConfig())
    assert alone(np.arange(2)) == {"alerts_share": 0.5, "precision": 1.0, "recall": 0.5}


def test_the_label_of_fraud_can_be_named():
    judge = fraud(
        predicted([0.9, 0.2], classes=("bad", "good")), ["good", "bad"], {}, FraudMetricConfig(positive="bad")
    )
    assert judge(np.arange(2))["average_precision"] == 1.0
    numbers = fraud(predicted([0.9, 0.2], classes=(0, 1)), [1, 0], {}, FraudMetricConfig(positive="1"))
    assert numbers(np.arange(2))["recall"] == 1.0


# --- resamples


def test_a_resample_is_judged_as_a_table_of_its_rows_would_be():
    chance = np.random.default_rng(0)
    size = 300
    columns = {
        "id": list(range(size)),
        "customer": chance.integers(0, 40, size).tolist(),
        "time": chance.integers(0, 5, size).tolist(),
        "amount": chance.random(size).tolist(),
    }
    scores, truth = np.round(chance.random(size), 1), np.where(chance.random(size) < 0.2, "1", "0").tolist()
    settings = {"k": 7, "customer": "customer", "time": "time", "unit": "days", "amount": "amount", "review": 0.3}
    for rows in Bootstrap(20).draws(size):
        table = {name: [values[row] for row in rows] for name, values in columns.items()}
        alone = judged(scores[rows], [truth[row] for row in rows], table, **settings)
        assert judged(scores, truth, columns, rows, **settings) == pytest.approx(alone)


# --- what a person can mend


def test_three_classes_are_no_fraud():
    with pytest.raises(NotTwoClasses) as caught:
        fraud(Predictions(["a"], None, ("a", "b", "c")), ["a"], {}, FraudMetricConfig())
    assert str(caught.value) == (
        "The metric 'fraud' judges two classes, but here are 3: a, b, c. Name another metric (classification), or learn from a "
        "target of two labels."
    )


def test_a_label_of_fraud_that_is_none_is_told():
    with pytest.raises(NotALabel) as caught:
        judged([0.1, 0.2], ["0", "1"], positive="fraud")
    assert str(caught.value) == (
        "The metric 'fraud' is to take 'fraud' for the label of fraud (positive), but the labels are '0', '1'. Name one of "
        "those."
    )


def test_a_column_that_is_not_there_is_told():
    with pytest.raises(MissingColumn) as caught:
        judged([0.1, 0.2], ["0", "1"], {"amounts": [1, 2]}, amount="amount", review=1.0)
    assert str(caught.value) == "The judged data has no column 'amount'. Did you mean 'amounts'? Columns: amounts."


@pytest.mark.parametrize(("amount", "problem"), [("much", "is 'much', which is no number"), (None, "is empty")])
def test_a_missed_fraud_without_amount_is_told(amount, problem):
    with pytest.raises(BadCells) as caught:
        judged([0.1, 0.2], ["0", "1"], {"amount": ["refund", amount]}, amount="amount", review=1.0)
    assert str(caught.value) == (
        f"Row 2: the column 'amount' {problem}. Mend or leave out such rows, or name another column."
    )


def test_a_time_that_cannot_be_read_is_told():
    with pytest.raises(BadCells) as caught:
        judged([0.1, 0.2], ["0", "1"], {"who": ["a", "b"], "when": [1, None]}, customer="who", time="when")
    assert caught.value.reasons == {1: "the column 'when' is empty"}
