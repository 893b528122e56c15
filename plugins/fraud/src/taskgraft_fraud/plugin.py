"""What taskgraft-fraud provides. Start reading here; no model code is imported."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgraft.plugin import (
    BackboneSpec,
    BaselineSpec,
    Columns,
    ElementCounts,
    Example,
    HeadSpec,
    MetricFunction,
    MetricSpec,
    ReaderSpec,
    SplitSpec,
    TargetKind,
    hookimpl,
)
from taskgraft_fraud import description, settings
from taskgraft_fraud.baseline_settings import (
    GradientBoostingConfig,
    LogisticRegressionConfig,
    LogisticRegressionLearned,
    RandomForestConfig,
)
from taskgraft_fraud.fraud_settings import FraudConfig, describe_fraud
from taskgraft_fraud.history_settings import TransactionsConfig
from taskgraft_fraud.metric_settings import FraudMetricConfig
from taskgraft_fraud.split_settings import CustomerSplitConfig, TimeSplitConfig

if TYPE_CHECKING:
    from taskgraft.plugin import Predictions, Rows
    from taskgraft_fraud.backbone import TableBackbone
    from taskgraft_fraud.fraud import Fraud

TASKGRAFT_CONTRACT = "1.0"

CATEGORY = frozenset({TargetKind.CATEGORY})

TABLE = Example(rows={"amount": [3.5, 80.0, 1.0, 12.25], "shop": ["books", "food", "food", "books"]})


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the table backbones."""
    yield BackboneSpec(
        name="ft-transformer",
        summary="a Transformer over the columns of a table",
        config=settings.FTTransformerConfig,
        describe=description.describe_ft_transformer,
        build=_ft_transformer,
        build_on_meta=partial(_sketched, _ft_transformer),
        fit_config=_learn_signs,
        example=TABLE,
    )
    yield BackboneSpec(
        name="tabular-resnet",
        summary="a residual network over a table",
        config=settings.TabularResNetConfig,
        describe=description.describe_tabular_resnet,
        build=_tabular_resnet,
        build_on_meta=partial(_sketched, _tabular_resnet),
        fit_config=_learn,
        example=TABLE,
    )
    yield BackboneSpec(
        name="mlp-plr",
        summary="a multilayer perceptron over periodic embeddings of a table's numbers",
        config=settings.MlpPlrConfig,
        describe=description.describe_mlp_plr,
        build=_mlp_plr,
        build_on_meta=partial(_sketched, _mlp_plr),
        fit_config=_learn,
        example=TABLE,
    )
    yield BackboneSpec(
        name="tabm",
        summary="an ensemble of multilayer perceptrons over a table, trained as one",
        config=settings.TabMConfig,
        describe=description.describe_tabm,
        build=_tabm,
        build_on_meta=partial(_sketched, _tabm),
        fit_config=_learn,
        example=TABLE,
    )


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the heads."""
    yield HeadSpec(
        name="fraud",
        summary="a rare yes or no: a calibrated probability, and alerts by what mistakes cost or how many can be reviewed",
        config=FraudConfig,
        describe=describe_fraud,
        build=_fraud,
        example=Example(rows={"fraud": [0, 1, 0, 0, 1, 0]}),
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of transactions."""
    yield ReaderSpec(
        name="transactions",
        summary="transactions of any file, with windows of what was known of their customers and terminals",
        config=TransactionsConfig,
        read=_read_transactions,
        suffixes=("",),
        folder_patterns=("history.*",),
    )


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    """List the splits of transactions."""
    yield SplitSpec(
        name="time",
        summary="the last days are held out, after a delay in which labels arrive",
        config=TimeSplitConfig,
        split=_by_time,
        columns=_part,
    )
    yield SplitSpec(
        name="customer",
        summary="a share of the customers is held out",
        config=CustomerSplitConfig,
        split=_by_customer,
        columns=_part,
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the metrics of fraud."""
    yield MetricSpec(
        name="fraud",
        summary="what a fraud team looks at: ranking, alerts, the k highest, cards per day, cost; draws two figures",
        config=FraudMetricConfig,
        targets=CATEGORY,
        build=_judge_fraud,
        plot=_draw_fraud,
        primary="average_precision",
        lower_is_better=frozenset({"expected_cost"}),
    )


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    """List the baselines over columns of a table."""
    yield BaselineSpec(
        name="logistic-regression",
        summary="logistic regression over standardised numbers and categories (scikit-learn)",
        config=LogisticRegressionConfig,
        targets=CATEGORY,
        state=LogisticRegressionLearned,
        fit=_learn_regression,
        predict=_predict_regression,
    )
    library = "LightGBM, which is installed" if find_spec("lightgbm") else "scikit-learn; LightGBM once it is installed"
    yield BaselineSpec(
        name="gradient-boosting",
        summary=f"gradient boosting of decision trees ({library})",
        config=GradientBoostingConfig,
        targets=CATEGORY,
        fit=_learn_boosting,
        predict=_predict_trees,
    )
    yield BaselineSpec(
        name="random-forest",
        summary="a forest of decision trees (scikit-learn)",
        config=RandomForestConfig,
        targets=CATEGORY,
        fit=_learn_forest,
        predict=_predict_trees,
    )


def _learn(config: settings.AnyTable, inputs: Columns) -> settings.AnyTable:
    from taskgraft_fraud.columns import learn

    return learn(config, inputs)


def _learn_signs(config: settings.FTTransformerConfig, inputs: Columns) -> settings.FTTransformerConfig:
    from taskgraft_fraud.columns import learn

    return learn(config, inputs, signs=config.hides)


def _sketched(build: Callable[[settings.AnyTable], "TableBackbone"], config: settings.AnyTable) -> "TableBackbone":
    import torch

    from taskgraft_fraud.backbone import sketched

    with torch.device("meta"):
        return build(sketched(config))


def _ft_transformer(config: settings.FTTransformerConfig) -> "TableBackbone":
    from taskgraft_fraud.ft_transformer import build

    return build(config)


def _tabular_resnet(config: settings.TabularResNetConfig) -> "TableBackbone":
    from taskgraft_fraud.tabular_resnet import build

    return build(config)


def _mlp_plr(config: settings.MlpPlrConfig) -> "TableBackbone":
    from taskgraft_fraud.mlp_plr import build

    return build(config)


def _tabm(config: settings.TabMConfig) -> "TableBackbone":
    from taskgraft_fraud.tabm_backbone import build

    return build(config)


def _fraud(config: FraudConfig) -> "Fraud":
    from taskgraft_fraud.fraud import Fraud

    return Fraud(config)


def _read_transactions(path: Path, config: TransactionsConfig) -> "Rows":
    from taskgraft_fraud.history_reader import read_transactions

    return read_transactions(path, config)


def _part(config: TimeSplitConfig | CustomerSplitConfig) -> Sequence[str]:
    return () if config.part is None else (config.part,)


def _by_time(rows: "Rows", targets: Sequence[str], config: TimeSplitConfig, seed: int) -> Mapping[str, Sequence[int]]:
    from taskgraft_fraud.time_split import by_time

    return by_time(rows, targets, config, seed)


def _by_customer(
    rows: "Rows", targets: Sequence[str], config: CustomerSplitConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    from taskgraft_fraud.customer_split import by_customer

    return by_customer(rows, targets, config, seed)


def _judge_fraud(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, settings: FraudMetricConfig
) -> MetricFunction:
    from taskgraft_fraud.fraud_metric import fraud

    return fraud(predictions, truth, columns, settings)


def _draw_fraud(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, settings: FraudMetricConfig, folder: Path
) -> Sequence[Path]:
    from taskgraft_fraud.figures import draw

    return draw(predictions, truth, settings, folder)


def _learn_regression(
    inputs: Columns, truth: Sequence[Any], config: LogisticRegressionConfig
) -> LogisticRegressionLearned:
    from taskgraft_fraud import logistic_regression

    return logistic_regression.learn(inputs, truth, config)


def _predict_regression(
    learned: LogisticRegressionLearned, inputs: Columns, elements: ElementCounts, config: LogisticRegressionConfig
) -> "Predictions":
    from taskgraft_fraud import logistic_regression

    return logistic_regression.predict(learned, inputs, elements, config)


def _learn_boosting(inputs: Columns, truth: Sequence[Any], config: GradientBoostingConfig) -> Any:
    from taskgraft_fraud.trees import learn_boosting

    return learn_boosting(inputs, truth, config)


def _learn_forest(inputs: Columns, truth: Sequence[Any], config: RandomForestConfig) -> Any:
    from taskgraft_fraud.trees import learn_forest

    return learn_forest(inputs, truth, config)


def _predict_trees(learned: Any, inputs: Columns, elements: ElementCounts, config: Any) -> "Predictions":
    from taskgraft_fraud import trees

    return trees.predict(learned, inputs, elements, config)
