"""What taskgraft-vision provides. Start reading here; importing this module imports no model code."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from taskgraft.plugin import (
    BackboneDescription,
    BackboneSpec,
    Columns,
    EmptyConfig,
    HeadSpec,
    MetricFunction,
    MetricSpec,
    ReaderSpec,
    TargetKind,
    hookimpl,
)
from taskgraft_vision.errors import VisionError
from taskgraft_vision.image_folder import PATTERNS, read_image_columns, read_image_folder
from taskgraft_vision.settings import HfVisionConfig, SegmentationConfig, TimmConfig, describe_segmentation

if TYPE_CHECKING:
    from taskgraft.plugin import Predictions
    from taskgraft_vision.backbone import ImageBackbone
    from taskgraft_vision.segmentation_head import SegmentationHead

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the image backbones."""
    yield BackboneSpec(
        name="timm",
        summary="any image model of the timm library",
        config=TimmConfig,
        describe=_describe_timm,
        build=_build_timm,
        build_on_meta=_build_timm_on_meta,
    )
    yield BackboneSpec(
        name="hf-vision",
        summary="an image encoder of the transformers library (ViT, DINOv2, Swin, …)",
        config=HfVisionConfig,
        describe=_describe_hf,
        build=_build_hf,
        build_on_meta=_build_hf_on_meta,
    )


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the heads for images."""
    yield HeadSpec(
        name="segmentation",
        summary="a class per pixel of an image, trained on masks",
        config=SegmentationConfig,
        describe=describe_segmentation,
        build=_build_segmentation_head,
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of images."""
    yield ReaderSpec(
        name="image-folder",
        summary="a folder of images with one subfolder per label",
        config=EmptyConfig,
        read=read_image_folder,
        read_columns=read_image_columns,
        folder_patterns=PATTERNS,
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the metrics of images."""
    yield MetricSpec(
        name="segmentation",
        summary="mean intersection over union, and pixel accuracy",
        config=EmptyConfig,
        targets=frozenset({TargetKind.GRID_CATEGORIES}),
        build=_build_segmentation_metric,
    )


def _describe_timm(config: TimmConfig) -> BackboneDescription:
    from taskgraft_vision.timm_backbone import describe

    return describe(config)  # builds the model on the meta device; reads at most a configuration


def _describe_hf(config: HfVisionConfig) -> BackboneDescription:
    _check_transformers()
    from taskgraft_vision.hf_backbone import describe

    return describe(config)  # reads the checkpoint's configuration, never its weights


def _build_hf(config: HfVisionConfig) -> "ImageBackbone":
    _check_transformers()
    from taskgraft_vision.hf_backbone import build

    return build(config)


def _build_hf_on_meta(config: HfVisionConfig) -> "ImageBackbone":
    _check_transformers()
    from taskgraft_vision.hf_backbone import build_on_meta

    return build_on_meta(config)


def _check_transformers() -> None:
    if find_spec("taskgraft_transformers") is None:
        raise VisionError(
            "'hf-vision' needs taskgraft-transformers, which is not installed: pip install 'taskgraft-vision[transformers]'."
        )


def _build_timm(config: TimmConfig) -> "ImageBackbone":
    from taskgraft_vision.timm_backbone import build

    return build(config)


def _build_timm_on_meta(config: TimmConfig) -> "ImageBackbone":
    from taskgraft_vision.timm_backbone import build_on_meta

    return build_on_meta(config)


def _build_segmentation_head(config: SegmentationConfig) -> "SegmentationHead":
    from taskgraft_vision.segmentation_head import SegmentationHead

    return SegmentationHead(config)


def _build_segmentation_metric(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> MetricFunction:
    from taskgraft_vision.iou import segmentation_metric

    return segmentation_metric(predictions, truth, columns, settings)
