"""From a table of transactions to metrics next to baselines, and figures."""

import numpy as np
import pandas as pd
import pytest
from backbones import Table
from small_plugin import TableConfig

import taskgraft as tg
from taskgraft.plugin import ComponentRef
from taskgraft_fraud import logistic_regression
from taskgraft_fraud.baseline_settings import LogisticRegressionConfig
from taskgraft_fraud.calibration import apply_calibration, fit_temperature
from taskgraft_fraud.threshold import choose_by_costs

pytestmark = pytest.mark.slow


@pytest.fixture
def rows(tmp_path, monkeypatch) -> pd.DataFrame:
    """Thirty days of twelve customers, also in a file; large amounts are fraud more often."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    amounts = rng.exponential(50, 600).round(2)
    table = pd.DataFrame(
        {
            "customer": rng.integers(0, 12, 600),
            "time": pd.Timestamp("2018-07-01") + pd.to_timedelta(np.sort(rng.random(600) * 30), "D"),
            "amount": amounts,
            "fraud": (rng.random(600) < np.where(amounts > 120, 0.6, 0.02)).astype(int),
        }
    )
    table.to_csv("rows.csv", index=False)
    return table


def test_a_model_and_baselines_fitted_on_the_same_days_are_evaluated_on_later_days(rows, tmp_path):
    model = tg.compose(
        Table(TableConfig(columns=("amount",), means=(50.0,), scales=(50.0,))), "classification", "linear-probe"
    )
    split = {"name": "time", "column": "time", "validation": 8, "delay": 3}
    run = model.fit("rows.csv", inputs="amount", target="fraud", split=split, quiet=True)
    days = (pd.to_datetime(rows.time).dt.normalize() - pd.Timestamp("2018-07-01")).dt.days
    assert (run.metrics.rows, model.recipe.data.split) == (int((days > 21).sum()), ComponentRef(**split))
    metric = {"name": "fraud", "k": 5, "customer": "customer", "time": "time", "amount": "amount", "review": 4.0}
    later = rows[days > 21].to_csv("later.csv", index=False) or "later.csv"
    evaluation = model.evaluate(
        later,
        metrics=metric,
        baselines=["logistic-regression", "random-forest"],
        groups="customer",
        resamples=50,
        figures="figures",
        quiet=True,
    )
    assert list(evaluation) == [
        "alerts_share",
        "precision",
        "recall",
        "auroc",
        "average_precision",
        "precision_at_5",
        "recall_at_5",
        "card_precision_at_5",
        "expected_cost",
    ]
    assert list(evaluation.baselines) == ["majority", "logistic-regression", "random-forest"]
    assert evaluation.baselines["logistic-regression"]["average_precision"] > 3 * rows.fraud[days > 21].mean()
    assert evaluation.intervals.keys() | evaluation.missing_intervals.keys() == evaluation.keys()
    assert evaluation.missing_intervals["precision"] == "fewer than 10 alerts"
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["precision_recall.png", "reliability.png"]


def costs(rows, alerts, review: float) -> float:
    """The mean cost per row: a review of each alert, the amount of each missed fraud."""
    return float(np.where(alerts, review, rows.amount * (rows.fraud == 1)).mean())


def test_baselines_get_the_calibration_and_the_threshold_of_the_head_from_the_same_validation_rows(rows):
    """By hand: fit, calibrate and choose the threshold as for the model, on the same rows."""
    review = 4.0
    train, valid, test = (rows.iloc[part] for part in (slice(0, 300), slice(300, 450), slice(450, 600)))
    for name, part in (("train.csv", train), ("valid.csv", valid), ("test.csv", test)):
        part.to_csv(name, index=False)
    head = {"name": "fraud", "review": review, "amount": "amount"}
    table = {"name": "mlp-plr", "feature_size": 8, "blocks": 1}
    model = tg.compose(table, head, "full")
    report = model.fit(
        "train.csv", validation="valid.csv", inputs="amount", target="fraud", training={"epochs": 1}, quiet=True
    )
    found = model.evaluate("test.csv", baselines="logistic-regression", resamples=0, quiet=True).baselines

    def probabilities(part):
        inputs = {"amount": part.amount.astype(str).tolist()}
        state = logistic_regression.fit(
            {"amount": train.amount.astype(str).tolist()}, train.fraud.tolist(), LogisticRegressionConfig()
        )
        return np.stack(logistic_regression.predict(state, inputs, None, LogisticRegressionConfig()).probabilities)

    frauds = (valid.fraud == 1).to_numpy()
    calibration = fit_temperature(probabilities(valid), frauds)
    losses = np.where(frauds, valid.amount, 0.0)
    scores = apply_calibration(probabilities(valid), calibration)[:, 1].astype(np.float64)
    threshold = choose_by_costs(scores, losses, review)
    alerts = apply_calibration(probabilities(test), calibration)[:, 1].astype(np.float64) > threshold.value
    assert found["logistic-regression"]["expected_cost"] == pytest.approx(costs(test, alerts, review))
    assert found["logistic-regression"]["expected_cost"] < costs(test, probabilities(test)[:, 1] > 0.5, review)
    # the most frequent label has one probability, so its threshold alerts to every row or to none
    everything, nothing = (costs(valid, np.full(len(valid), some), review) for some in (True, False))
    expected = costs(test, np.full(len(test), everything < nothing), review)
    assert found["majority"]["expected_cost"] == pytest.approx(expected)
    assert report.metrics.baselines["majority"]["expected_cost"] == pytest.approx(min(everything, nothing))
    model.save("run")
    assert tg.load("run").evaluate("test.csv", resamples=0, quiet=True).baselines == {"majority": found["majority"]}


def test_a_given_threshold_is_that_of_the_baselines(rows):
    head = {"name": "fraud", "threshold": 0.05, "calibration": "none"}
    model = tg.compose({"name": "mlp-plr", "feature_size": 8, "blocks": 1}, head, "full")
    rows.to_csv("train.csv", index=False)
    model.fit("train.csv", inputs="amount", target="fraud", training={"epochs": 1}, quiet=True)
    share = float((rows.fraud == 1).mean())
    assert share > 0.05
    assert model.evaluate("train.csv", resamples=0, quiet=True).baselines["majority"]["alerts_share"] == 1.0


def test_validation_rows_from_memory_leave_a_requested_baseline_its_own_threshold(rows):
    rows.to_csv("train.csv", index=False)
    model = tg.compose({"name": "mlp-plr", "feature_size": 8, "blocks": 1}, "fraud", "full")
    model.fit("train.csv", validation=rows, inputs="amount", target="fraud", training={"epochs": 1}, quiet=True)
    found = model.evaluate("train.csv", baselines="logistic-regression", resamples=0, quiet=True)
    note = "the baseline 'logistic-regression' keeps its own threshold: there are no validation rows to tune it on"
    assert found.notes[note] == 600
