"""What the core itself provides, through the same entry point as any plugin. Start reading here; nothing imports torch."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgraft.builtin.evaluation import BASELINES, METRICS
from taskgraft.builtin.heads import configs
from taskgraft.builtin.readers.configs import CsvConfig, HubConfig
from taskgraft.builtin.splits.column import ColumnConfig, by_column
from taskgraft.builtin.splits.fraction import FractionConfig, by_fraction
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
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.hooks import hookimpl
from taskgraft.contract.specs import BaselineSpec, Example, HeadSpec, MetricSpec, ReaderSpec, SplitSpec, StrategySpec

if TYPE_CHECKING:
    from taskgraft.contract.head import Head
    from taskgraft.contract.rows import Rows
    from taskgraft.contract.strategy import Strategy

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the built-in heads."""
    yield HeadSpec(
        name="classification",
        summary="one label per row",
        config=configs.ClassificationConfig,
        describe=configs.describe_classification,
        build=_classification,
    )
    yield HeadSpec(
        name="multi-label",
        summary="any number of labels per row; a label may be unknown",
        config=configs.MultiLabelConfig,
        describe=configs.describe_multi_label,
        build=_multi_label,
    )
    yield HeadSpec(
        name="regression",
        summary="one or more numbers per row, predicted in their original unit",
        config=configs.RegressionConfig,
        describe=configs.describe_regression,
        build=_regression,
    )
    yield HeadSpec(
        name="element-classification",
        summary="a label per element of a row; an element may have none",
        config=configs.ElementClassificationConfig,
        describe=configs.describe_element_classification,
        build=_element_classification,
    )
    yield HeadSpec(
        name="masked-elements",
        summary="the values of masked elements of a row; needs no labels",
        config=configs.MaskedElementsConfig,
        describe=configs.describe_masked_elements,
        build=_masked_elements,
    )


@hookimpl
def taskgraft_strategies() -> Iterable[StrategySpec]:
    """List the built-in strategies."""
    yield StrategySpec(
        name="adapters",
        summary="freeze the backbone; train small networks inserted behind its layers, and the head",
        config=AdaptersConfig,
        build=Adapters,
    )
    yield StrategySpec(
        name="bitfit",
        summary="train the biases of the backbone, optionally its norms, and the head",
        config=BitFitConfig,
        build=BitFit,
    )
    yield StrategySpec(
        name="distill", summary="train a student on the soft labels of a teacher", config=DistillConfig, build=Distill
    )
    yield StrategySpec(name="full", summary="train the whole backbone and the head", config=FullConfig, build=Full)
    yield StrategySpec(
        name="gradual",
        summary="unfreeze more and more parts, from the output down",
        config=GradualConfig,
        build=Gradual,
    )
    yield StrategySpec(
        name="layer-decay",
        summary="train the whole backbone, with rates that fall from output to input, and the head",
        config=LayerDecayConfig,
        build=LayerDecay,
    )
    yield StrategySpec(
        name="linear-probe",
        summary="freeze the backbone; fit the head on cached features",
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
        summary="fit the head on cached features, then train everything from there",
        config=ProbeThenTuneConfig,
        build=ProbeThenTune,
    )
    yield StrategySpec(
        name="stages",
        summary="several strategies in sequence",
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
        summary="a Hugging Face dataset saved to a folder",
        config=EmptyConfig,
        folder_patterns=("dataset_info.json", "dataset_dict.json"),
        read=_read_dataset_folder,
    )
    yield ReaderSpec(
        name="hub",
        summary="a dataset of the Hugging Face hub: hub:NAME, or hub:NAME:SPLIT",
        config=HubConfig,
        scheme="hub",
        read=_read_hub,
    )


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    """List the built-in splits."""
    yield SplitSpec(
        name="fraction",
        summary="hold out a random share of each class",
        config=FractionConfig,
        split=by_fraction,
    )
    yield SplitSpec(
        name="column",
        summary="split by a column that says train, validation or test",
        config=ColumnConfig,
        split=by_column,
        columns=lambda config: (config.column,),
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the built-in metrics."""
    return METRICS


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    """List the built-in baselines."""
    return BASELINES


def _classification(config: configs.ClassificationConfig) -> "Head[Any]":
    from taskgraft.builtin.heads.classification import Classification

    return Classification(config)


def _multi_label(config: configs.MultiLabelConfig) -> "Head[Any]":
    from taskgraft.builtin.heads.multi_label import MultiLabel

    return MultiLabel(config)


def _regression(config: configs.RegressionConfig) -> "Head[Any]":
    from taskgraft.builtin.heads.regression import Regression

    return Regression(config)


def _element_classification(config: configs.ElementClassificationConfig) -> "Head[Any]":
    from taskgraft.builtin.heads.element_classification import ElementClassification

    return ElementClassification(config)


def _masked_elements(config: configs.MaskedElementsConfig) -> "Head[Any]":
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
