"""Models of timm as backbones."""

from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from timm.models import save_for_hf
from torch import nn

from taskgraft.plugin import BackboneDescription, ExportNotSupported
from taskgraft_vision.augmentation_settings import PolicyList
from taskgraft_vision.backbone import DTYPES, ImageBackbone, describe_backbone
from taskgraft_vision.processor import Geometry, ImageProcessor
from taskgraft_vision.settings import TimmConfig
from taskgraft_vision.structure import truncate
from taskgraft_vision.timm_model import TimmModel
from taskgraft_vision.timm_weights import TimmWeights

_CACHE: dict[object, TimmModel] = {}
"""Models by their settings and the configuration in their folder, so that each is inspected once."""


def describe(config: TimmConfig) -> BackboneDescription:
    """Describe a timm model from its configuration."""
    timm_model = _cached_model(config)
    return describe_backbone(timm_model.structure, config, timm_model.licence)


def build(config: TimmConfig) -> ImageBackbone:
    """Build a timm model with its weights.

    Raises:
        TaskgraftError: as :meth:`TimmWeights.load` does.
    """
    timm_model = _cached_model(config)
    return _backbone(timm_model, *TimmWeights(timm_model).load())


def build_on_meta(config: TimmConfig) -> ImageBackbone:
    """Build a timm model on the meta device, without weights."""
    timm_model = _cached_model(config)
    model = timm_model.build("meta")
    truncate(model, timm_model.structure.removed, timm_model.structure.stop)
    return _backbone(timm_model, model, None)


def _backbone(timm_model: TimmModel, model: nn.Module, fingerprint: str | None) -> ImageBackbone:
    config = timm_model.config
    return ImageBackbone(
        model.to(DTYPES[config.dtype]).eval(),
        timm_model.structure,
        describe_backbone(timm_model.structure, config, timm_model.licence),
        ImageProcessor(_geometry(timm_model), PolicyList(config.augment)),
        (config.mean or timm_model.data["mean"], config.std or timm_model.data["std"]),
        timm_model.size,
        fingerprint,
        partial(_export, timm_model),
    )


def _export(timm_model: TimmModel, model: nn.Module, folder: Path) -> None:
    """Write a checkpoint for ``timm.create_model("local-dir:<folder>", pretrained=True)``, without a classifier.

    Raises:
        ExportNotSupported: for a truncated model.
    """
    if timm_model.config.until is not None:
        problem = f"it ends at {timm_model.config.until} (until), but timm would run all blocks"
        raise ExportNotSupported(timm_model.config.model, problem)
    copied = deepcopy(model).cpu().to(memory_format=torch.contiguous_format)
    geometry, data = _geometry(timm_model), timm_model.data
    preprocessing = {
        "input_size": timm_model.size,
        "mean": tuple(timm_model.config.mean or data["mean"]),
        "std": tuple(timm_model.config.std or data["std"]),
        "interpolation": geometry.interpolation,
        "crop_pct": geometry.crop,
        "crop_mode": geometry.mode,
    }
    arguments = {**timm_model.arguments, "num_classes": 0}
    save_for_hf(
        copied,
        str(folder),
        model_config={"pretrained_cfg": preprocessing},
        model_args=arguments,
        safe_serialization=True,
    )


def _cached_model(config: TimmConfig) -> TimmModel:
    timm_model = TimmModel(config)
    key = config.model_dump_json(), timm_model.folder_config
    return _CACHE.setdefault(key, timm_model)


def _geometry(timm_model: TimmModel) -> Geometry:
    config, data = timm_model.config, timm_model.data
    red, green, blue = (round(255 * value) for value in config.mean or data["mean"])
    return Geometry(
        height=timm_model.size[1],
        width=timm_model.size[2],
        crop=config.crop or float(data["crop_pct"]),
        mode=config.crop_mode or data["crop_mode"],
        interpolation=config.interpolation or data["interpolation"],
        fill=(red, green, blue),
    )
