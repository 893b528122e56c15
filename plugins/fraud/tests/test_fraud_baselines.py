import csv
import gzip
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from handbook import FEATURES, FIFTEEN, FOLDER, METRIC, SPLIT, needs_handbook
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from taskgraft.composition.compose import resolve
from taskgraft.contract.rows import RenamedColumns
from taskgraft.data.reading import read_rows
from taskgraft.data.splitting import split_rows
from taskgraft.discovery.catalog import catalog
from taskgraft.plugin import BaselineSpec, MetricSpec, SplitSpec
from taskgraft_fraud import logistic_regression, trees
from taskgraft_fraud.baseline_settings import (
    GradientBoostingConfig,
    LogisticRegressionConfig,
    LogisticRegressionLearned,
    RandomForestConfig,
)
from taskgraft_fraud.columns import learn
from taskgraft_fraud.matrix import expanded, learned_columns, numbered
from taskgraft_fraud.settings import TableConfig

NAMES = ("logistic-regression", "gradient-boosting", "gradient-boosting:scikit-learn", "random-forest")
ADULT = FOLDER.parent / "adult"


def learned(name, inputs, truth):
    chosen = resolve(catalog(), BaselineSpec, name)
    return chosen, chosen.spec.fit(inputs, truth, chosen.config)


def predicted(name, inputs, truth, others):
    chosen, found = learned(name, inputs, truth)
    return chosen.spec.predict(found, others, None, chosen.config)


def transactions(size=300, seed=0):
    """Amounts and countries that decide, as a CSV gives them, with gaps."""
    chance = np.random.default_rng(seed)
    amounts, countries = chance.exponential(100, size), chance.choice(["se", "de", "xx"], size)
    truth = ["yes" if bad else "no" for bad in (amounts > 120) | (countries == "xx")]
    texts = [None if row % 17 == 3 else f"{amount:.2f}" for row, amount in enumerate(amounts)]
    return {"amount": texts, "country": countries.tolist()}, truth


# --- columns


def test_a_baseline_reads_columns_as_a_table_backbone_does():
    inputs = transactions()[0] | {"when": [datetime(2024, 1, 1 + row % 28) for row in range(300)]}
    of_backbone = learn(TableConfig(columns={"amount": "category"}), inputs).learned
    assert learned_columns(inputs, RandomForestConfig(columns={"amount": "category"}), 1000, scaled=True) == of_backbone


def test_a_regression_gets_columns_around_zero():
    inputs = {"b": ["x", "y", "x", "y"], "a": [1, 3, None, 2]}
    columns = learned_columns(inputs, LogisticRegressionConfig(), 100, scaled=True)
    spread = (2 / 3) ** 0.5
    expected = [[-1 / spread, 0, 0, 1, 0], [1 / spread, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]]
    assert expanded(columns, inputs) == pytest.approx(np.array(expected))


def test_unknown_and_missing_categories_have_columns_of_their_own():
    columns = learned_columns({"b": ["x", "x", None]}, LogisticRegressionConfig(), 100, scaled=True)
    assert expanded(columns, {"b": ["x", None, "new"]}).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_a_cell_that_cannot_be_read_is_as_good_as_missing():
    columns = learned_columns({"a": [1, 3, None], "b": [1, 3, 1]}, LogisticRegressionConfig(), 100, scaled=True)
    found = expanded(columns, {"a": ["3", "five"], "b": ["1", "six"]})
    assert found[1].tolist() == [0, 1, 0]


def test_trees_get_numbers_and_the_places_of_categories():
    inputs = {"b": ["x", "y", "x", "y"], "a": [1, 3, 1, 3]}
    columns = learned_columns(inputs, RandomForestConfig(), 100, scaled=False)
    assert numbered(columns, inputs | {"b": ["y", "new", None, "x"]}).tolist() == [[1, 2], [3, 0], [1, 0], [3, 1]]


# --- baselines


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_learns_what_there_is_to_learn(name):
    inputs, truth = transactions()
    others, goals = transactions(seed=1)
    found = predicted(name, inputs, truth, others)
    share = np.mean([value == goal for value, goal in zip(found.values, goals, strict=True)])
    most = max(goals.count("yes"), goals.count("no")) / len(goals)
    assert share > most + 0.1
    assert found.classes == ("no", "yes")
    assert np.stack(found.probabilities).sum(1) == pytest.approx(1.0)


@pytest.mark.parametrize("name", NAMES)
def test_labels_keep_their_type(name):
    inputs = {"amount": list(range(60))}
    for truth in ([0] * 30 + [1] * 30, [False] * 30 + [True] * 30, ["10"] * 20 + ["9"] * 20 + ["x"] * 20):
        found = predicted(name, inputs, truth, inputs)
        assert {type(value) for value in found.values} == {type(truth[0])}
        assert set(found.values) <= set(truth) == set(found.classes)


def test_the_regression_predicts_as_scikit_learn_does():
    chance = np.random.default_rng(0)
    numbers, truth = chance.normal(size=(200, 3)), chance.integers(0, 3, 200)
    inputs = {f"column {place}": column.tolist() for place, column in enumerate(numbers.T)}
    for goals in (truth, truth > 0):
        known = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(numbers, goals)
        found = predicted("logistic-regression", inputs, goals.tolist(), inputs)
        assert np.stack(found.probabilities) == pytest.approx(known.predict_proba(numbers), abs=1e-6)


def test_what_the_regression_learned_can_be_read():
    found = learned("logistic-regression", *transactions())[1]
    again = LogisticRegressionLearned.model_validate_json(found.model_dump_json())
    assert again == found
    assert [column.name for column in found.columns] == ["amount", "country"]
    assert found.coefficients[0] == (0.0,) * 6  # the amount, its sign, unknown countries, and three


def test_a_weaker_penalty_gives_larger_coefficients():
    small, large = (
        logistic_regression.learn(*transactions(), LogisticRegressionConfig(strength=strength))
        for strength in (0.01, 10)
    )
    assert np.abs(large.coefficients).sum() > np.abs(small.coefficients).sum()


def test_the_library_of_the_trees_is_lightgbm_where_it_is_installed(monkeypatch):
    inputs, truth = transactions()
    kinds = [type(trees.learn_boosting(inputs, truth, GradientBoostingConfig()).model).__name__]
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    kinds.append(type(trees.learn_boosting(inputs, truth, GradientBoostingConfig()).model).__name__)
    assert kinds == ["LGBMClassifier", "HistGradientBoostingClassifier"]


def test_a_forest_has_as_many_trees_as_are_asked_for():
    assert len(trees.learn_forest(*transactions(), RandomForestConfig(trees=7)).model.estimators_) == 7


# --- real data


@needs_handbook
def test_the_regression_reaches_the_figures_of_the_handbook():
    rows = read_rows(FEATURES, catalog(), "the data")
    learned_from, judged = split_rows(rows, ("TX_FRAUD",), resolve(catalog(), SplitSpec, SPLIT), 0)
    names = {name: name for name in FIFTEEN}
    inputs, others = (RenamedColumns(some, names) for some in (learned_from, judged))
    found = predicted("logistic-regression", inputs, learned_from.values("TX_FRAUD"), others)
    metric = resolve(catalog(), MetricSpec, METRIC)
    columns = RenamedColumns(judged, {name: name for name in judged.columns})
    judge = metric.spec.build(found, judged.values("TX_FRAUD"), columns, metric.config)
    numbers = judge(np.arange(len(judged)))
    assert numbers["auroc"] == pytest.approx(0.870, abs=0.005)
    assert numbers["average_precision"] == pytest.approx(0.605, abs=0.005)
    assert numbers["card_precision_at_100"] == pytest.approx(0.291, abs=0.005)


def adult(part) -> tuple[dict[str, list[str]], list[str]]:
    with gzip.open(Path(ADULT) / f"{part}.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return columns, columns.pop("target")


@pytest.mark.skipif(not ADULT.is_dir(), reason="TASKGRAFT_DATA names no folder with tabular/adult")
def test_boosted_trees_reach_what_is_known_of_adult():
    inputs, truth = adult("train")
    others, goals = adult("test")
    found = predicted("gradient-boosting", inputs, truth, others)
    metric = resolve(catalog(), MetricSpec, "fraud")
    numbers = metric.spec.build(found, goals, {}, metric.config)(np.arange(len(goals)))
    right = np.mean([value == goal for value, goal in zip(found.values, goals, strict=True)])
    assert right == pytest.approx(0.873, abs=0.003)
    assert numbers["auroc"] == pytest.approx(0.927, abs=0.003)
