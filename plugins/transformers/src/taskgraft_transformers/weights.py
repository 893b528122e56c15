"""Load the weights of a checkpoint and account for every tensor."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig
from transformers.utils import logging

from taskgraft.plugin import (
    Checkpoint,
    InvalidCheckpoint,
    MissingTensors,
    SharedSetting,
    build_limited,
    check_model_size,
    join_words,
    translate_errors,
    weight_files,
)
from taskgraft_transformers.structure import Structure

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Name of a dtype in settings → dtype."""


@dataclass(frozen=True)
class LoadedModel:
    """A model with the weights of a checkpoint, in eval mode.

    Attributes:
        used: name of a stored tensor → whether the features use it.
    """

    model: nn.Module
    used: Callable[[str], bool]


def load_model(
    checkpoint: Checkpoint, config: PretrainedConfig, structure: Structure, dtype: torch.dtype
) -> LoadedModel:
    """Load the kept blocks of a model and everything else that the features use.

    Raises:
        MissingTensors: if the checkpoint lacks a tensor that the features use.
        InvalidCheckpoint: if its files are damaged or its tensors have other shapes.
    """
    folder = checkpoint.folder(weights=True)
    if not weight_files(folder):
        raise InvalidCheckpoint(checkpoint.name, "it has no weights (model.safetensors or pytorch_model.bin)")
    loader: Any = structure.model_class
    with translate_errors(checkpoint.name, "its configuration"), torch.device("meta"):
        check_model_size(checkpoint.name, loader(config, **structure.init_kwargs), dtype, weight_files(folder))
    with translate_errors(checkpoint.name, "its weights"), quiet():
        model, info = loader.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, by name
            trust_remote_code=checkpoint.remote_code,
            **structure.init_kwargs,
        )
    remove_unused(model, structure)
    needed = set(model.state_dict())
    missing = tuple(sorted(name for name in info["missing_keys"] if name in needed))
    if missing:
        raise MissingTensors(checkpoint.name, missing)
    if info["mismatched_keys"]:
        names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in info["mismatched_keys"])
        raise InvalidCheckpoint(
            checkpoint.name, f"the shapes of these tensors differ from its configuration: {join_words(names, 3)}"
        )
    return LoadedModel(model.eval(), _used_by_features(model, set(info["unexpected_keys"]), structure))


def random_model(config: PretrainedConfig, structure: Structure, dtype: torch.dtype) -> nn.Module:
    """Build a model with randomly initialized weights, in eval mode."""
    build: Any = structure.model_class
    what = f"The model {build.__name__} with random weights"
    model: nn.Module = build_limited(what, lambda: build(config, **structure.init_kwargs))
    remove_unused(model, structure)
    return model.to(dtype).eval()


def remove_unused(model: nn.Module, structure: Structure) -> None:
    """Remove what the features do not use: blocks that are not kept, modules that run after them, and unused modules."""
    for path in structure.unused:
        model.set_submodule(path, nn.Identity())
    if structure.blocks is None or not structure.truncated:
        return
    del model.get_submodule(structure.blocks)[structure.kept :]  # type: ignore[operator]
    for path in structure.after:
        model.set_submodule(path, nn.Identity())


@contextmanager
def _quiet() -> Iterator[None]:
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


quiet = SharedSetting(_quiet)
"""Silences the loading reports and progress bars of transformers; problems are raised as errors instead."""


def _used_by_features(model: nn.Module, unexpected: set[str], structure: Structure) -> Callable[[str], bool]:
    """Make a test of stored names: False for heads, poolers, blocks that are not kept and position indices."""
    persistent = set(model.state_dict())
    not_persistent = {name for name, _ in model.named_buffers()} - persistent
    blocks = f"{structure.blocks}." if structure.truncated else None

    def used(name: str) -> bool:
        if any(_same_tensor(name, other) for other in unexpected | not_persistent):
            return False
        if any(f".{path}." in f".{name}" for path in structure.unused):
            return False
        if blocks is not None and f".{blocks}" in f".{name}":
            index = f".{name}".split(f".{blocks}")[1].partition(".")[0]
            return not index.isdigit() or int(index) < structure.kept
        return not (structure.truncated and any(f".{path}." in f".{name}" for path in structure.after))

    return used


def _same_tensor(name: str, other: str) -> bool:
    """Check whether two names are equal but for the prefix of a base model."""
    return name == other or name.endswith(f".{other}") or other.endswith(f".{name}")
