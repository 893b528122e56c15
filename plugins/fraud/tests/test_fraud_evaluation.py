"""From a table of transactions to metrics next to baselines, and figures."""

import numpy as np
import pandas as pd
import pytest
from backbones import Table
from small_plugin import TableConfig

import taskgraft as tg
from taskgraft.plugin import ComponentRef

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
    assert evaluation.intervals.keys() == evaluation.keys()
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["precision_recall.png", "reliability.png"]
