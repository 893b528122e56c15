"""What taskgraft-fraud provides. Start reading here; importing this module imports no model code."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgraft.plugin import (
    BackboneSpec,
    BaselineSpec,
    Columns,
    Example,
    HeadSpec,
    MetricFunction,
    MetricSpec,
    ReaderSpec,
    SplitSpec,
    TargetKind,
    hookimpl,
)
from taskgraft_fraud.backbone_specs import backbone_specs
from taskgraft_fraud.baseline_specs import baseline_specs
from taskgraft_fraud.head_settings import FraudConfig, describe_fraud
from taskgraft_fraud.metric_settings import FraudMetricConfig
from taskgraft_fraud.split_settings import CustomerSplitConfig, TimeSplitConfig
from taskgraft_fraud.transactions_settings import TransactionsConfig

if TYPE_CHECKING:
    from taskgraft.plugin import Predictions, Rows
    from taskgraft_fraud.fraud_head import FraudHead

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the table backbones."""
    return backbone_specs()


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the heads."""
    yield HeadSpec(
        name="fraud",
        summary="a rare binary outcome: a calibrated probability, and alerts chosen by costs or by review capacity",
        config=FraudConfig,
        describe=describe_fraud,
        build=_build_fraud_head,
        example=Example(rows={"fraud": [0, 1, 0, 0, 1, 0]}),
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of transactions."""
    yield ReaderSpec(
        name="transactions",
        summary="transactions in any file format, with aggregates over each customer's and terminal's past",
        config=TransactionsConfig,
        read=_read_transactions,
        read_columns=_read_transaction_columns,
        suffixes=("",),
        folder_patterns=("history.*",),
    )


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    """List the splits of transactions."""
    yield SplitSpec(
        name="time",
        summary="hold out the last days, after a delay in which labels arrive",
        config=TimeSplitConfig,
        split=_split_by_time,
        columns=_part_columns,
    )
    yield SplitSpec(
        name="customer",
        summary="hold out a share of the customers",
        config=CustomerSplitConfig,
        split=_split_by_customer,
        columns=_part_columns,
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the metrics of fraud."""
    yield MetricSpec(
        name="fraud",
        summary="metrics of a fraud team: ranking, alerts, top k, cards per day, cost; draws two figures",
        config=FraudMetricConfig,
        targets=frozenset({TargetKind.CATEGORY}),
        build=_build_fraud_metric,
        plot=_plot_fraud_metric,
        primary="average_precision",
        lower_is_better=frozenset({"expected_cost"}),
        descriptive=frozenset({"alerts_share", "precision", "recall"}),  # any threshold trades one for another
        positive=_positive_values,
    )


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    """List the baselines over the columns of a table."""
    return baseline_specs()


def _build_fraud_head(config: FraudConfig) -> "FraudHead":
    from taskgraft_fraud.fraud_head import FraudHead

    return FraudHead(config)


def _read_transactions(path: Path, config: TransactionsConfig) -> "Rows":
    from taskgraft_fraud.transactions_reader import read_transactions

    return read_transactions(path, config)


def _read_transaction_columns(path: Path, config: TransactionsConfig, columns: Collection[str]) -> "Rows":
    from taskgraft_fraud.transactions_reader import read_transaction_columns

    return read_transaction_columns(path, config, columns)


def _part_columns(config: TimeSplitConfig | CustomerSplitConfig) -> Sequence[str]:
    return () if config.part is None else (config.part,)


def _split_by_time(
    rows: "Rows", targets: Sequence[str], config: TimeSplitConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    from taskgraft_fraud.time_split import split_by_time

    return split_by_time(rows, targets, config, seed)


def _split_by_customer(
    rows: "Rows", targets: Sequence[str], config: CustomerSplitConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    from taskgraft_fraud.customer_split import split_by_customer

    return split_by_customer(rows, targets, config, seed)


def _build_fraud_metric(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, settings: FraudMetricConfig
) -> MetricFunction:
    from taskgraft_fraud.fraud_metric import fraud_metric

    return fraud_metric(predictions, truth, columns, settings)


def _positive_values(predictions: "Predictions", settings: FraudMetricConfig) -> Mapping[str, Any]:
    from taskgraft_fraud.fraud_metric import positive_values

    return positive_values(predictions, settings)


def _plot_fraud_metric(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, settings: FraudMetricConfig, folder: Path
) -> Sequence[Path]:
    from taskgraft_fraud.figures import draw

    return draw(predictions, truth, settings, folder)
