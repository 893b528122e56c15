"""What the core itself provides, through the same entry point as any stranger's plugin. No torch is imported here."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgraft.config import NoSettings
from taskgraft.description import TargetKind
from taskgraft.heads import settings
from taskgraft.hook import hookimpl
from taskgraft.readers.settings import CsvConfig
from taskgraft.spec import Columns, HeadSpec, MetricSpec, ReaderSpec, StrategySpec
from taskgraft.strategies.full import Full, FullConfig
from taskgraft.strategies.linear_probe import LinearProbe, LinearProbeConfig
from taskgraft.strategies.partial import Partial, PartialConfig

if TYPE_CHECKING:
    from taskgraft.head import Head, Predictions
    from taskgraft.rows import Rows

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the built-in heads."""
    yield HeadSpec(
        name="classification",
        summary="one label per row",
        config=settings.ClassificationConfig,
        describe=settings.describe_classification,
        build=_classification,
    )
    yield HeadSpec(
        name="multi-label",
        summary="any number of labels per row; a label may be unknown",
        config=settings.MultiLabelConfig,
        describe=settings.describe_multi_label,
        build=_multi_label,
    )
    yield HeadSpec(
        name="regression",
        summary="one or more numbers per row, given back in their own unit",
        config=settings.RegressionConfig,
        describe=settings.describe_regression,
        build=_regression,
    )
    yield HeadSpec(
        name="element-classification",
        summary="a label per element of a row; an element may have none",
        config=settings.ElementClassificationConfig,
        describe=settings.describe_element_classification,
        build=_element_classification,
    )


@hookimpl
def taskgraft_strategies() -> Iterable[StrategySpec]:
    """List the built-in strategies."""
    yield StrategySpec(name="full", summary="train the whole backbone and the head", config=FullConfig, build=Full)
    yield StrategySpec(
        name="linear-probe",
        summary="keep the backbone; solve for the head on features computed once",
        config=LinearProbeConfig,
        build=LinearProbe,
    )
    yield StrategySpec(
        name="partial", summary="train the last parts of the backbone and the head", config=PartialConfig, build=Partial
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the built-in readers."""
    yield ReaderSpec(
        name="csv",
        summary="comma-separated values, read verbatim",
        config=CsvConfig,
        suffixes=(".csv",),
        read=_read_csv,
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the built-in metrics."""
    yield MetricSpec(
        name="classification",
        summary="accuracy, precision, recall and F1",
        config=NoSettings,
        targets=frozenset({TargetKind.CATEGORY}),
        compute=_judge_classification,
    )
    yield MetricSpec(
        name="element-classification",
        summary="accuracy, precision, recall and F1 over labelled elements",
        config=NoSettings,
        targets=frozenset({TargetKind.ELEMENT_CATEGORIES}),
        compute=_judge_element_classification,
    )
    yield MetricSpec(
        name="multi-label",
        summary="precision, recall and F1 over known labels",
        config=NoSettings,
        targets=frozenset({TargetKind.CATEGORIES}),
        compute=_judge_multi_label,
    )
    yield MetricSpec(
        name="regression",
        summary="squared and absolute error, R², Pearson and Spearman correlation",
        config=NoSettings,
        targets=frozenset({TargetKind.NUMBERS}),
        compute=_judge_regression,
    )


def _classification(config: settings.ClassificationConfig) -> "Head[Any]":
    from taskgraft.heads.classification import Classification

    return Classification(config)


def _multi_label(config: settings.MultiLabelConfig) -> "Head[Any]":
    from taskgraft.heads.multi_label import MultiLabel

    return MultiLabel(config)


def _regression(config: settings.RegressionConfig) -> "Head[Any]":
    from taskgraft.heads.regression import Regression

    return Regression(config)


def _element_classification(config: settings.ElementClassificationConfig) -> "Head[Any]":
    from taskgraft.heads.element_classification import ElementClassification

    return ElementClassification(config)


def _read_csv(path: Path, config: CsvConfig) -> "Rows":
    from taskgraft.readers.csv import read_csv

    return read_csv(path, config)


def _judge_classification(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: NoSettings
) -> Mapping[str, float]:
    from taskgraft.metrics import judge

    return judge.classification(predictions, truth, columns, config)


def _judge_element_classification(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: NoSettings
) -> Mapping[str, float]:
    from taskgraft.metrics import judge

    return judge.element_classification(predictions, truth, columns, config)


def _judge_multi_label(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: NoSettings
) -> Mapping[str, float]:
    from taskgraft.metrics import judge

    return judge.multi_label(predictions, truth, columns, config)


def _judge_regression(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: NoSettings
) -> Mapping[str, float]:
    from taskgraft.metrics import judge

    return judge.regression(predictions, truth, columns, config)
