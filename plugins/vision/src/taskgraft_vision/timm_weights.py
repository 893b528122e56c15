"""Load weights into a timm model, accounting for every tensor."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from taskgraft.plugin import (
    Checkpoint,
    InvalidCheckpoint,
    MissingTensors,
    check_model_size,
    check_regular_file,
    combined_digest,
    join_words,
    limit_new_tensors,
    translate_errors,
    weight_files,
)
from taskgraft_vision.errors import VisionError
from taskgraft_vision.structure import truncate
from taskgraft_vision.timm_model import TimmModel, read_configuration

BATCH_COUNTER = "num_batches_tracked"
"""End of the name of BatchNorm's batch counters; no feature depends on them, and checkpoints may lack them."""


@dataclass(frozen=True)
class TimmWeights:
    """The weights of a model, as settings name them."""

    model: TimmModel

    def load(self) -> tuple[nn.Module, str | None]:
        """Build the model with its weights.

        Returns:
            the model, and the fingerprint of the weights that it uses; None for random weights.

        Raises:
            MissingTensors: if a weight that the features use is missing.
            VisionError: if the weights are those of another model.
            InvalidCheckpoint, CheckpointNotFound: if there are no weights, or they cannot be read.
        """
        if self.model.config.weights == "random":
            with limit_new_tensors(f"The model '{self.model.config.model}' with random weights", planned=True):
                self.model.build("meta")
            model = self.model.build("cpu")
            truncate(model, self.model.structure.removed, self.model.structure.stop)
            return model, None
        skeleton = self.model.build("meta")
        folder, path = self._find_file()
        check_model_size(self._name, skeleton, torch.float32, [path])
        model = self.model.build("cpu")
        truncate(model, self.model.structure.removed, self.model.structure.stop)
        stored = self._read(path)
        needed = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(BATCH_COUNTER)}
        state = self._convert(stored, needed)
        self._check(state, needed)
        with translate_errors(self._name, "its weights"):
            model.load_state_dict({name: state[name] for name in needed}, strict=False)
        classifiers = tuple(f"{name}." for name in self._classifiers)
        used = {
            name: tensor
            for name, tensor in stored.items()
            if name in needed
            or (state is not stored and not name.startswith(classifiers) and not name.endswith(BATCH_COUNTER))
        }
        return model, combined_digest(used, self._model_files(folder))

    def _model_files(self, folder: Path | None) -> dict[str, bytes]:
        """What the model is built from apart from tensors. The image size is part of the processor's settings instead."""
        arguments = {name: value for name, value in self.model.config.arguments.items() if name != "img_size"}
        architecture = self.model.config.model.partition(".")[0] if self.model.checkpoint is None else None
        files = {"model": json.dumps([architecture, arguments], sort_keys=True).encode()}
        config = folder / "config.json" if folder else None
        if config is None or not config.exists():
            return files
        return files | {"config.json": read_configuration(self._name, config)}

    @property
    def _name(self) -> str:
        return self.model.config.model if self.model.config.weights == "pretrained" else self.model.config.weights

    def _find_file(self) -> tuple[Path | None, Path]:
        """Find the checkpoint's folder, None for a single file, and the file of weights."""
        if self.model.config.weights != "pretrained":
            path = Path(self.model.config.weights).expanduser()
            if os.path.isdir(path):
                raise InvalidCheckpoint(
                    self.model.config.weights, "it is a folder; name a file in it, or use the folder as the model"
                )
            if not os.path.exists(path):
                raise InvalidCheckpoint(
                    self.model.config.weights, "there is no such weight file (other values: pretrained, random)"
                )
            return None, path
        checkpoint = self.model.checkpoint
        if checkpoint is None:
            pretrained_config = getattr(self.model.skeleton, "pretrained_cfg", {})
            if not pretrained_config.get("hf_hub_id"):
                raise InvalidCheckpoint(
                    self.model.config.model, "timm has no weights for it; name a weight file, or use random"
                )
            checkpoint = Checkpoint(str(pretrained_config["hf_hub_id"]), self.model.config.revision)
        folder = checkpoint.folder(weights=True)
        files = weight_files(folder)
        if not files:
            raise InvalidCheckpoint(
                self.model.config.model, "it has no weights (model.safetensors or pytorch_model.bin)"
            )
        return folder, next((path for path in files if path.stem == "model"), files[0])

    def _read(self, path: Path) -> dict[str, Tensor]:
        """Read a weight file.

        Raises:
            InvalidCheckpoint: if it is damaged, or contains anything but named tensors.
        """
        advice = "download them again, or save only the tensors (model.state_dict())"
        try:
            with translate_errors(self._name, "its weights"):
                return _load_tensors(path)
        except InvalidCheckpoint as error:
            raise InvalidCheckpoint(self._name, f"{error.problem}; {advice}") from None

    @cached_property
    def _classifiers(self) -> tuple[str, ...]:
        """Paths of the classifier layers."""
        paths = getattr(self.model.skeleton, "pretrained_cfg", {}).get("classifier") or ()
        return (paths,) if isinstance(paths, str) else tuple(paths)

    def _convert(self, stored: dict[str, Tensor], needed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert tensors to the names and shapes of the model with timm's own conversion, if they differ.

        timm checks every tensor only if it loads the whole model including the classifier. So the classifier gets as many
        classes as that of the file; if the file has none, as many as the model's, or none.
        """
        if all(name in stored and stored[name].shape == tensor.shape for name, tensor in needed.items()):
            return stored
        class_counts = [stored[f"{name}.weight"].shape[0] for name in self._classifiers if f"{name}.weight" in stored]
        for classes in class_counts[:1] or dict.fromkeys((getattr(self.model.skeleton, "num_classes", 0), 0)):
            converted = self._load_with_timm(stored, classes)
            if converted is not None:
                return converted
        return stored  # missing tensors are reported by name

    def _load_with_timm(self, stored: Mapping[str, Tensor], classes: int) -> dict[str, Tensor] | None:
        """Load tensors into a whole model with timm's own conversion; None if they do not fit."""
        try:
            model = timm.create_model(
                self.model.factory_name,
                pretrained=True,
                pretrained_cfg_overlay={"state_dict": dict(stored), "source": None, "num_classes": classes},
                num_classes=classes,
                **self.model.arguments,
            )
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError):
            return None
        return dict(model.state_dict())

    def _check(self, state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> None:
        missing = tuple(sorted(name for name in needed if name not in state))
        known = self.model.skeleton.state_dict().keys()
        whole = self.model.build("meta").state_dict().keys()
        unexpected = tuple(sorted(name for name in state if name not in known and name not in whole))
        if missing and len(missing) == len(needed) and unexpected:
            raise self._wrong_model(unexpected)
        if missing:
            raise MissingTensors(self._name, missing)
        if unexpected:
            raise self._wrong_model(unexpected)
        for name, tensor in needed.items():
            if state[name].shape != tensor.shape:
                stored_shape, shape = tuple(state[name].shape), tuple(tensor.shape)
                raise InvalidCheckpoint(
                    self._name,
                    f"its tensor {name} is {stored_shape}, but the model '{self.model.config.model}' needs {shape}; choose the "
                    "model that it belongs to, or set the arguments that it was built with",
                )

    def _wrong_model(self, unexpected: tuple[str, ...]) -> VisionError:
        return VisionError(
            f"The weights '{self._name}' have {len(unexpected):,} tensors that the model '{self.model.config.model}' does not "
            f"have: {join_words(unexpected, 3)}.\nSo they belong to another model, and nothing is loaded. Choose that model, "
            "or set the arguments that it was built with."
        )


def _load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a weight file or a training checkpoint, without running code in it.

    Raises:
        ValueError: if it contains anything but named tensors.
    """
    check_regular_file(path)
    try:
        tensors: dict[str, Tensor] = timm.models.load_state_dict(str(path), weights_only=True)
    except AttributeError:  # timm assumes that every pickle is a dict
        tensors = {}
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ValueError("they are not named tensors")
    return tensors
