import csv
import gzip
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from handbook import FIFTEEN, FOLDER, METRIC, needs_handbook, train_and_validation
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from taskgraft_fraud import logistic_regression, trees
from taskgraft_fraud.baseline_settings import (
    GradientBoostingConfig,
    LogisticRegressionConfig,
    LogisticRegressionState,
    RandomForestConfig,
)
from taskgraft_fraud.columns import fit_config
from taskgraft_fraud.design_matrix import fit_columns, one_hot_matrix, ordinal_matrix
from taskgraft_fraud.fraud_metric import fraud_metric
from taskgraft_fraud.metric_settings import FraudMetricConfig
from taskgraft_fraud.plugin import taskgraft_baselines
from taskgraft_fraud.settings import TableConfig

pytestmark = pytest.mark.slow

SPECS = {spec.name: spec for spec in taskgraft_baselines()}
CONFIGS = (
    LogisticRegressionConfig(),
    GradientBoostingConfig(),
    GradientBoostingConfig(library="scikit-learn"),
    RandomForestConfig(),
)
ADULT = FOLDER.parent / "adult"

every_baseline = pytest.mark.parametrize("config", CONFIGS, ids=repr)


def fit_and_predict(config, inputs, labels, others):
    spec = next(spec for spec in SPECS.values() if type(config) is spec.config)
    return spec.predict(spec.fit(inputs, labels, config), others, None, config)


def transactions(size=300, seed=0):
    """Amounts and countries that determine the label, as texts with gaps."""
    rng = np.random.default_rng(seed)
    amounts, countries = rng.exponential(100, size), rng.choice(["se", "de", "xx"], size)
    labels = ["yes" if bad else "no" for bad in (amounts > 120) | (countries == "xx")]
    texts = [None if row % 17 == 3 else f"{amount:.2f}" for row, amount in enumerate(amounts)]
    return {"amount": texts, "country": countries.tolist()}, labels


# --- columns


def test_a_baseline_fits_columns_as_a_table_backbone_does():
    inputs = transactions()[0] | {"when": [datetime(2024, 1, 1 + row % 28) for row in range(300)]}
    backbone_columns = fit_config(TableConfig(columns={"amount": "category"}), inputs).learned
    config = RandomForestConfig(columns={"amount": "category"})
    assert fit_columns(inputs, config, 1000) == backbone_columns


def test_a_regression_gets_standardized_columns():
    inputs = {"b": ["x", "y", "x", "y"], "a": [1, 3, None, 2]}
    columns = fit_columns(inputs, LogisticRegressionConfig(), 100)
    deviation = (2 / 3) ** 0.5
    expected = [[-1 / deviation, 0, 0, 1, 0], [1 / deviation, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]]
    assert one_hot_matrix(columns, inputs) == pytest.approx(np.array(expected))


def test_unknown_and_missing_categories_have_their_own_columns():
    columns = fit_columns({"b": ["x", "x", None]}, LogisticRegressionConfig(), 100)
    assert one_hot_matrix(columns, {"b": ["x", None, "new"]}).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_an_invalid_cell_counts_as_missing():
    columns = fit_columns({"a": [1, 3, None], "b": [1, 3, 1]}, LogisticRegressionConfig(), 100)
    matrix = one_hot_matrix(columns, {"a": ["3", "five"], "b": ["1", "six"]})
    assert matrix[1].tolist() == [0, 1, 0]


def test_trees_get_standardized_numbers_and_category_indices():
    inputs = {"b": ["x", "y", "x", "y"], "a": [1, 3, 1, 3]}
    columns = fit_columns(inputs, RandomForestConfig(), 100)
    assert ordinal_matrix(columns, inputs | {"b": ["y", "new", None, "x"]}).tolist() == [
        [-1, 2],
        [1, 0],
        [-1, 0],
        [1, 1],
    ]


# --- baselines


@every_baseline
def test_a_baseline_beats_the_majority_class(config):
    inputs, labels = transactions()
    others, expected = transactions(seed=1)
    predictions = fit_and_predict(config, inputs, labels, others)
    accuracy = np.mean([value == label for value, label in zip(predictions.values, expected, strict=True)])
    majority = max(expected.count("yes"), expected.count("no")) / len(expected)
    assert accuracy > majority + 0.1
    assert predictions.classes == ("no", "yes")
    assert np.stack(predictions.probabilities).sum(1) == pytest.approx(1.0)


@every_baseline
def test_labels_keep_their_type(config):
    inputs = {"amount": list(range(60))}
    for labels in ([0] * 30 + [1] * 30, [False] * 30 + [True] * 30, ["10"] * 20 + ["9"] * 20 + ["x"] * 20):
        predictions = fit_and_predict(config, inputs, labels, inputs)
        assert {type(value) for value in predictions.values} == {type(labels[0])}
        assert set(predictions.values) <= set(labels) == set(predictions.classes)


def test_the_regression_predicts_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    numbers, labels = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    inputs = {f"column {index}": column.tolist() for index, column in enumerate(numbers.T)}
    for expected in (labels, labels > 0):
        known = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(numbers, expected)
        predictions = fit_and_predict(LogisticRegressionConfig(), inputs, expected.tolist(), inputs)
        assert np.stack(predictions.probabilities) == pytest.approx(known.predict_proba(numbers), abs=1e-6)


def test_the_state_of_the_regression_is_readable_json():
    state = logistic_regression.fit(*transactions(), LogisticRegressionConfig())
    assert LogisticRegressionState.model_validate_json(state.model_dump_json()) == state
    assert [column.name for column in state.columns] == ["amount", "country"]
    assert state.coefficients[0] == (0.0,) * 6  # the amount, its missing indicator, unknown countries, and three


def test_a_weaker_penalty_gives_larger_coefficients():
    small, large = (
        logistic_regression.fit(*transactions(), LogisticRegressionConfig(strength=strength)) for strength in (0.01, 10)
    )
    assert np.abs(large.coefficients).sum() > np.abs(small.coefficients).sum()


def test_boosting_uses_lightgbm_if_it_is_installed(monkeypatch):
    inputs, labels = transactions()
    kinds = [type(trees.fit_boosting(inputs, labels, GradientBoostingConfig()).model).__name__]
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    kinds.append(type(trees.fit_boosting(inputs, labels, GradientBoostingConfig()).model).__name__)
    assert kinds == ["LGBMClassifier", "HistGradientBoostingClassifier"]


def test_the_number_of_trees_can_be_set():
    assert len(trees.fit_forest(*transactions(), RandomForestConfig(trees=7)).model.estimators_) == 7


# --- real data


@needs_handbook
def test_the_regression_reaches_the_published_metrics_of_the_handbook():
    train, validation = train_and_validation()
    inputs, others = ({name: rows.values(name) for name in FIFTEEN} for rows in (train, validation))
    predictions = fit_and_predict(LogisticRegressionConfig(), inputs, train.values("TX_FRAUD"), others)
    columns = {name: validation.values(name) for name in validation.columns}
    metric = fraud_metric(predictions, validation.values("TX_FRAUD"), columns, METRIC)
    metrics = metric(np.arange(len(validation)))
    assert metrics["auroc"] == pytest.approx(0.870, abs=0.005)
    assert metrics["average_precision"] == pytest.approx(0.605, abs=0.005)
    assert metrics["card_precision_at_100"] == pytest.approx(0.291, abs=0.005)


def adult(part) -> tuple[dict[str, list[str]], list[str]]:
    with gzip.open(Path(ADULT) / f"{part}.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return columns, columns.pop("target")


@pytest.mark.skipif(not ADULT.is_dir(), reason="TASKGRAFT_DATA names no folder with tabular/adult")
def test_boosted_trees_reach_the_known_accuracy_on_adult():
    inputs, labels = adult("train")
    others, expected = adult("test")
    predictions = fit_and_predict(GradientBoostingConfig(), inputs, labels, others)
    metrics = fraud_metric(predictions, expected, {}, FraudMetricConfig())(np.arange(len(expected)))
    accuracy = np.mean([value == label for value, label in zip(predictions.values, expected, strict=True)])
    assert accuracy == pytest.approx(0.873, abs=0.003)
    assert metrics["auroc"] == pytest.approx(0.927, abs=0.003)
