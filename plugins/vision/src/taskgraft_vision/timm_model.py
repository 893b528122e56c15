"""Models of the timm library: found by name, checked against their arguments, and described without weights."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
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
    TaskgraftError,
    closest_match,
    join_words,
    translate_errors,
)
from taskgraft_vision.anatomy import Anatomy, Manner, Size, anatomy
from taskgraft_vision.parts import groups_of, pieces, roles
from taskgraft_vision.settings import TimmConfig

HUB = "hf-hub:"
"""Begins a model's name where it is a repository of the hub that need not be one of timm's own."""

RESERVED = frozenset(
    {
        "cache_dir", "checkpoint_path", "exportable", "features_only", "in_chans", "no_jit", "num_classes", "pretrained",
        "pretrained_cfg", "pretrained_cfg_overlay", "scriptable",
    }
)  # fmt: skip
"""Arguments of timm's factory that are not the user's to set."""


@dataclass(eq=False)
class UnknownModel(TaskgraftError):
    """A name that timm does not know."""

    name: str
    near: str | None

    def __str__(self) -> str:
        meant = f" Did you mean '{self.near}'?" if self.near else ""
        return (
            f"timm has no model '{self.name}'.{meant} timm.list_models() lists all; a folder that timm saved, or "
            "hf-hub:OWNER/NAME, is read as well."
        )


@dataclass(eq=False)
class UnknownTag(TaskgraftError):
    """A tag of weights that timm does not know for a model."""

    model: str
    tag: str
    tags: tuple[str, ...]

    def __str__(self) -> str:
        have = f"It has {join_words(self.tags)}" if self.tags else "It has none"
        return f"timm has no weights '{self.tag}' for the model '{self.model}'. {have}. Without a tag, timm chooses."


@dataclass(eq=False)
class BadArguments(TaskgraftError):
    """Arguments that a model cannot be built with."""

    model: str
    arguments: Mapping[str, object]
    problem: str

    def __str__(self) -> str:
        said = ", ".join(f"{name}={value!r:.40}" for name, value in self.arguments.items()) or "no arguments"
        return (
            f"The model '{self.model}' cannot be built with {said}: {self.problem}.\n"
            "Give other values in the backbone's settings 'arguments' and 'image_size', or leave them out."
        )


@dataclass(eq=False)
class UnreadableSize(TaskgraftError):
    """Images of a size that a model cannot read."""

    model: str
    size: Size
    own: tuple[int, int]
    problem: str

    def __str__(self) -> str:
        (_, height, width), (usual_height, usual_width) = self.size, self.own
        return (
            f"The model '{self.model}' cannot read images of {height} × {width} pixels: {self.problem}.\n"
            f"Choose another 'image_size' in the backbone's settings; its own is {usual_height} × {usual_width}."
        )


@dataclass(eq=False)
class UnknownArgument(TaskgraftError):
    """An argument that a model does not take, or that is not the user's to set."""

    model: str
    argument: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        if self.argument in RESERVED:
            return f"The argument '{self.argument}' of the model '{self.model}' is decided by taskgraft. Leave it out."
        near = closest_match(self.argument, self.known)
        meant = f" Did you mean '{near}'?" if near else ""
        return (
            f"The model '{self.model}' takes no argument '{self.argument}'.{meant} Arguments: {join_words(self.known)}."
        )


@dataclass(frozen=True)
class TimmModel:
    """One model of timm, as settings name it."""

    config: TimmConfig

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The folder or repository that the name stands for; None where timm knows the name itself."""
        name = self.config.model
        if name.startswith(HUB):
            return Checkpoint(name.removeprefix(HUB), self.config.revision)
        if "/" in name or name.startswith((".", "~")) or Path(name).is_dir():
            return Checkpoint(name, self.config.revision)
        return None

    @property
    def stated(self) -> tuple[str, bytes] | None:
        """Where the folder of the model lies and what its configuration says; None where there is no folder."""
        path = Path(self.config.model).expanduser() / "config.json"
        return (str(path.resolve()), path.read_bytes()) if self.checkpoint is not None and path.is_file() else None

    @cached_property
    def factory_name(self) -> str:
        """What timm's factory is told.

        Raises:
            UnknownModel, UnknownTag, CheckpointNotFound, InvalidCheckpoint: when there is no such model.
        """
        if self.checkpoint is not None:
            folder = self.checkpoint.folder()
            _check_architecture(self.config.model, folder)
            return f"local-dir:{folder}"
        name, _, tag = self.config.model.partition(".")
        if not timm.is_model(name):
            raise UnknownModel(self.config.model, closest_match(name, timm.list_models()))
        tags = tuple(one.partition(".")[2] for one in timm.list_pretrained(f"{name}.*"))
        if tag and tag not in tags:
            raise UnknownTag(name, tag, tags)
        return self.config.model

    def build(self, device: str) -> nn.Module:
        """Build the model without a classifier, its weights drawn at random, in eval mode.

        Args:
            device: "meta" builds it without memory.

        Raises:
            BadArguments, UnknownArgument: when it cannot be built with the arguments of the settings.
        """
        return self._created(device, num_classes=0).eval()

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """What timm says of the images that the model reads: input_size, mean, std, interpolation, crop_pct, crop_mode."""
        found = dict(resolve_model_data_config(self.skeleton))
        if found["input_size"][0] != 3:
            raise InvalidCheckpoint(
                self.config.model,
                f"it reads {found['input_size'][0]} channels, not red, green and blue; choose a model of colour images",
            )
        return found

    @cached_property
    def size(self) -> Size:
        """Channels, height and width of the pixels that the model reads."""
        own, argument = self.data["input_size"][1:], self.config.arguments.get("img_size")
        stated = next(some for some in (argument, self.config.image_size, own) if some is not None)
        sides = tuple(stated) if isinstance(stated, list | tuple) else (stated, stated)
        if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            problem = "a size is a side in pixels, or a height and a width"
            raise BadArguments(self.config.model, {"img_size": stated}, problem)
        return 3, int(sides[0]), int(sides[1])

    @cached_property
    def anatomy(self) -> Anatomy:
        """How it is built and run, cut off at the part that is the last to keep."""
        model = self.build("meta")
        return anatomy(model, self._manner(model), self.size, self.config.until, self.config.model)

    @cached_property
    def licence(self) -> str | None:
        """The licence of pretrained weights, as timm states it."""
        found = getattr(self.skeleton, "pretrained_cfg", {}).get("license")
        return str(found) if found and self.config.weights == "pretrained" else None

    @cached_property
    def skeleton(self) -> nn.Module:
        """The whole model with its classifier, without memory."""
        return self._created("meta")

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What timm's factory is told besides the name.

        Raises:
            UnknownArgument: for one that is not the user's to set.
        """
        if reserved := sorted(self.config.arguments.keys() & RESERVED):
            raise UnknownArgument(self.config.model, reserved[0], ())
        stated, size = self.config.arguments, self.config.image_size
        sized = size is not None and "img_size" not in stated and "img_size" in self._signature
        return dict(stated) | ({"img_size": size} if sized else {})

    def _created(self, device: str, **more: int) -> nn.Module:
        arguments = self.arguments
        try:
            with torch.device(device):
                made: nn.Module = timm.create_model(self.factory_name, pretrained=False, **arguments, **more)
        except TypeError as error:
            unknown = next((name for name in arguments if f"unexpected keyword argument '{name}'" in str(error)), None)
            if unknown is None:
                raise BadArguments(self.config.model, arguments, _reason(error)) from None
            known = tuple(name for name in self._signature if name not in RESERVED)
            raise UnknownArgument(self.config.model, unknown, known) from None
        except (ValueError, RuntimeError, AssertionError, LookupError, AttributeError) as error:
            raise BadArguments(self.config.model, arguments, _reason(error)) from None
        return made

    @cached_property
    def _signature(self) -> tuple[str, ...]:
        with torch.device("meta"):
            plain = timm.create_model(self.factory_name, pretrained=False)
        return tuple(name for name in inspect.signature(type(plain)).parameters if name != "kwargs")

    def _hidden(self, model: Any) -> object:
        """Run the model on the meta device, to see what it computes.

        Raises:
            UnreadableSize: when it does not run on images of the size that is wanted.
        """
        try:
            with torch.no_grad():
                return model.forward_features(torch.empty(1, *self.size, device="meta"))
        except (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError) as error:
            own = self.data["input_size"][1:]
            raise UnreadableSize(self.config.model, self.size, own, _reason(error)) from None

    def _manner(self, model: Any) -> Manner:
        hidden = self._hidden(model)
        tokens = not (isinstance(hidden, Tensor) and hidden.dim() == 4)
        inner = callable(getattr(model, "forward_intermediates", None))
        return Manner(
            vector=_pooled,
            grid=_last_level if tokens and inner else None if tokens else _cells(self.size),
            tokens=tokens and inner,
            levels=_levels if inner else None,
            prefix=int(getattr(model, "num_prefix_tokens", 0) or 0),
            first=getattr(model, "global_pool", None) == "token",
            pieces=lambda whole, traced: pieces(whole, traced, groups_of(model)),
            roles=roles,
        )


def _pooled(model: Any, pixels: Tensor) -> Sequence[Tensor]:
    return [model.forward_head(model.forward_features(pixels), pre_logits=True)]


def _last_level(model: Any, pixels: Tensor) -> Sequence[Tensor]:
    """Give the last grid as timm makes it, normalized as the whole model does it where the model can."""
    settings = {"indices": 1, "output_fmt": "NCHW", "intermediates_only": True}
    try:
        found = model.forward_intermediates(pixels, norm=True, **settings)
    except AssertionError:  # so timm says that a model keeps its last norm for the pooled vector
        found = model.forward_intermediates(pixels, norm=False, **settings)
    return list(found[-1:])


def _cells(size: Size) -> Callable[[Any, Tensor], Sequence[Tensor]]:
    from taskgraft_vision.anatomy import grid_of

    def cells(model: Any, pixels: Tensor) -> Sequence[Tensor]:
        found = grid_of(model.forward_features(pixels), size, 0)
        assert found is not None
        return [found]

    return cells


def _levels(wanted: Sequence[int] | None) -> Callable[[Any, Tensor], Sequence[Tensor]]:
    def levels(model: Any, pixels: Tensor) -> Sequence[Tensor]:
        indices = None if wanted is None else list(wanted)
        return list(model.forward_intermediates(pixels, indices=indices, output_fmt="NCHW", intermediates_only=True))

    return levels


def _check_architecture(name: str, folder: Path) -> None:
    """Refuse a folder that timm did not save."""
    path = folder / "config.json"
    if not path.is_file():
        raise InvalidCheckpoint(name, "it has no config.json, so timm did not save it")
    with translate_errors(name, "its configuration"):
        stated = json.loads(path.read_text(encoding="utf-8"))
    architecture = stated.get("architecture") if isinstance(stated, dict) else None
    if architecture is None:
        raise InvalidCheckpoint(name, "its config.json names no 'architecture', so timm did not save it")
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise InvalidCheckpoint(
            name,
            f"its config.json names {architecture!r:.60} as 'architecture', which timm {timm.__version__} does not have",
        )


def _reason(error: Exception) -> str:
    """Give what an error of timm or torch says, its first line."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200].rstrip(".")
