"""Models of the timm library: found by name, their arguments checked, and analyzed without weights."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from torch import Tensor, nn

from taskgraft.plugin import (
    Checkpoint,
    InvalidCheckpoint,
    closest_match,
    join_words,
    limit_new_tensors,
    parse_json,
    read_small_file,
    translate_errors,
)
from taskgraft_vision.blocks import layer_groups, layer_roles, split_into_blocks
from taskgraft_vision.errors import VisionError, not_colour, reason, unreadable_size
from taskgraft_vision.grids import Size, to_grid
from taskgraft_vision.settings import TimmConfig
from taskgraft_vision.structure import LibraryInterface, ModelStructure, analyze_model

HUB_PREFIX = "hf-hub:"
"""Prefix of a model name that is a repository of the hub, not necessarily one of timm's own."""

MAX_CONFIGURATION = 1_000_000
"""Bytes of a config.json of timm. It has a page of settings."""

MAX_REPEATS, MAX_ARGUMENT = 1_000, 100_000_000
"""Largest number of blocks or layers in an argument, and largest number in any other."""

RESERVED_ARGUMENTS = frozenset(
    {
        "cache_dir", "checkpoint_path", "exportable", "features_only", "in_chans", "no_jit", "num_classes", "pretrained",
        "pretrained_cfg", "pretrained_cfg_overlay", "scriptable",
    }
)  # fmt: skip
"""Arguments of timm's factory that taskgraft sets."""


@dataclass(frozen=True)
class TimmModel:
    """A model of timm, as settings name it."""

    config: TimmConfig

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The folder or repository that the name refers to; None for a name of timm's own."""
        name = self.config.model
        if name.startswith(HUB_PREFIX):
            return Checkpoint(name.removeprefix(HUB_PREFIX), self.config.revision)
        if "/" in name or name.startswith((".", "~")) or Path(name).is_dir():
            return Checkpoint(name, self.config.revision)
        return None

    @property
    def folder_config(self) -> tuple[str, bytes] | None:
        """The path and content of the configuration in the model's folder; None if it has no folder."""
        path = Path(self.config.model).expanduser() / "config.json"
        if self.checkpoint is None or not path.exists():
            return None
        return str(path.resolve()), read_configuration(self.config.model, path)

    @cached_property
    def factory_name(self) -> str:
        """The name for ``timm.create_model``.

        Raises:
            VisionError, CheckpointNotFound, InvalidCheckpoint: if there is no such model.
        """
        if self.checkpoint is not None:
            folder = self.checkpoint.folder()
            _check_architecture(self.config.model, folder)
            return f"local-dir:{folder}"
        name, _, tag = self.config.model.partition(".")
        if not timm.is_model(name):
            hint = _hint(name, timm.list_models())
            raise VisionError(
                f"timm has no model '{self.config.model}'.{hint} timm.list_models() lists all; a folder saved by timm, or "
                "hf-hub:OWNER/NAME, works as well."
            )
        tags = tuple(full_name.partition(".")[2] for full_name in timm.list_pretrained(f"{name}.*"))
        if tag and tag not in tags:
            available = f"It has {join_words(tags)}" if tags else "It has none"
            raise VisionError(
                f"timm has no weights '{tag}' for the model '{name}'. {available}. Without a tag, timm chooses."
            )
        return self.config.model

    def build(self, device: str) -> nn.Module:
        """Build the model without a classifier, at random initialization, in eval mode.

        Args:
            device: "meta" builds it without memory.

        Raises:
            VisionError: if it cannot be built with the arguments of the settings.
        """
        return self._create(device, num_classes=0).eval()

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """Timm's settings of the model's images: input_size, mean, std, interpolation, crop_pct, crop_mode."""
        data = dict(resolve_model_data_config(self.skeleton))
        if data["input_size"][0] != 3:
            raise InvalidCheckpoint(self.config.model, not_colour(data["input_size"][0]))
        return data

    @cached_property
    def size(self) -> Size:
        """Channels, height and width of the pixels that the model reads."""
        own, argument = self.data["input_size"][1:], self.config.arguments.get("img_size")
        size = next(value for value in (argument, self.config.image_size, own) if value is not None)
        sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
        if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            problem = "a size must be one side in pixels, or height and width"
            raise self._invalid_arguments({"img_size": size}, problem)
        return 3, int(sides[0]), int(sides[1])

    @cached_property
    def structure(self) -> ModelStructure:
        """Its structure, truncated after ``until``."""
        model = self.build("meta")
        return analyze_model(model, self._interface(model), self.size, self.config.until, self.config.model)

    @cached_property
    def licence(self) -> str | None:
        """The licence of pretrained weights, according to timm."""
        licence = getattr(self.skeleton, "pretrained_cfg", {}).get("license")
        return str(licence) if licence and self.config.weights == "pretrained" else None

    @cached_property
    def skeleton(self) -> nn.Module:
        """The whole model with its classifier, on the meta device."""
        return self._create("meta")

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The arguments for ``timm.create_model``.

        Raises:
            VisionError: for an argument that taskgraft sets.
        """
        if reserved := sorted(self.config.arguments.keys() & RESERVED_ARGUMENTS):
            raise VisionError(
                f"The argument '{reserved[0]}' of the model '{self.config.model}' is set by taskgraft. Leave it out."
            )
        arguments, size = self.config.arguments, self.config.image_size
        needs_size = size is not None and "img_size" not in arguments and "img_size" in self._signature
        return dict(arguments) | ({"img_size": size} if needs_size else {})

    def _create(self, device: str, **overrides: int) -> nn.Module:
        arguments = self.arguments
        for name, value in arguments.items():
            most = MAX_REPEATS if re.search("depth|layer|block", name) else MAX_ARGUMENT
            if any(isinstance(one, int) and one > most for one in (value if isinstance(value, list) else (value,))):
                raise self._invalid_arguments({name: value}, f"{name} may be at most {most:,}")
        try:
            limited = limit_new_tensors(f"The model '{self.config.model}'") if device == "meta" else nullcontext()
            with torch.device(device), limited:
                model: nn.Module = timm.create_model(self.factory_name, pretrained=False, **arguments, **overrides)
        except TypeError as error:
            unknown = next((name for name in arguments if f"unexpected keyword argument '{name}'" in str(error)), None)
            if unknown is None:
                raise self._invalid_arguments(arguments, reason(error)) from None
            known = tuple(name for name in self._signature if name not in RESERVED_ARGUMENTS)
            raise VisionError(
                f"The model '{self.config.model}' has no argument '{unknown}'.{_hint(unknown, known)} "
                f"Arguments: {join_words(known)}."
            ) from None
        except (ValueError, RuntimeError, AssertionError, LookupError, AttributeError) as error:
            raise self._invalid_arguments(arguments, reason(error)) from None
        return model

    def _invalid_arguments(self, arguments: Mapping[str, object], problem: str) -> VisionError:
        listed = ", ".join(f"{name}={value!r:.40}" for name, value in arguments.items()) or "no arguments"
        return VisionError(
            f"The model '{self.config.model}' cannot be built with {listed}: {problem}.\n"
            "Change or remove the backbone's settings 'arguments' and 'image_size'."
        )

    @cached_property
    def _signature(self) -> tuple[str, ...]:
        with torch.device("meta"):
            model = timm.create_model(self.factory_name, pretrained=False)
        return tuple(name for name in inspect.signature(type(model)).parameters if name != "kwargs")

    def _hidden(self, model: Any) -> object:
        """Run the model on the meta device and return its last hidden state.

        Raises:
            VisionError: if it does not run on images of the configured size.
        """
        try:
            with torch.no_grad():
                return model.forward_features(torch.empty(1, *self.size, device="meta"))
        except (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError) as error:
            raise unreadable_size(self.config.model, self.size[1:], self.data["input_size"][1:], error) from None

    def _interface(self, model: Any) -> LibraryInterface:
        hidden = self._hidden(model)
        tokens = not (isinstance(hidden, Tensor) and hidden.dim() == 4)
        has_intermediates = callable(getattr(model, "forward_intermediates", None))
        grid: Callable[[Any, Tensor], Sequence[Tensor]] | None = _grid_forward(self.size)
        if tokens:
            grid = _last_grid if has_intermediates else None
        return LibraryInterface(
            vector=_vector_forward,
            grid=grid,
            tokens=tokens and has_intermediates,
            levels=_pyramid_forward if has_intermediates else None,
            prefix=int(getattr(model, "num_prefix_tokens", 0) or 0),
            first=getattr(model, "global_pool", None) == "token",
            split=lambda whole, traced: split_into_blocks(whole, traced, layer_groups(model)),
            roles=layer_roles,
        )


def _vector_forward(model: Any, pixels: Tensor) -> Sequence[Tensor]:
    return [model.forward_head(model.forward_features(pixels), pre_logits=True)]


def _last_grid(model: Any, pixels: Tensor) -> Sequence[Tensor]:
    """Compute timm's last grid, with the model's final norm if it can be applied to a grid."""
    settings = {"indices": 1, "output_fmt": "NCHW", "intermediates_only": True}
    try:
        levels = model.forward_intermediates(pixels, norm=True, **settings)
    except AssertionError:  # timm's sign that the final norm is only for the pooled vector
        levels = model.forward_intermediates(pixels, norm=False, **settings)
    return list(levels[-1:])


def _grid_forward(size: Size) -> Callable[[Any, Tensor], Sequence[Tensor]]:
    def forward(model: Any, pixels: Tensor) -> Sequence[Tensor]:
        grid = to_grid(model.forward_features(pixels), size, 0)
        assert grid is not None
        return [grid]

    return forward


def _pyramid_forward(levels: Sequence[int] | None) -> Callable[[Any, Tensor], Sequence[Tensor]]:
    def forward(model: Any, pixels: Tensor) -> Sequence[Tensor]:
        indices = None if levels is None else list(levels)
        return list(model.forward_intermediates(pixels, indices=indices, output_fmt="NCHW", intermediates_only=True))

    return forward


def read_configuration(name: str, path: Path) -> bytes:
    """Read the config.json of a checkpoint. Raises InvalidCheckpoint."""
    with translate_errors(name, "its configuration"):
        return read_small_file(path, MAX_CONFIGURATION)


def _check_architecture(name: str, folder: Path) -> None:
    """Raise InvalidCheckpoint for a folder that timm did not save."""
    path = folder / "config.json"
    if not path.is_file():
        raise InvalidCheckpoint(name, "it has no config.json, so timm did not save it")
    with translate_errors(name, "its configuration"):
        config = parse_json(read_configuration(name, path))
    architecture = config.get("architecture") if isinstance(config, dict) else None
    if architecture is None:
        raise InvalidCheckpoint(name, "its config.json has no 'architecture', so timm did not save it")
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise InvalidCheckpoint(
            name,
            f"its config.json has the architecture {architecture!r:.60}, which timm {timm.__version__} does not have",
        )
    arguments = config.get("model_args") or {}
    reserved = RESERVED_ARGUMENTS - {"in_chans", "num_classes"}  # timm writes these two itself
    if not isinstance(arguments, dict) or (found := sorted(reserved & arguments.keys())):
        problem = f"model_args.{found[0]}" if isinstance(arguments, dict) else "model_args is no object"
        raise InvalidCheckpoint(name, f"its config.json sets what only taskgraft may set ({problem}); remove that")


def _hint(word: str, known: Sequence[str]) -> str:
    suggestion = closest_match(word, known)
    return f" Did you mean '{suggestion}'?" if suggestion else ""
