"""What taskgraft-text provides. Start reading here; no model code is imported."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from taskgraft.plugin import (
    BackboneDescription,
    BackboneSpec,
    Columns,
    EmptyConfig,
    Example,
    MetricFunction,
    MetricSpec,
    TargetKind,
    hookimpl,
)
from taskgraft_text.settings import TextConfig

if TYPE_CHECKING:
    from taskgraft.plugin import Predictions
    from taskgraft_text.backbone import TextBackbone

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the text backbones."""
    yield BackboneSpec(
        name="hf-text",
        summary="any text encoder or decoder of the transformers library",
        config=TextConfig,
        describe=_describe,
        build=_build,
        fit_config=_fit_config,
        build_on_meta=_build_on_meta,
        example=Example(rows={"text": ["a card", "a lost card", "a card lost", "where is it, it is lost"]}),
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the text metrics."""
    yield MetricSpec(
        name="entities",
        summary="precision, recall and F1 over whole entities, from labels like B-person, I-person, O",
        config=EmptyConfig,
        targets=frozenset({TargetKind.ELEMENT_CATEGORIES}),
        build=_entity_scores,
    )


def _describe(config: TextConfig) -> BackboneDescription:
    from taskgraft_text.checkpoint import describe

    return describe(config)  # reads the checkpoint's configuration, never its weights


def _fit_config(config: TextConfig, inputs: Columns) -> TextConfig:
    from taskgraft_text.checkpoint import fit_config

    return fit_config(config, inputs)


def _build(config: TextConfig) -> "TextBackbone":
    from taskgraft_text.backbone import TextBackbone

    return TextBackbone(config)


def _build_on_meta(config: TextConfig) -> "TextBackbone":
    from taskgraft_text.backbone import build_on_meta

    return build_on_meta(config)


def _entity_scores(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft_text.entities import entity_scores

    return entity_scores(predictions.values, truth)
