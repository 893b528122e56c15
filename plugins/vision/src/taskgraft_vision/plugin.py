"""What taskgraft-vision provides. Start reading here; no model code is imported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    TaskgraftError,
    hookimpl,
)
from taskgraft_vision.folder import PATTERNS, read_image_folder
from taskgraft_vision.settings import HfVisionConfig, SegmentationConfig, TimmConfig, describe_segmentation

if TYPE_CHECKING:
    from taskgraft.plugin import Predictions
    from taskgraft_vision.backbone import ImageBackbone
    from taskgraft_vision.segmentation import Segmentation

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the image backbones."""
    yield BackboneSpec(
        name="timm",
        summary="any image model of the timm library",
        config=TimmConfig,
        describe=_describe_timm,
        build=_timm,
        build_on_meta=_sketch_timm,
    )
    yield BackboneSpec(
        name="hf-vision",
        summary="an image encoder of the transformers library (ViT, DINOv2, Swin, …)",
        config=HfVisionConfig,
        describe=_describe_hf,
        build=_hf,
        build_on_meta=_sketch_hf,
    )


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the heads for images."""
    yield HeadSpec(
        name="segmentation",
        summary="a class per pixel of an image, learned from masks",
        config=SegmentationConfig,
        describe=describe_segmentation,
        build=_segmentation,
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of images."""
    yield ReaderSpec(
        name="image-folder",
        summary="a folder of images, one folder inside it per label",
        config=EmptyConfig,
        read=read_image_folder,
        folder_patterns=PATTERNS,
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the metrics of images."""
    yield MetricSpec(
        name="segmentation",
        summary="mean intersection over union, and share of pixels whose class is right",
        config=EmptyConfig,
        targets=frozenset({TargetKind.GRID_CATEGORIES}),
        build=_judge_segmentation,
    )


def _describe_timm(config: TimmConfig) -> BackboneDescription:
    from taskgraft_vision.timm_backbone import describe

    return describe(config)  # builds the model without memory; reads a configuration at most


def _describe_hf(config: HfVisionConfig) -> BackboneDescription:
    _check_transformers()
    from taskgraft_vision.hf_backbone import describe

    return describe(config)  # reads the checkpoint's configuration, never its weights


def _hf(config: HfVisionConfig) -> "ImageBackbone":
    _check_transformers()
    from taskgraft_vision.hf_backbone import build

    return build(config)


def _sketch_hf(config: HfVisionConfig) -> "ImageBackbone":
    _check_transformers()
    from taskgraft_vision.hf_backbone import sketch

    return sketch(config)


def _check_transformers() -> None:
    if find_spec("taskgraft_transformers") is None:
        raise ExtraMissing("hf-vision", "taskgraft-transformers", "taskgraft-vision[transformers]")


@dataclass(eq=False)
class ExtraMissing(TaskgraftError):
    """Something that needs a distribution which is not installed with the plugin."""

    name: str
    distribution: str
    requirement: str

    def __str__(self) -> str:
        return f"'{self.name}' needs {self.distribution}, which is not installed: pip install '{self.requirement}'."


def _timm(config: TimmConfig) -> "ImageBackbone":
    from taskgraft_vision.timm_backbone import build

    return build(config)


def _sketch_timm(config: TimmConfig) -> "ImageBackbone":
    from taskgraft_vision.timm_backbone import sketch

    return sketch(config)


def _segmentation(config: SegmentationConfig) -> "Segmentation":
    from taskgraft_vision.segmentation import Segmentation

    return Segmentation(config)


def _judge_segmentation(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> MetricFunction:
    from taskgraft_vision.iou import segmentation

    return segmentation(predictions, truth, columns, settings)
