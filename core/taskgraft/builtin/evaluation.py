"""Specs of the built-in metrics and baselines. Imports neither numpy nor torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from taskgraft.builtin.baselines.majority import MajorityState, fit_majority, predict_majority
from taskgraft.builtin.baselines.mean import MeanState, fit_mean, predict_mean
from taskgraft.contract.columns import Columns
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.specs import BaselineSpec, MetricFunction, MetricSpec

if TYPE_CHECKING:
    from taskgraft.contract.predictions import Predictions


def _classification(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics.classification import classification

    return classification(predictions, truth)


def _element_classification(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics.classification import element_classification

    return element_classification(predictions, truth)


def _masked_elements(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics.masked_elements import masked_elements

    return masked_elements(predictions, truth)


def _multi_label(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics.classification import multi_label

    return multi_label(predictions, truth)


def _regression(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft.builtin.metrics.regression import regression

    return regression(predictions, truth)


METRICS = (
    MetricSpec(
        name="classification",
        summary="accuracy, precision, recall, F1, Matthews correlation, areas under curves",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORY}),
        build=_classification,
    ),
    MetricSpec(
        name="element-classification",
        summary="accuracy, precision, recall, F1 and Matthews correlation over labelled elements",
        config=EmptyConfig,
        targets=frozenset({TargetKind.ELEMENT_CATEGORIES}),
        build=_element_classification,
    ),
    MetricSpec(
        name="masked-elements",
        summary="accuracy over masked categories, squared error and R² over masked numbers",
        config=EmptyConfig,
        targets=frozenset({TargetKind.INPUTS}),
        build=_masked_elements,
        lower_is_better=frozenset({"hidden_mean_squared_error"}),
    ),
    MetricSpec(
        name="multi-label",
        summary="precision, recall, F1 and areas under curves over known labels",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORIES}),
        build=_multi_label,
    ),
    MetricSpec(
        name="regression",
        summary="squared and absolute error, R², Pearson and Spearman correlation",
        config=EmptyConfig,
        targets=frozenset({TargetKind.NUMBERS}),
        build=_regression,
        lower_is_better=frozenset({"mean_squared_error", "mean_absolute_error"}),
    ),
)

BASELINES = (
    BaselineSpec(
        name="majority",
        summary="always the most frequent label of the training rows",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORY, TargetKind.CATEGORIES, TargetKind.ELEMENT_CATEGORIES}),
        state=MajorityState,
        fit=fit_majority,
        predict=predict_majority,
    ),
    BaselineSpec(
        name="mean",
        summary="always the mean of the training rows",
        config=EmptyConfig,
        targets=frozenset({TargetKind.NUMBERS}),
        state=MeanState,
        fit=fit_mean,
        predict=predict_mean,
    ),
)
