"""Image encoders of transformers as backbones. Needs the distribution taskgraft-transformers."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from taskgraft_vision.augmentation_settings import PolicyList
from taskgraft_vision.backbone import DTYPES, ImageBackbone, describe_backbone
from taskgraft_vision.blocks import Block
from taskgraft_vision.errors import not_colour, reason, unreadable_size
from taskgraft_vision.grids import Size, prefix_length, to_grid
from taskgraft_vision.processor import Geometry, ImageProcessor
from taskgraft_vision.settings import HfVisionConfig
from taskgraft_vision.structure import LibraryInterface, ModelStructure, analyze_model
from taskgraft_vision.trace import Trace

PROCESSOR = "preprocessor_config.json"
"""The file with the checkpoint's preprocessing settings."""

CROP_BELOW = 384
"""Below this size in pixels a processor with ``crop_pct`` (ConvNeXt's) crops; from it on, it squashes whole images."""

INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""By Pillow's numbers for them, which checkpoints contain."""


@dataclass(frozen=True)
class EncoderInfo:
    """What is known about an image encoder without its weights.

    Attributes:
        normalization: mean and standard deviation of red, green and blue, from 0 to 1.
    """

    checkpoint: Checkpoint
    model_config: PretrainedConfig
    encoder: Structure
    structure: ModelStructure
    description: BackboneDescription
    geometry: Geometry
    normalization: tuple[tuple[float, ...], tuple[float, ...]]


def describe(config: HfVisionConfig) -> BackboneDescription:
    """Describe an image encoder from its checkpoint's configuration."""
    return encoder_info(config).description


def build(config: HfVisionConfig) -> ImageBackbone:
    """Build an image encoder with its weights.

    Raises:
        CheckpointNotFound, InvalidCheckpoint, MissingTensors, UnknownPart: if it cannot be built.
    """
    info = encoder_info(config)
    fingerprint = None
    if config.weights == "random":
        model = random_model(info.model_config, info.encoder, DTYPES[config.dtype])
    else:
        loaded = load_model(info.checkpoint, info.model_config, info.encoder, DTYPES[config.dtype])
        model = loaded.model
        fingerprint = base_fingerprint(info.checkpoint.folder(weights=True), loaded.used, (PROCESSOR,))
    size = (3, info.geometry.height, info.geometry.width)
    processor = ImageProcessor(info.geometry, PolicyList(config.augment))
    pretrained = fingerprint is not None

    def export(trained: nn.Module, folder: Path) -> None:
        export_checkpoint(trained, info.encoder, info.checkpoint, pretrained, folder, (PROCESSOR,))

    return ImageBackbone(
        model, info.structure, info.description, processor, info.normalization, size, fingerprint, export
    )


def build_on_meta(config: HfVisionConfig) -> ImageBackbone:
    """Build an image encoder on the meta device, without weights."""
    with torch.device("meta"):
        return build(config.model_copy(update={"weights": "random"}))


def encoder_info(config: HfVisionConfig) -> EncoderInfo:
    """Inspect an image encoder. Cached for equal settings of equal checkpoints.

    Raises:
        CheckpointNotFound, InvalidCheckpoint, UnknownPart: if its configuration cannot be used.
    """
    checkpoint = Checkpoint(config.model, config.revision)
    model_config = read_config(checkpoint)
    geometry, normalization = _processor(checkpoint, config)
    key = (config.model_dump_json(), model_config.to_json_string(use_diff=False), geometry, normalization)
    if key not in _CACHE:
        size = (3, geometry.height, geometry.width)
        encoder, skeleton = _skeleton(model_config, config, size)
        structure = analyze_model(skeleton, _interface(skeleton, encoder, size), size, None, config.model)
        description = describe_backbone(structure, config, None)
        _CACHE[key] = EncoderInfo(checkpoint, model_config, encoder, structure, description, geometry, normalization)
    return _CACHE[key]


_CACHE: dict[tuple[Any, ...], EncoderInfo] = {}


def _skeleton(model_config: PretrainedConfig, config: HfVisionConfig, size: Size) -> tuple[Structure, nn.Module]:
    """Build the model on the meta device, without the blocks after ``until``.

    Raises:
        InvalidCheckpoint, UnknownPart, VisionError: if it does not read colour images of that size, or has no such part.
    """
    channels = getattr(model_config, "num_channels", None)
    if channels not in (3, None):
        raise InvalidCheckpoint(config.model, not_colour(channels))
    output = FeatureDescription(Layout.GRID, (1,), strides=(1,))  # a placeholder; the parts are described later
    with _unreadable_sizes(model_config, config, size):
        encoder = find_structure(model_config, output, config.model, inputs=(("pixel_values", (1, *size)),))
    if "pixel_values" not in inspect.signature(encoder.model_class.forward).parameters:
        raise InvalidCheckpoint(config.model, f"its model, {encoder.model_class.__name__}, does not read images")
    if config.until is not None:
        names = tuple(part.name for part in encoder.parts)
        if config.until not in names:
            raise UnknownPart(config.until, names)
        encoder = replace(encoder, kept=names.index(config.until) + 1)
    model_class: Any = encoder.model_class
    with translate_errors(config.model, "its configuration"), torch.device("meta"):
        skeleton: nn.Module = model_class(model_config, **encoder.init_kwargs)
    remove_unused(skeleton.eval(), encoder)
    with _unreadable_sizes(model_config, config, size), torch.no_grad():
        _hidden(skeleton, torch.empty(1, *size, device="meta"))
    return encoder, skeleton


@contextmanager
def _unreadable_sizes(model_config: PretrainedConfig, config: HfVisionConfig, size: Size) -> Iterator[None]:
    """Turn the errors of a first pass on the meta device into a sentence on the image size."""
    try:
        yield
    except (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError) as error:
        own = getattr(model_config, "image_size", None)
        if config.image_size is None or own is None:
            raise InvalidCheckpoint(config.model, f"its model does not run: {reason(error)}") from None
        own_sides = tuple(own) if isinstance(own, list | tuple) else (own, own)
        raise unreadable_size(config.model, size[1:], own_sides, error) from None


def _interface(skeleton: nn.Module, encoder: Structure, size: Size) -> LibraryInterface:
    with torch.no_grad():
        hidden = _hidden(skeleton, torch.empty(1, *size, device="meta"))
    tokens = hidden.dim() == 3
    prefix = prefix_length(hidden.shape[1], size) if tokens else 0
    grid = None if prefix is None else partial(_grid, size=size, prefix=prefix)
    pooled = partial(_pool, first=tokens and prefix != 0)
    return LibraryInterface(
        vector=pooled,
        grid=grid,
        tokens=tokens,
        levels=None,
        prefix=prefix or 0,
        first=bool(prefix),
        split=partial(_blocks, encoder),
        roles=partial(_roles, encoder),
    )


def _blocks(encoder: Structure, model: nn.Module, traced: Trace) -> tuple[Block, ...]:
    """Return the blocks that transformers defines; each but the first is entered by its own module."""
    parts = encoder.parts[: encoder.kept]
    entries = [None, *(f"{encoder.blocks}.{number}" for number in range(1, len(parts)))]
    present = {path for path, _ in [*model.named_modules(), *model.named_parameters(), *model.named_buffers()]}
    owned = [tuple(path for path in part.owns if path in present) for part in parts]
    return tuple(Block(part.name, owns, entry) for part, owns, entry in zip(parts, owned, entries, strict=True))


def _roles(encoder: Structure, model: nn.Module, paths: Iterable[str]) -> Mapping[str, LayerRole]:
    roots = tuple(paths)
    roles = {path: role for part in encoder.parts for path, role in part.roles.items()}
    return {path: role for path, role in roles.items() if any(path.startswith(f"{root}.") for root in roots)}


def _hidden(model: Any, pixels: Tensor) -> Tensor:
    """Compute the last hidden state, ``(batch, token, feature)`` or ``(batch, feature, height, width)``."""
    return model(pixel_values=pixels).last_hidden_state  # type: ignore[no-any-return]


def _pool(model: nn.Module, pixels: Tensor, *, first: bool) -> Sequence[Tensor]:
    """Take the first token if it is not a patch, else the mean over positions."""
    hidden = _hidden(model, pixels)
    if first:
        return [hidden[:, 0]]
    return [hidden.mean((2, 3)) if hidden.dim() == 4 else hidden.mean(1)]


def _grid(model: nn.Module, pixels: Tensor, *, size: Size, prefix: int) -> Sequence[Tensor]:
    cells = to_grid(_hidden(model, pixels), size, prefix)
    assert cells is not None
    return [cells]


def _processor(
    checkpoint: Checkpoint, config: HfVisionConfig
) -> tuple[Geometry, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Read the checkpoint's preprocessing settings; also return mean and standard deviation.

    Raises:
        InvalidCheckpoint: if they are missing or not supported.
    """
    if not (checkpoint.folder() / PROCESSOR).is_file():
        raise InvalidCheckpoint(checkpoint.name, f"it has no {PROCESSOR}, so its preprocessing is unknown")
    with translate_errors(checkpoint.name, PROCESSOR), quiet():
        # without False, it asks at the terminal whether to run code
        settings = AutoImageProcessor.from_pretrained(checkpoint.folder(), trust_remote_code=False).to_dict()
    if not settings.get("do_rescale", True) or abs(float(settings.get("rescale_factor") or 1 / 255) * 255 - 1) > 1e-6:
        raise InvalidCheckpoint(
            checkpoint.name, "it rescales pixels to another range than 0 to 1, which is not supported"
        )
    normal = settings.get("do_normalize", True)
    mean = tuple(config.mean or (settings.get("image_mean") if normal else None) or (0.0, 0.0, 0.0))
    std = tuple(config.std or (settings.get("image_std") if normal else None) or (1.0, 1.0, 1.0))
    red, green, blue = (round(255 * value) for value in mean)
    geometry = replace(_geometry(checkpoint.name, settings), fill=(red, green, blue), halves="floor")
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


def _geometry(name: str, settings: Mapping[str, Any]) -> Geometry:
    size, crop_size = dict(settings.get("size") or {}), dict(settings.get("crop_size") or {})
    interpolation = INTERPOLATIONS[int(settings.get("resample", 2))]
    crops = bool(settings.get("do_center_crop")) and {"height", "width"} <= crop_size.keys()
    if not settings.get("do_resize", True):
        raise InvalidCheckpoint(
            name, "it does not resize images, so its input size is unknown; choose another checkpoint"
        )
    shortest, share = size.get("shortest_edge"), settings.get("crop_pct")
    if {"height", "width"} <= size.keys():
        height, width = (int((crop_size if crops else size)[side]) for side in ("height", "width"))
        return Geometry(height, width, height / int(size["height"]), "squash", interpolation)
    if shortest and crops:
        return Geometry(int(crop_size["height"]), int(crop_size["width"]), 1.0, "center", interpolation, int(shortest))
    if shortest and share and int(shortest) < CROP_BELOW:
        return Geometry(int(shortest), int(shortest), float(share), "center", interpolation)
    if shortest and share:
        return Geometry(int(shortest), int(shortest), 1.0, "squash", interpolation)
    raise InvalidCheckpoint(name, f"its image size {size} does not fix both sides; set image_size and crop_mode")
