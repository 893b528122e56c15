"""What the core itself provides, through the same entry point as any stranger's plugin. No torch is imported here."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgraft.builtin.baselines.configs import MajorityLearned, MeanLearned
from taskgraft.builtin.heads import configs as settings
from taskgraft.builtin.readers.configs import CsvConfig, HubConfig
from taskgraft.builtin.splits.configs import ColumnConfig, FractionConfig
from taskgraft.builtin.strategies.adapters import Adapters, AdaptersConfig
from taskgraft.builtin.strategies.bitfit import BitFit, BitFitConfig
from taskgraft.builtin.strategies.distill import Distill, DistillConfig
from taskgraft.builtin.strategies.full import Full, FullConfig
from taskgraft.builtin.strategies.gradual_unfreezing import Gradual, GradualConfig
from taskgraft.builtin.strategies.layer_decay import LayerDecay, LayerDecayConfig
from taskgraft.builtin.strategies.linear_probe import LinearProbe, LinearProbeConfig
from taskgraft.builtin.strategies.partial import Partial, PartialConfig
from taskgraft.builtin.strategies.probe_then_tune import ProbeThenTune, ProbeThenTuneConfig
from taskgraft.builtin.strategies.sequence import Stages, StagesConfig
from taskgraft.contract.columns import Columns, ElementCounts
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.hooks import hookimpl
from taskgraft.contract.specs import (
    BaselineSpec,
    Example,
    HeadSpec,
    MetricFunction,
    MetricSpec,
    ReaderSpec,
    SplitSpec,
    StrategySpec,
)

if TYPE_CHECKING:
    from taskgraft.contract.head import Head
    from taskgraft.contract.predictions import Predictions
    from taskgraft.contract.rows import Rows
    from taskgraft.contract.strategy import Strategy

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
    yield HeadSpec(
        name="masked-elements",
        summary="what hidden elements of a row held; needs no labels",
        config=settings.MaskedElementsConfig,
        describe=settings.describe_masked_elements,
        build=_masked_elements,
    )


@hookimpl
def taskgraft_strategies() -> Iterable[StrategySpec]:
    """List the built-in strategies."""
    yield StrategySpec(
        name="adapters",
        summary="keep the backbone; train small networks behind its layers, and the head",
        config=AdaptersConfig,
        build=Adapters,
    )
    yield StrategySpec(
        name="bitfit",
        summary="train the biases of the backbone, its norms if wished, and the head",
        config=BitFitConfig,
        build=BitFit,
    )
    yield StrategySpec(
        name="distill", summary="train a student by a teacher's soft predictions", config=DistillConfig, build=Distill
    )
    yield StrategySpec(name="full", summary="train the whole backbone and the head", config=FullConfig, build=Full)
    yield StrategySpec(
        name="gradual",
        summary="let more and more parts learn, from the output down",
        config=GradualConfig,
        build=Gradual,
    )
    yield StrategySpec(
        name="layer-decay",
        summary="train the whole backbone at rates that fall from output to input, and the head",
        config=LayerDecayConfig,
        build=LayerDecay,
    )
    yield StrategySpec(
        name="linear-probe",
        summary="keep the backbone; solve for the head on features computed once",
        config=LinearProbeConfig,
        build=LinearProbe,
    )
    yield StrategySpec(
        name="partial",
        summary="train the last parts of the backbone and the head",
        config=PartialConfig,
        build=Partial,
        example=Example({"learn": 1}),
    )
    yield StrategySpec(
        name="probe-then-tune",
        summary="solve for the head on features computed once, then train everything from there",
        config=ProbeThenTuneConfig,
        build=ProbeThenTune,
    )
    yield StrategySpec(
        name="stages",
        summary="several strategies, one after the other",
        config=StagesConfig,
        build=_stages,
        nested="strategies",
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the built-in readers."""
    yield ReaderSpec(
        name="csv",
        summary="comma-separated values, read verbatim",
        config=CsvConfig,
        suffixes=(".csv", ".csv.gz", ".tsv", ".tsv.gz"),
        read=_read_csv,
    )
    yield ReaderSpec(
        name="json-lines",
        summary="one JSON object per line",
        config=EmptyConfig,
        suffixes=(".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"),
        read=_read_json_lines,
    )
    yield ReaderSpec(
        name="parquet",
        summary="Parquet",
        config=EmptyConfig,
        suffixes=(".parquet", ".parquet.gz"),
        read=_read_parquet,
    )
    yield ReaderSpec(
        name="dataset-folder",
        summary="a Hugging Face data set in the folder where it was saved",
        config=EmptyConfig,
        folder_patterns=("dataset_info.json", "dataset_dict.json"),
        read=_read_dataset_folder,
    )
    yield ReaderSpec(
        name="hub",
        summary="a data set of the Hugging Face hub: hub:NAME, or hub:NAME:PART",
        config=HubConfig,
        scheme="hub",
        read=_read_hub,
    )


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    """List the built-in splits."""
    yield SplitSpec(
        name="fraction",
        summary="hold out a share of each class, drawn at random",
        config=FractionConfig,
        split=_by_fraction,
    )
    yield SplitSpec(
        name="column",
        summary="take the parts that a column names",
        config=ColumnConfig,
        split=_by_column,
        columns=lambda config: (config.column,),
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the built-in metrics."""
    yield MetricSpec(
        name="classification",
        summary="accuracy, precision, recall, F1, Matthews' correlation, areas under curves",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORY}),
        build=_judge_classification,
    )
    yield MetricSpec(
        name="element-classification",
        summary="accuracy, precision, recall, F1 and Matthews' correlation over labelled elements",
        config=EmptyConfig,
        targets=frozenset({TargetKind.ELEMENT_CATEGORIES}),
        build=_judge_element_classification,
    )
    yield MetricSpec(
        name="masked-elements",
        summary="accuracy over hidden categories, squared error and R² over hidden numbers",
        config=EmptyConfig,
        targets=frozenset({TargetKind.INPUTS}),
        build=_judge_masked_elements,
        lower_is_better=frozenset({"hidden_mean_squared_error"}),
    )
    yield MetricSpec(
        name="multi-label",
        summary="precision, recall, F1 and areas under curves over known labels",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORIES}),
        build=_judge_multi_label,
    )
    yield MetricSpec(
        name="regression",
        summary="squared and absolute error, R², Pearson and Spearman correlation",
        config=EmptyConfig,
        targets=frozenset({TargetKind.NUMBERS}),
        build=_judge_regression,
        lower_is_better=frozenset({"mean_squared_error", "mean_absolute_error"}),
    )


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    """List the built-in baselines."""
    yield BaselineSpec(
        name="majority",
        summary="always what is most frequent in the training rows",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORY, TargetKind.CATEGORIES, TargetKind.ELEMENT_CATEGORIES}),
        state=MajorityLearned,
        fit=_learn_majority,
        predict=_predict_majority,
    )
    yield BaselineSpec(
        name="mean",
        summary="always the mean of the training rows",
        config=EmptyConfig,
        targets=frozenset({TargetKind.NUMBERS}),
        state=MeanLearned,
        fit=_learn_mean,
        predict=_predict_mean,
    )


def _classification(config: settings.ClassificationConfig) -> "Head[Any]":
    from taskgraft.builtin.heads.classification import Classification

    return Classification(config)


def _multi_label(config: settings.MultiLabelConfig) -> "Head[Any]":
    from taskgraft.builtin.heads.multi_label import MultiLabel

    return MultiLabel(config)


def _regression(config: settings.RegressionConfig) -> "Head[Any]":
    from taskgraft.builtin.heads.regression import Regression

    return Regression(config)


def _element_classification(config: settings.ElementClassificationConfig) -> "Head[Any]":
    from taskgraft.builtin.heads.element_classification import ElementClassification

    return ElementClassification(config)


def _masked_elements(config: settings.MaskedElementsConfig) -> "Head[Any]":
    from taskgraft.builtin.heads.masked_elements import MaskedElements

    return MaskedElements(config)


def _stages(config: StagesConfig, strategies: "Sequence[Strategy]") -> Stages:
    return Stages(strategies)


def _read_csv(path: Path, config: CsvConfig) -> "Rows":
    from taskgraft.builtin.readers.csv import read_csv

    return read_csv(path, config)


def _read_json_lines(path: Path, config: EmptyConfig) -> "Rows":
    from taskgraft.builtin.readers.json_lines import read_json_lines

    return read_json_lines(path, config)


def _read_parquet(path: Path, config: EmptyConfig) -> "Rows":
    from taskgraft.builtin.readers.parquet import read_parquet

    return read_parquet(path, config)


def _read_dataset_folder(path: Path, config: EmptyConfig) -> "Rows":
    from taskgraft.builtin.readers.hf_datasets import read_dataset_folder

    return read_dataset_folder(path, config)


def _read_hub(path: Path, config: HubConfig) -> "Rows":
    from taskgraft.builtin.readers.hf_datasets import read_hub

    return read_hub(path, config)


def _by_fraction(
    rows: "Rows", targets: Sequence[str], config: FractionConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    from taskgraft.builtin.splits.fraction import by_fraction

    return by_fraction(rows, targets, config, seed)


def _by_column(rows: "Rows", targets: Sequence[str], config: ColumnConfig, seed: int) -> Mapping[str, Sequence[int]]:
    from taskgraft.builtin.splits.column import by_column

    return by_column(rows, targets, config, seed)


def _judge_classification(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics import classification as judge

    return judge.classification(predictions, truth, columns, config)


def _judge_element_classification(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics import classification as judge

    return judge.element_classification(predictions, truth, columns, config)


def _judge_masked_elements(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics.masked_elements import masked_elements

    return masked_elements(predictions, truth, columns, config)


def _judge_multi_label(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics import classification as judge

    return judge.multi_label(predictions, truth, columns, config)


def _judge_regression(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics.regression import regression

    return regression(predictions, truth, columns, config)


def _learn_majority(inputs: Columns, truth: Sequence[Any], config: EmptyConfig) -> MajorityLearned:
    from taskgraft.builtin.baselines import majority

    return majority.learn(inputs, truth, config)


def _predict_majority(
    learned: MajorityLearned, inputs: Columns, elements: ElementCounts, config: EmptyConfig
) -> "Predictions":
    from taskgraft.builtin.baselines import majority

    return majority.predict(learned, inputs, elements, config)


def _learn_mean(inputs: Columns, truth: Sequence[Any], config: EmptyConfig) -> MeanLearned:
    from taskgraft.builtin.baselines import mean

    return mean.learn(inputs, truth, config)


def _predict_mean(learned: MeanLearned, inputs: Columns, elements: ElementCounts, config: EmptyConfig) -> "Predictions":
    from taskgraft.builtin.baselines import mean

    return mean.predict(learned, inputs, elements, config)
