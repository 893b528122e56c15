"""The specs of the baselines. Their functions import scikit-learn or LightGBM only when called."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from taskgraft.plugin import BaselineSpec, Columns, ElementCounts, TargetKind
from taskgraft_fraud.baseline_settings import (
    GradientBoostingConfig,
    LogisticRegressionConfig,
    LogisticRegressionState,
    RandomForestConfig,
)

if TYPE_CHECKING:
    from taskgraft.plugin import Predictions
    from taskgraft_fraud.trees import FittedTrees

TARGETS = frozenset({TargetKind.CATEGORY})


def baseline_specs() -> Iterable[BaselineSpec]:
    """List the baselines over the columns of a table."""
    yield BaselineSpec(
        name="logistic-regression",
        summary="logistic regression over standardized numbers and one-hot categories (scikit-learn)",
        config=LogisticRegressionConfig,
        targets=TARGETS,
        state=LogisticRegressionState,
        fit=_fit_regression,
        predict=_predict_regression,
    )
    library = "LightGBM, which is installed" if find_spec("lightgbm") else "scikit-learn; LightGBM if installed"
    yield BaselineSpec(
        name="gradient-boosting",
        summary=f"gradient boosting of decision trees ({library})",
        config=GradientBoostingConfig,
        targets=TARGETS,
        fit=_fit_boosting,
        predict=_predict_trees,
    )
    yield BaselineSpec(
        name="random-forest",
        summary="a forest of decision trees (scikit-learn)",
        config=RandomForestConfig,
        targets=TARGETS,
        fit=_fit_forest,
        predict=_predict_trees,
    )


def _fit_regression(
    inputs: Columns, labels: Sequence[Any], config: LogisticRegressionConfig
) -> LogisticRegressionState:
    from taskgraft_fraud import logistic_regression

    return logistic_regression.fit(inputs, labels, config)


def _predict_regression(
    state: LogisticRegressionState, inputs: Columns, elements: ElementCounts, config: LogisticRegressionConfig
) -> "Predictions":
    from taskgraft_fraud import logistic_regression

    return logistic_regression.predict(state, inputs, elements, config)


def _fit_boosting(inputs: Columns, labels: Sequence[Any], config: GradientBoostingConfig) -> "FittedTrees":
    from taskgraft_fraud.trees import fit_boosting

    return fit_boosting(inputs, labels, config)


def _fit_forest(inputs: Columns, labels: Sequence[Any], config: RandomForestConfig) -> "FittedTrees":
    from taskgraft_fraud.trees import fit_forest

    return fit_forest(inputs, labels, config)


def _predict_trees(trees: "FittedTrees", inputs: Columns, elements: ElementCounts, config: Any) -> "Predictions":
    from taskgraft_fraud.trees import predict

    return predict(trees, inputs, elements, config)
