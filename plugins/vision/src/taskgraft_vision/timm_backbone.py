"""A model of timm as a backbone."""

from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from timm.models import save_for_hf
from torch import nn

from taskgraft.plugin import BackboneDescription, ExportNotSupported
from taskgraft_vision.anatomy import shorten
from taskgraft_vision.augmentation_settings import PolicyList
from taskgraft_vision.backbone import DTYPES, ImageBackbone, described
from taskgraft_vision.processor import Geometry, ImageProcessor
from taskgraft_vision.settings import TimmConfig
from taskgraft_vision.timm_model import TimmModel
from taskgraft_vision.timm_weights import TimmWeights

_FOUND: dict[object, TimmModel] = {}
"""Models by their settings, and by what their folder says: what is known of one is found out once."""


def describe(config: TimmConfig) -> BackboneDescription:
    """Describe a timm model from its configuration."""
    found = _known(config)
    return described(found.anatomy, config, found.licence)


def build(config: TimmConfig) -> ImageBackbone:
    """Build a timm model with its weights.

    Raises:
        TaskgraftError: as :meth:`TimmWeights.load` does.
    """
    found = _known(config)
    return _backbone(found, *TimmWeights(found).load())


def sketch(config: TimmConfig) -> ImageBackbone:
    """Build a timm model without weights."""
    found = _known(config)
    model = found.build("meta")
    shorten(model, found.anatomy.removed, found.anatomy.stop)
    return _backbone(found, model, None)


def _backbone(found: TimmModel, model: nn.Module, fingerprint: str | None) -> ImageBackbone:
    config = found.config
    return ImageBackbone(
        model.to(DTYPES[config.dtype]).eval(),
        found.anatomy,
        described(found.anatomy, config, found.licence),
        ImageProcessor(_geometry(found), PolicyList(config.augment)),
        (config.mean or found.data["mean"], config.std or found.data["std"]),
        found.size,
        fingerprint,
        partial(_export, found),
    )


def _export(found: TimmModel, model: nn.Module, folder: Path) -> None:
    """Write what ``timm.create_model("local-dir:<folder>", pretrained=True)`` reads: without a classifier.

    Raises:
        ExportNotSupported: for a model that is cut off.
    """
    if found.config.until is not None:
        problem = f"it ends at {found.config.until} (until), and timm would run all blocks"
        raise ExportNotSupported(found.config.model, problem)
    plain = deepcopy(model).cpu().to(memory_format=torch.contiguous_format)
    geometry, data = _geometry(found), found.data
    read = {
        "input_size": found.size,
        "mean": tuple(found.config.mean or data["mean"]),
        "std": tuple(found.config.std or data["std"]),
        "interpolation": geometry.interpolation,
        "crop_pct": geometry.crop,
        "crop_mode": geometry.mode,
    }
    arguments = {**found.arguments, "num_classes": 0}
    save_for_hf(
        plain, str(folder), model_config={"pretrained_cfg": read}, model_args=arguments, safe_serialization=True
    )


def _known(config: TimmConfig) -> TimmModel:
    found = TimmModel(config)
    key = config.model_dump_json(), found.stated
    return _FOUND.setdefault(key, found)


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
