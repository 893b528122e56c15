"""Settings of image backbones and of heads for images, and what the latter are; known without torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from taskgraft.plugin import Config, HeadDescription, Layout, TargetKind
from taskgraft_vision.augmentation_settings import Policies

Share = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Colour = tuple[float, float, float]
Scalar = str | bool | int | float


class ImageConfig(Config):
    """What all image backbones have in common."""

    positional: ClassVar[str | None] = "model"

    model: str = Field(min_length=1, description="name on the hub, or folder")
    revision: str | None = Field(default=None, description="branch, tag or commit of the hub; the newest when left out")
    until: str | None = Field(default=None, description="last part to keep; all when left out")
    image_size: Side | tuple[Side, Side] | None = Field(
        default=None,
        description="pixels of a side, or height and width, as the model reads them; its own when left out",
    )
    crop: Share | None = Field(
        default=None, description="share of the shorter side that is read; as the checkpoint says when left out"
    )
    crop_mode: Literal["center", "squash", "border"] | None = Field(
        default=None,
        description="center crops what is longer, squash distorts, border adds edges; as the checkpoint says when left out",
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = Field(
        default=None, description="of the resizing; as the checkpoint says when left out"
    )
    mean: Colour | None = Field(default=None, description="of red, green and blue, from 0 to 1; the checkpoint's")
    std: tuple[Positive, Positive, Positive] | None = Field(
        default=None, description="standard deviation of red, green and blue; the checkpoint's"
    )
    augment: Policies = Field(
        default=(),
        description="how training images vary: light, rand-augment, mix-up, cut-mix; several in a list",
    )
    dtype: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="of the weights")


class TimmConfig(ImageConfig):
    """A model of the timm library."""

    model: str = Field(
        min_length=1, description="name with tag ('resnet18.a1_in1k'), 'hf-hub:OWNER/NAME', or a folder that timm saved"
    )
    weights: str = Field(
        default="pretrained", min_length=1, description="pretrained, random, or a file of weights (.safetensors, .pth)"
    )
    arguments: dict[str, Scalar | list[Scalar]] = Field(
        default={}, description="arguments of the model that a checkpoint needs: pad_type, bn_eps, img_size, …"
    )


class HfVisionConfig(ImageConfig):
    """An image encoder of the transformers library."""

    weights: Literal["pretrained", "random"] = Field(default="pretrained", description="read, or drawn at random")


class SegmentationConfig(Config):
    """A class per pixel of an image, learned from masks."""

    layout: Literal["pyramid", "grid"] | None = Field(
        default=None, description="features that are read; pyramid where the backbone has one, else grid, when left out"
    )
    ignore: int = Field(
        default=255, description="number of pixels that are neither learned from nor judged; -1 where all have a class"
    )
    channels: int = Field(default=64, ge=1, description="of the decoder")


def describe_segmentation(config: SegmentationConfig) -> HeadDescription:
    """Describe a segmentation head."""
    return HeadDescription(
        (Layout.PYRAMID, Layout.GRID) if config.layout is None else (Layout(config.layout),),
        TargetKind.GRID_CATEGORIES,
        metrics=("segmentation",),
        files=True,
    )
