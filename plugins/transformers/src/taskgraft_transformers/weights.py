"""Weights, read with every tensor accounted for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig
from transformers.utils import logging

from taskgraft.plugin import Checkpoint, InvalidCheckpoint, MissingTensors, join_words, translate_errors, weight_files
from taskgraft_transformers.structure import Structure

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""How settings call the dtypes of weights."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        used: name of a stored tensor → whether the features use it.
    """

    model: nn.Module
    used: Callable[[str], bool]


def load_model(checkpoint: Checkpoint, config: PretrainedConfig, structure: Structure, dtype: torch.dtype) -> LoadedModel:
    """Load a model, blocks past the kept ones left out.

    Raises:
        MissingTensors: when the checkpoint lacks a weight that the features use.
        InvalidCheckpoint: when its files are damaged or its tensors have other shapes.
    """
    folder = checkpoint.folder(weights=True)
    if not weight_files(folder):
        raise InvalidCheckpoint(checkpoint.name, "it has no weights (model.safetensors or pytorch_model.bin)")
    loader: Any = structure.model_class
    with translate_errors(checkpoint.name, "its weights"), quiet():
        model, told = loader.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # and refused below, by name
            trust_remote_code=checkpoint.remote_code,
            **structure.keywords,
        )
    remove_unused(model, structure)
    needed = set(model.state_dict())
    missing = tuple(sorted(name for name in told["missing_keys"] if name in needed))
    if missing:
        raise MissingTensors(checkpoint.name, missing)
    if told["mismatched_keys"]:
        names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in told["mismatched_keys"])
        raise InvalidCheckpoint(
            checkpoint.name, f"these tensors have another shape than its configuration says: {join_words(names, 3)}"
        )
    return LoadedModel(model.eval(), _used(model, set(told["unexpected_keys"]), structure))


def random_model(config: PretrainedConfig, structure: Structure, dtype: torch.dtype) -> nn.Module:
    """Make a model with weights drawn at random."""
    build: Any = structure.model_class
    model: nn.Module = build(config, **structure.keywords)
    remove_unused(model, structure)
    return model.to(dtype).eval()


def remove_unused(model: nn.Module, structure: Structure) -> None:
    """Drop what the features do not use: blocks past the kept ones, what would run after the last of all, idle modules."""
    for path in structure.idle:
        model.set_submodule(path, nn.Identity())
    if structure.blocks is None or not structure.shortened:
        return
    del model.get_submodule(structure.blocks)[structure.kept :]  # type: ignore[operator]
    for path in structure.after:
        model.set_submodule(path, nn.Identity())


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing reports and progress; what matters is raised."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _used(model: nn.Module, unexpected: set[str], structure: Structure) -> Callable[[str], bool]:
    """Tell stored tensors that the features use from heads, poolers, left-out blocks and position indices."""
    persistent = set(model.state_dict())
    temporary = {name for name, _ in model.named_buffers()} - persistent
    dropped = f"{structure.blocks}." if structure.shortened else None

    def used(name: str) -> bool:
        if any(_ends(name, other) for other in unexpected | temporary):
            return False
        if any(f".{path}." in f".{name}" for path in structure.idle):
            return False
        if dropped is not None and f".{dropped}" in f".{name}":
            index = f".{name}".split(f".{dropped}")[1].partition(".")[0]
            return not index.isdigit() or int(index) < structure.kept
        return not (structure.shortened and any(f".{path}." in f".{name}" for path in structure.after))

    return used


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}") or end.endswith(f".{name}")
