"""Settings of image backbones and heads, and descriptions of the heads; importing them does not import torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from taskgraft.plugin import Config, HeadDescription, Layout, TargetKind
from taskgraft_vision.augmentation_settings import Policies

Share = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=1, le=16_384)]
Positive = Annotated[float, Field(gt=0)]
Colour = tuple[float, float, float]
Scalar = str | bool | int | float


class ImageConfig(Config):
    """Settings that all image backbones share."""

    positional: ClassVar[str | None] = "model"

    model: str = Field(min_length=1, description="name on the hub, or a folder")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub; by default the newest")
    until: str | None = Field(default=None, description="truncate the model after this part")
    image_size: Side | tuple[Side, Side] | None = Field(
        default=None,
        description="input size in pixels: one side, or height and width; by default the checkpoint's",
    )
    crop: Share | None = Field(
        default=None, description="share of the shorter side that is read; by default the checkpoint's"
    )
    crop_mode: Literal["center", "squash", "border"] | None = Field(
        default=None,
        description="center crops the longer side, squash distorts, border pads; by default the checkpoint's",
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = Field(
        default=None, description="interpolation when resizing; by default the checkpoint's"
    )
    mean: Colour | None = Field(
        default=None, description="mean of red, green and blue (0 to 1); by default the checkpoint's"
    )
    std: tuple[Positive, Positive, Positive] | None = Field(
        default=None, description="standard deviation of red, green and blue; by default the checkpoint's"
    )
    augment: Policies = Field(
        default=(),
        description="augmentation of training images: light, rand-augment, mix-up, cut-mix; several in a list",
    )
    dtype: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="dtype of the weights")


class TimmConfig(ImageConfig):
    """A model of the timm library."""

    model: str = Field(
        min_length=1, description="name with tag ('resnet18.a1_in1k'), 'hf-hub:OWNER/NAME', or a folder saved by timm"
    )
    weights: str = Field(
        default="pretrained", min_length=1, description="pretrained, random, or a weight file (.safetensors, .pth)"
    )
    arguments: dict[str, Scalar | list[Scalar]] = Field(
        default={}, description="model arguments that a checkpoint needs: pad_type, bn_eps, img_size, …"
    )


class HfVisionConfig(ImageConfig):
    """An image encoder of the transformers library."""

    weights: Literal["pretrained", "random"] = Field(default="pretrained", description="of the checkpoint, or random")


class SegmentationConfig(Config):
    """A class per pixel of an image, trained on masks."""

    layout: Literal["pyramid", "grid"] | None = Field(
        default=None, description="features to read; by default pyramid if the backbone emits one, else grid"
    )
    ignore: int = Field(
        default=255,
        description="mask value of pixels ignored in training and evaluation; -1 if every pixel has a class",
    )
    channels: int = Field(default=64, ge=1, description="channels of the decoder")


def describe_segmentation(config: SegmentationConfig) -> HeadDescription:
    """Describe a segmentation head."""
    return HeadDescription(
        (Layout.PYRAMID, Layout.GRID) if config.layout is None else (Layout(config.layout),),
        TargetKind.GRID_CATEGORIES,
        metrics=("segmentation",),
        files=True,
    )
