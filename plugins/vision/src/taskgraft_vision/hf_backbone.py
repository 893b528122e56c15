"""An image encoder of transformers as a backbone. Needs the distribution taskgraft-transformers."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoImageProcessor, PretrainedConfig

from taskgraft.plugin import (
    BackboneDescription,
    Checkpoint,
    FeatureDescription,
    InvalidCheckpoint,
    LayerRole,
    Layout,
    UnknownPart,
    base_fingerprint,
    translate_errors,
)
from taskgraft_transformers.export import export_checkpoint
from taskgraft_transformers.structure import Structure, find_structure, read_config
from taskgraft_transformers.weights import load_model, quiet, random_model, remove_unused
from taskgraft_vision.anatomy import Anatomy, Manner, Size, anatomy, grid_of, prefix_of
from taskgraft_vision.augmentation_settings import PolicyList
from taskgraft_vision.backbone import DTYPES, ImageBackbone, described
from taskgraft_vision.parts import Piece
from taskgraft_vision.processor import Geometry, ImageProcessor
from taskgraft_vision.settings import HfVisionConfig
from taskgraft_vision.trace import Trace

PROCESSOR = "preprocessor_config.json"
"""The file that says how images are made into pixels."""

WHOLE = 384
"""Pixels from which on a processor that states ``crop_pct`` (ConvNeXt's) distorts whole images instead of cropping."""

INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""By the numbers that Pillow gives them, which checkpoints hold."""


@dataclass(frozen=True)
class Known:
    """Everything about an image encoder that is known without weights.

    Attributes:
        normalization: mean and standard deviation of red, green and blue, from 0 to 1.
    """

    checkpoint: Checkpoint
    model_config: PretrainedConfig
    structure: Structure
    anatomy: Anatomy
    description: BackboneDescription
    geometry: Geometry
    normalization: tuple[tuple[float, ...], tuple[float, ...]]


def describe(config: HfVisionConfig) -> BackboneDescription:
    """Describe an image encoder from its checkpoint's configuration."""
    return known(config).description


def build(config: HfVisionConfig) -> ImageBackbone:
    """Build an image encoder with its weights.

    Raises:
        CheckpointNotFound, InvalidCheckpoint, MissingTensors, UnknownPart: when it cannot be.
    """
    found = known(config)
    fingerprint = None
    if config.weights == "random":
        model = random_model(found.model_config, found.structure, DTYPES[config.dtype])
    else:
        loaded = load_model(found.checkpoint, found.model_config, found.structure, DTYPES[config.dtype])
        model = loaded.model
        fingerprint = base_fingerprint(found.checkpoint.folder(weights=True), loaded.used, (PROCESSOR,))
    size = (3, found.geometry.height, found.geometry.width)
    processor = ImageProcessor(found.geometry, PolicyList(config.augment))
    pretrained = fingerprint is not None

    def write(trained: nn.Module, folder: Path) -> None:
        export_checkpoint(trained, found.structure, found.checkpoint, pretrained, folder, (PROCESSOR,))

    normalization, description = found.normalization, found.description
    return ImageBackbone(model, found.anatomy, description, processor, normalization, size, fingerprint, write)


def sketch(config: HfVisionConfig) -> ImageBackbone:
    """Build an image encoder without weights."""
    with torch.device("meta"):
        return build(config.model_copy(update={"weights": "random"}))


def known(config: HfVisionConfig) -> Known:
    """Find out what an image encoder is. What was found is remembered for equal settings of equal checkpoints.

    Raises:
        CheckpointNotFound, InvalidCheckpoint, UnknownPart: when it cannot be.
    """
    checkpoint = Checkpoint(config.model, config.revision)
    model_config = read_config(checkpoint)
    geometry, normalization = _processor(checkpoint, config)
    key = (config.model_dump_json(), model_config.to_json_string(use_diff=False), geometry, normalization)
    if key not in _FOUND:
        built, skeleton = _skeleton(model_config, config, (3, geometry.height, geometry.width))
        found = anatomy(
            skeleton, _manner(skeleton, built, geometry), (3, geometry.height, geometry.width), None, config.model
        )
        _FOUND[key] = Known(
            checkpoint, model_config, built, found, described(found, config, None), geometry, normalization
        )
    return _FOUND[key]


_FOUND: dict[tuple[Any, ...], Known] = {}


def _skeleton(model_config: PretrainedConfig, config: HfVisionConfig, size: Size) -> tuple[Structure, nn.Module]:
    """Build the model without memory, blocks past the kept ones left out."""
    output = FeatureDescription(Layout.GRID, (1,), strides=(1,))  # of the parts, which the anatomy describes
    built = find_structure(model_config, output, config.model, inputs=(("pixel_values", (1, *size)),))
    if "pixel_values" not in inspect.signature(built.model_class.forward).parameters:
        raise InvalidCheckpoint(config.model, f"its model, {built.model_class.__name__}, does not read images")
    if config.until is not None:
        names = tuple(part.name for part in built.parts)
        if config.until not in names:
            raise UnknownPart(config.until, names)
        built = replace(built, kept=names.index(config.until) + 1)
    make: Any = built.model_class
    with translate_errors(config.model, "its configuration"), torch.device("meta"):
        skeleton: nn.Module = make(model_config, **built.init_kwargs)
    remove_unused(skeleton, built)
    return built, skeleton.eval()


def _manner(skeleton: nn.Module, built: Structure, geometry: Geometry) -> Manner:
    size = (3, geometry.height, geometry.width)
    with torch.no_grad():
        hidden = _hidden(skeleton, torch.empty(1, *size, device="meta"))
    tokens = hidden.dim() == 3
    prefix = prefix_of(hidden.shape[1], size) if tokens else 0
    grid = None if prefix is None else partial(_grid, size=size, prefix=prefix)
    pooled = partial(_vector, first=tokens and prefix != 0)
    return Manner(
        pooled, grid, tokens, None, prefix or 0, bool(prefix), partial(_pieces, built), partial(_roles, built)
    )


def _pieces(built: Structure, model: nn.Module, traced: Trace) -> tuple[Piece, ...]:
    """Give the blocks that transformers knows; each but the first is read by its own module."""
    parts = built.parts[: built.kept]
    entries = [None, *(f"{built.blocks}.{number}" for number in range(1, len(parts)))]
    kept = {path for path, _ in [*model.named_modules(), *model.named_parameters(), *model.named_buffers()]}
    owned = [tuple(path for path in part.owns if path in kept) for part in parts]
    return tuple(Piece(part.name, owns, entry) for part, owns, entry in zip(parts, owned, entries, strict=True))


def _roles(built: Structure, model: nn.Module, paths: Iterable[str]) -> Mapping[str, LayerRole]:
    wanted = tuple(paths)
    every = {path: role for part in built.parts for path, role in part.roles.items()}
    return {path: role for path, role in every.items() if any(path.startswith(f"{one}.") for one in wanted)}


def _hidden(model: Any, pixels: Tensor) -> Tensor:
    """Give what the model says last, ``(batch, token, feature)`` or ``(batch, feature, height, width)``."""
    return model(pixel_values=pixels).last_hidden_state  # type: ignore[no-any-return]


def _vector(model: nn.Module, pixels: Tensor, *, first: bool) -> Sequence[Tensor]:
    """Give the first token where there is one that is no patch, else the mean over positions."""
    hidden = _hidden(model, pixels)
    if first:
        return [hidden[:, 0]]
    return [hidden.mean((2, 3)) if hidden.dim() == 4 else hidden.mean(1)]


def _grid(model: nn.Module, pixels: Tensor, *, size: Size, prefix: int) -> Sequence[Tensor]:
    found = grid_of(_hidden(model, pixels), size, prefix)
    assert found is not None
    return [found]


def _processor(
    checkpoint: Checkpoint, config: HfVisionConfig
) -> tuple[Geometry, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Read how the checkpoint wants its images.

    Raises:
        InvalidCheckpoint: when it does not say, or wants what cannot be done.
    """
    if not (checkpoint.folder() / PROCESSOR).is_file():
        raise InvalidCheckpoint(checkpoint.name, f"it has no {PROCESSOR}, so nothing says how it wants its images")
    with translate_errors(checkpoint.name, PROCESSOR), quiet():
        stated = AutoImageProcessor.from_pretrained(checkpoint.folder()).to_dict()
    if not stated.get("do_rescale", True) or abs(float(stated.get("rescale_factor") or 1 / 255) * 255 - 1) > 1e-6:
        raise InvalidCheckpoint(checkpoint.name, "it wants pixels on another scale than from 0 to 1")
    normal = stated.get("do_normalize", True)
    mean = tuple(config.mean or (stated.get("image_mean") if normal else None) or (0.0, 0.0, 0.0))
    std = tuple(config.std or (stated.get("image_std") if normal else None) or (1.0, 1.0, 1.0))
    red, green, blue = (round(255 * one) for one in mean)
    geometry = replace(_geometry(checkpoint.name, stated), fill=(red, green, blue), halves="floor")
    if config.image_size is not None:
        height, width = (config.image_size,) * 2 if isinstance(config.image_size, int) else config.image_size
        geometry = replace(geometry, height=height, width=width, shortest=None)
    geometry = replace(
        geometry,
        crop=config.crop or geometry.crop,
        mode=config.crop_mode or geometry.mode,
        interpolation=config.interpolation or geometry.interpolation,
    )
    return geometry, (mean, std)


def _geometry(name: str, stated: Mapping[str, Any]) -> Geometry:
    size, cut = dict(stated.get("size") or {}), dict(stated.get("crop_size") or {})
    interpolation = INTERPOLATIONS[int(stated.get("resample", 2))]
    crops = bool(stated.get("do_center_crop")) and {"height", "width"} <= cut.keys()
    if not stated.get("do_resize", True):
        raise InvalidCheckpoint(name, "it wants images of any size, so no size is known; choose one that resizes them")
    shortest, share = size.get("shortest_edge"), stated.get("crop_pct")
    if {"height", "width"} <= size.keys():
        tall, wide = (int((cut if crops else size)[side]) for side in ("height", "width"))
        return Geometry(tall, wide, tall / int(size["height"]), "squash", interpolation)
    if shortest and crops:
        return Geometry(int(cut["height"]), int(cut["width"]), 1.0, "center", interpolation, int(shortest))
    if shortest and share and int(shortest) < WHOLE:
        return Geometry(int(shortest), int(shortest), float(share), "center", interpolation)
    if shortest and share:
        return Geometry(int(shortest), int(shortest), 1.0, "squash", interpolation)
    raise InvalidCheckpoint(name, f"its size of images, {size}, leaves a side open; give image_size and crop_mode")
