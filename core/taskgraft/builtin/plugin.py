"""What the core itself provides, through the same entry point as any plugin. Start reading here.

Heads, readers and metrics are imported when a lambda is called: listing specs imports no torch, numpy or Arrow.
"""
# ruff: noqa: PLW0108 - the lambdas are needed for that

from collections.abc import Iterable

from taskgraft.builtin import baselines, heads, metrics, optimizers, readers, schedules, splits
from taskgraft.builtin.heads import configs
from taskgraft.builtin.metrics.configs import ClassificationMetricConfig
from taskgraft.builtin.readers.configs import CsvConfig, HubConfig, LinesConfig
from taskgraft.builtin.strategies import average, fine_tuning, linear_probe, sharpness_aware
from taskgraft.builtin.strategies.adapters import Adapters, AdaptersConfig
from taskgraft.builtin.strategies.distill import Distill, DistillConfig
from taskgraft.builtin.strategies.gradual_unfreezing import Gradual, GradualConfig
from taskgraft.builtin.strategies.sequence import Stages, StagesConfig
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.hooks import hookimpl
from taskgraft.contract.specs import (
    BaselineSpec,
    Example,
    HeadSpec,
    MetricSpec,
    OptimizerSpec,
    ReaderSpec,
    ScheduleSpec,
    SplitSpec,
    StrategySpec,
)

TASKGRAFT_CONTRACT = "1.1"


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the built-in heads."""
    yield HeadSpec(
        name="classification",
        summary="one label per row",
        config=configs.ClassificationConfig,
        describe=configs.describe_classification,
        build=lambda config: heads.Classification(config),
    )
    yield HeadSpec(
        name="multi-label",
        summary="any number of labels per row; a label may be unknown",
        config=configs.MultiLabelConfig,
        describe=configs.describe_multi_label,
        build=lambda config: heads.MultiLabel(config),
    )
    yield HeadSpec(
        name="regression",
        summary="one or more numbers per row, predicted in their original unit",
        config=configs.RegressionConfig,
        describe=lambda config: configs.REGRESSION,
        build=lambda config: heads.Regression(config),
    )
    yield HeadSpec(
        name="element-classification",
        summary="a label per element of a row; an element may have none",
        config=configs.ElementClassificationConfig,
        describe=lambda config: configs.ELEMENT_CLASSIFICATION,
        build=lambda config: heads.ElementClassification(config),
    )
    yield HeadSpec(
        name="masked-elements",
        summary="the values of masked elements of a row; needs no labels",
        config=configs.MaskedElementsConfig,
        describe=lambda config: configs.MASKED_ELEMENTS,
        build=lambda config: heads.MaskedElements(config),
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
        name="average",
        summary="average the weights over the steps of another strategy: EMA or SWA",
        config=average.AverageConfig,
        build=average.Average,
        nested="strategy",
        example=Example({"strategy": "full"}),
    )
    yield StrategySpec(
        name="bitfit",
        summary="train the biases of the backbone, optionally its norms, and the head",
        config=fine_tuning.BitFitConfig,
        build=fine_tuning.BitFit,
    )
    yield StrategySpec(
        name="distill", summary="train a student on the soft labels of a teacher", config=DistillConfig, build=Distill
    )
    yield StrategySpec(
        name="full",
        summary="train the whole backbone and the head",
        config=fine_tuning.FullConfig,
        build=fine_tuning.Full,
    )
    yield StrategySpec(
        name="gradual",
        summary="unfreeze more and more parts, from the output down",
        config=GradualConfig,
        build=Gradual,
    )
    yield StrategySpec(
        name="layer-decay",
        summary="train the whole backbone, with rates that fall from output to input, and the head",
        config=fine_tuning.LayerDecayConfig,
        build=fine_tuning.LayerDecay,
    )
    yield StrategySpec(
        name="linear-probe",
        summary="freeze the backbone; fit the head on cached features",
        config=linear_probe.LinearProbeConfig,
        build=linear_probe.LinearProbe,
    )
    yield StrategySpec(
        name="partial",
        summary="train the last parts of the backbone and the head",
        config=fine_tuning.PartialConfig,
        build=fine_tuning.Partial,
        example=Example({"learn": 1}),
    )
    yield StrategySpec(
        name="probe-then-tune",
        summary="fit the head on cached features, then train everything from there",
        config=linear_probe.ProbeThenTuneConfig,
        build=linear_probe.ProbeThenTune,
    )
    yield StrategySpec(
        name="stages",
        summary="several strategies in sequence",
        config=StagesConfig,
        build=lambda config, strategies: Stages(strategies),
        nested="strategies",
        example=Example({"strategies": ["linear-probe", "full"]}),
    )
    yield StrategySpec(
        name="sharpness-aware",
        summary="step along the gradient at the worst weights nearby, in another strategy: SAM",
        config=sharpness_aware.SharpnessAwareConfig,
        build=sharpness_aware.SharpnessAware,
        nested="strategy",
        example=Example({"strategy": "full"}),
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the built-in readers."""
    yield ReaderSpec(
        name="csv",
        summary="comma-separated values, read verbatim",
        config=CsvConfig,
        suffixes=(".csv", ".csv.gz", ".tsv", ".tsv.gz"),
        read=lambda path, config: readers.read_csv(path, config),
    )
    yield ReaderSpec(
        name="json-lines",
        summary="one JSON object per line",
        config=EmptyConfig,
        suffixes=(".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"),
        read=lambda path, config: readers.read_json_lines(path, config),
    )
    yield ReaderSpec(
        name="lines",
        summary="one text per line, without a header",
        config=LinesConfig,
        suffixes=("",),
        read=lambda path, config: readers.read_lines(path, config),
        read_columns=lambda path, config, columns: readers.read_line_columns(path, config, columns),
    )
    yield ReaderSpec(
        name="parquet",
        summary="Parquet",
        config=EmptyConfig,
        suffixes=(".parquet", ".parquet.gz"),
        read=lambda path, config: readers.read_parquet(path, config),
    )
    yield ReaderSpec(
        name="dataset-folder",
        summary="a Hugging Face dataset saved to a folder",
        config=EmptyConfig,
        folder_patterns=("dataset_info.json", "dataset_dict.json"),
        read=lambda path, config: readers.read_dataset_folder(path, config),
    )
    yield ReaderSpec(
        name="hub",
        summary="a dataset of the Hugging Face hub: hub:NAME, or hub:NAME:SPLIT",
        config=HubConfig,
        scheme="hub",
        read=lambda path, config: readers.read_hub(path, config),
    )


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    """List the built-in splits."""
    yield SplitSpec(
        name="fraction",
        summary="hold out a random share of each class",
        config=splits.FractionConfig,
        split=splits.by_fraction,
    )
    yield SplitSpec(
        name="column",
        summary="split by a column that says train, validation or test",
        config=splits.ColumnConfig,
        split=splits.by_column,
        columns=lambda config: (config.column,),
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the built-in metrics."""
    yield MetricSpec(
        name="classification",
        summary="accuracy, precision, recall, F1, Matthews correlation, areas under curves",
        config=ClassificationMetricConfig,
        targets=frozenset({TargetKind.CATEGORY}),
        build=lambda predictions, truth, columns, config: metrics.classification_metrics(
            predictions, truth, config.positive
        ),
        positive=lambda predictions, config: metrics.positive_values(predictions, config.positive),
    )
    yield MetricSpec(
        name="element-classification",
        summary="accuracy, precision, recall, F1 and Matthews correlation over labelled elements",
        config=EmptyConfig,
        targets=frozenset({TargetKind.ELEMENT_CATEGORIES}),
        build=lambda predictions, truth, columns, config: metrics.element_classification_metrics(predictions, truth),
    )
    yield MetricSpec(
        name="masked-elements",
        summary="accuracy over masked categories, squared error and R² over masked numbers",
        config=EmptyConfig,
        targets=frozenset({TargetKind.INPUTS}),
        build=lambda predictions, truth, columns, config: metrics.masked_element_metrics(predictions, truth),
        lower_is_better=frozenset({"hidden_mean_squared_error"}),
    )
    yield MetricSpec(
        name="multi-label",
        summary="precision, recall, F1 and areas under curves over known labels",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORIES}),
        build=lambda predictions, truth, columns, config: metrics.multi_label_metrics(predictions, truth),
    )
    yield MetricSpec(
        name="regression",
        summary="squared and absolute error, R², Pearson and Spearman correlation",
        config=EmptyConfig,
        targets=frozenset({TargetKind.NUMBERS}),
        build=lambda predictions, truth, columns, config: metrics.regression_metrics(predictions, truth),
        lower_is_better=frozenset({"mean_squared_error", "mean_absolute_error"}),
    )


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    """List the built-in baselines."""
    yield BaselineSpec(
        name="majority",
        summary="always the most frequent label of the training rows",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORY, TargetKind.CATEGORIES, TargetKind.ELEMENT_CATEGORIES}),
        state=baselines.MajorityState,
        fit=baselines.fit_majority,
        predict=baselines.predict_majority,
    )
    yield BaselineSpec(
        name="mean",
        summary="always the mean of the training rows",
        config=EmptyConfig,
        targets=frozenset({TargetKind.NUMBERS}),
        state=baselines.MeanState,
        fit=baselines.fit_mean,
        predict=baselines.predict_mean,
    )


@hookimpl
def taskgraft_optimizers() -> Iterable[OptimizerSpec]:
    """List the optimizers of torch.optim."""
    yield from optimizers.OPTIMIZERS


@hookimpl
def taskgraft_schedules() -> Iterable[ScheduleSpec]:
    """List the built-in learning-rate schedules."""
    yield from schedules.SCHEDULES
