"""Weights of a timm model, read with every tensor accounted for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import timm
from torch import Tensor, nn

from taskgraft.plugin import (
    Checkpoint,
    InvalidCheckpoint,
    MissingTensors,
    TaskgraftError,
    combined_digest,
    join_words,
    translate_errors,
    weight_files,
)
from taskgraft_vision.anatomy import shorten
from taskgraft_vision.timm_model import TimmModel

COUNTERS = "num_batches_tracked"
"""Counts the batches that a BatchNorm has seen; no feature depends on it, and checkpoints may lack it."""


@dataclass(eq=False)
class UnexpectedTensors(TaskgraftError):
    """Weights that hold tensors of something else."""

    name: str
    model: str
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"The weights '{self.name}' hold {len(self.unexpected):,} tensors that the model '{self.model}' does not have: "
            f"{join_words(self.unexpected, 3)}.\nSo they are another model's, and nothing is loaded. Choose the model that they "
            "belong to, or give the arguments that it was built with."
        )


@dataclass(frozen=True)
class TimmWeights:
    """The weights that settings name for a model."""

    model: TimmModel

    def load(self) -> tuple[nn.Module, str | None]:
        """Make the model with its weights.

        Returns:
            the model, and the fingerprint of the weights that it uses; None when they were drawn at random.

        Raises:
            MissingTensors: when a weight that the features use is not there.
            UnexpectedTensors: when there are weights of another model.
            InvalidCheckpoint, CheckpointNotFound: when there are none, or they cannot be read.
        """
        model = self.model.build("cpu")
        shorten(model, self.model.anatomy.removed, self.model.anatomy.stop)
        if self.model.config.weights == "random":
            return model, None
        folder, path = self._weights()
        stored = self._stored(path)
        needed = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(COUNTERS)}
        state = self._native(stored, needed)
        self._check(state, needed)
        with translate_errors(self._name, "its weights"):
            model.load_state_dict({name: state[name] for name in needed}, strict=False)
        beside = tuple(f"{name}." for name in self._classifiers)
        used = {
            name: tensor
            for name, tensor in stored.items()
            if name in needed or (state is not stored and not name.startswith(beside) and not name.endswith(COUNTERS))
        }
        return model, combined_digest(used, self._built(folder))

    def _built(self, folder: Path | None) -> dict[str, bytes]:
        """Say what the model is built from besides tensors. The size of the images, the processor says."""
        arguments = {name: value for name, value in self.model.config.arguments.items() if name != "img_size"}
        architecture = self.model.config.model.partition(".")[0] if self.model.checkpoint is None else None
        files = {"model": json.dumps([architecture, arguments], sort_keys=True).encode()}
        stated = folder / "config.json" if folder else None
        return files | ({"config.json": stated.read_bytes()} if stated and stated.is_file() else {})

    @property
    def _name(self) -> str:
        return self.model.config.model if self.model.config.weights == "pretrained" else self.model.config.weights

    def _weights(self) -> tuple[Path | None, Path]:
        """Find the file of the weights, and the folder that it lies in where that is a checkpoint's."""
        if self.model.config.weights != "pretrained":
            path = Path(self.model.config.weights).expanduser()
            if path.is_dir():
                raise InvalidCheckpoint(
                    self.model.config.weights, "it is a folder; name a file in it, or the folder as the model"
                )
            if not path.is_file():
                raise InvalidCheckpoint(
                    self.model.config.weights, "there is no such file of weights (or say pretrained, or random)"
                )
            return None, path
        checkpoint = self.model.checkpoint
        if checkpoint is None:
            stated = getattr(self.model.skeleton, "pretrained_cfg", {})
            if not stated.get("hf_hub_id"):
                raise InvalidCheckpoint(
                    self.model.config.model, "timm names no weights for it; give a file of weights, or say random"
                )
            checkpoint = Checkpoint(str(stated["hf_hub_id"]), self.model.config.revision)
        folder = checkpoint.folder(weights=True)
        files = weight_files(folder)
        if not files:
            raise InvalidCheckpoint(
                self.model.config.model, "it has no weights (model.safetensors or pytorch_model.bin)"
            )
        return folder, next((path for path in files if path.stem == "model"), files[0])

    def _stored(self, path: Path) -> dict[str, Tensor]:
        """Read a file of weights.

        Raises:
            InvalidCheckpoint: when it is damaged, or holds anything but tensors by name.
        """
        advice = "fetch them again, or save the tensors alone (model.state_dict())"
        try:
            with translate_errors(self._name, "its weights"):
                return _tensors(path)
        except InvalidCheckpoint as error:
            raise InvalidCheckpoint(self._name, f"{error.problem}; {advice}") from None

    @cached_property
    def _classifiers(self) -> tuple[str, ...]:
        """Paths of the layers that give a number per class."""
        stated = getattr(self.model.skeleton, "pretrained_cfg", {}).get("classifier") or ()
        return (stated,) if isinstance(stated, str) else tuple(stated)

    def _native(self, stored: dict[str, Tensor], needed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Bring tensors under the names and shapes of the model, by timm's own conversion, where they differ.

        timm then loads into the whole model, classifier included, for only so does it insist on every tensor. So the
        classifier is made for as many classes as that of the file; where it has none, for as many as the model's, or none.
        """
        if all(name in stored and stored[name].shape == tensor.shape for name, tensor in needed.items()):
            return stored
        have = [stored[f"{name}.weight"].shape[0] for name in self._classifiers if f"{name}.weight" in stored]
        for classes in have[:1] or dict.fromkeys((getattr(self.model.skeleton, "num_classes", 0), 0)):
            converted = self._converted(stored, classes)
            if converted is not None:
                return converted
        return stored  # what is missing is told by name

    def _converted(self, stored: Mapping[str, Tensor], classes: int) -> dict[str, Tensor] | None:
        """Load tensors into a whole model by timm's own conversion; None when they do not fit."""
        try:
            converted = timm.create_model(
                self.model.factory_name,
                pretrained=True,
                pretrained_cfg_overlay={"state_dict": dict(stored), "source": None, "num_classes": classes},
                num_classes=classes,
                **self.model.arguments,
            )
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError):
            return None
        return dict(converted.state_dict())

    def _check(self, state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> None:
        missing = tuple(sorted(name for name in needed if name not in state))
        known = self.model.skeleton.state_dict().keys()
        whole = self.model.build("meta").state_dict().keys()
        unexpected = tuple(sorted(name for name in state if name not in known and name not in whole))
        if missing and len(missing) == len(needed) and unexpected:
            raise UnexpectedTensors(self._name, self.model.config.model, unexpected)
        if missing:
            raise MissingTensors(self._name, missing)
        if unexpected:
            raise UnexpectedTensors(self._name, self.model.config.model, unexpected)
        for name, tensor in needed.items():
            if state[name].shape != tensor.shape:
                have, need = (tuple(one.shape) for one in (state[name], tensor))
                raise InvalidCheckpoint(
                    self._name,
                    f"its tensor {name} is {have}, but the model '{self.model.config.model}' has {need}; choose the model that "
                    "it belongs to, or give the arguments that it was built with",
                )


def _tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of weights, or what a training run left. Nothing in it runs.

    Raises:
        ValueError: when it holds anything but tensors by name.
    """
    try:
        found: dict[str, Tensor] = timm.models.load_state_dict(str(path), weights_only=True)
    except AttributeError:  # timm takes every pickle for a dict
        found = {}
    if not found or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise ValueError("they are not tensors by name")
    return found
