"""What taskgraft-vision provides. Start reading here; no model code is imported."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskgraft.config import NoSettings
from taskgraft.description import BackboneDescription
from taskgraft.hook import hookimpl
from taskgraft.spec import BackboneSpec, ReaderSpec
from taskgraft_vision.folder import PATTERNS, read_image_folder
from taskgraft_vision.settings import TimmConfig

if TYPE_CHECKING:
    from taskgraft_vision.backbone import ImageBackbone

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
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of images."""
    yield ReaderSpec(
        name="image-folder",
        summary="a folder of images, one folder inside it per label",
        config=NoSettings,
        read=read_image_folder,
        folders=PATTERNS,
    )


def _describe_timm(config: TimmConfig) -> BackboneDescription:
    from taskgraft_vision.timm_backbone import describe

    return describe(config)  # builds the model without memory; reads a configuration at most


def _timm(config: TimmConfig) -> "ImageBackbone":
    from taskgraft_vision.timm_backbone import build

    return build(config)
