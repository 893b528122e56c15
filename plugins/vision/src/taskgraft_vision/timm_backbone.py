"""A model of timm as a backbone."""

import torch

from taskgraft.description import BackboneDescription
from taskgraft_vision.backbone import ImageBackbone, described
from taskgraft_vision.processor import Geometry, ImageProcessor
from taskgraft_vision.settings import TimmConfig
from taskgraft_vision.timm_model import TimmModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_FOUND: dict[str, TimmModel] = {}
"""Models by their settings: what is known of one is found out once."""


def describe(config: TimmConfig) -> BackboneDescription:
    """Describe a timm model from its configuration."""
    found = _known(config)
    return described(found.anatomy, config, found.licence)


def build(config: TimmConfig) -> ImageBackbone:
    """Build a timm model with its weights.

    Raises:
        TaskgraftError: as :meth:`TimmModel.load` does.
    """
    found = _known(config)
    model, fingerprint = found.load()
    return ImageBackbone(
        model.to(DTYPES[config.dtype]).eval(),
        found.anatomy,
        described(found.anatomy, config, found.licence),
        ImageProcessor(_geometry(found), config.augment),
        (config.mean or found.data["mean"], config.std or found.data["std"]),
        found.size,
        fingerprint,
    )


def _known(config: TimmConfig) -> TimmModel:
    key = config.model_dump_json()
    if key not in _FOUND:
        _FOUND[key] = TimmModel(config)
    return _FOUND[key]


def _geometry(found: TimmModel) -> Geometry:
    config, data = found.config, found.data
    red, green, blue = (round(255 * one) for one in config.mean or data["mean"])
    return Geometry(
        height=found.size[1],
        width=found.size[2],
        crop=config.crop or float(data["crop_pct"]),
        mode=config.crop_mode or data["crop_mode"],
        interpolation=config.interpolation or data["interpolation"],
        fill=(red, green, blue),
    )
