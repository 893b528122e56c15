"""A column that was constant in training and changes afterwards: the predictions do not collapse."""

import random

import pytest
from small_tables import SMALL

import taskgraft as tg
from taskgraft_fraud.columns import fit_config
from taskgraft_fraud.settings import TableConfig

CHANCE = random.Random(0)
ROWS = [
    {
        "amount": CHANCE.gauss(0, 1),
        "fee": 14.62,
        "opened": "2024-03-01 09:00:00.7",
        "late": CHANCE.choice(["true", "false"]),
    }
    for _ in range(200)
]
for row in ROWS:
    row["amount"] += 2 * (row["late"] == "true")


def probabilities(model, **changes):
    rows = [{**row, **changes} for row in ROWS[:50]]
    return [row["true"] for row in model.predict_proba(rows, quiet=True)]


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
@pytest.mark.parametrize("name", SMALL)
def test_a_small_change_of_a_constant_column_changes_probabilities_little(name, scaling):
    backbone = {"name": name, **SMALL[name].model_dump(exclude={"learned"}), "scaling": scaling}
    model = tg.compose(backbone, head="classification", strategy={"name": "full", "learning_rate": 1e-2})
    model.fit(ROWS, inputs=["amount", "fee"], target="late", training={"epochs": 8}, quiet=True)
    trained = probabilities(model)
    changed = probabilities(model, fee=14.72)
    assert max(trained) - min(trained) > 0.2  # it learned the amount
    assert max(abs(before - after) for before, after in zip(trained, changed, strict=True)) < 0.1


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_a_constant_column_has_scale_1_and_no_quantiles(scaling):
    (column,) = fit_config(TableConfig(scaling=scaling), {"fee": [14.62] * 500}).learned
    assert (column.mean, column.scale, column.quantiles) == (14.62, 1.0, ())


def test_a_constant_time_has_scale_1():
    (column,) = fit_config(TableConfig(), {"opened": [row["opened"] for row in ROWS]}).learned
    assert (column.mean, column.scale) == (0.0, 1.0)
    (column,) = fit_config(TableConfig(), {"opened": ["2024-03-01 09:00:00.7"] * 7 + [None]}).learned
    assert column.scale == 1.0
