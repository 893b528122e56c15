"""Settings of a checkpoint that would fetch or run what is not part of it: refused with a sentence, or ignored with a warning.

Only the user's ``remote_code`` is consent. Even with it, nothing is fetched from a place that only the checkpoint names.
"""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig

from taskgraft.plugin import Checkpoint, InvalidCheckpoint, TaskgraftWarning, read_json, shorten

ADAPTER = "adapter_config.json"
"""A file that makes transformers put an adapter of peft on the model."""

_ATTENTION, _EXPERTS = "_attn_implementation", "_experts_implementation"
_OWN = {_ATTENTION: ("eager", "sdpa"), _EXPERTS: ("eager", "batched_mm", "grouped_mm")}
"""Attribute of a configuration → the implementations that are part of transformers. Others are fetched or imported."""

_SOURCES = ("hf-hub:", "hf_hub:", "local-dir:")
"""Beginnings of a model name by which timm reads another folder or repository."""

_TIMM_ARGUMENTS = frozenset({"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"})
"""Arguments of timm's factory that make it read other files."""


class IgnoredSetting(TaskgraftWarning):
    """A setting of a checkpoint that is not obeyed, since it would fetch code."""


def check_files(folder: Path, checkpoint: Checkpoint) -> None:
    """Check the files of a checkpoint before transformers reads them.

    Args:
        folder: with the files.

    Raises:
        InvalidCheckpoint: if they name weights, models or quantization code from elsewhere, or need code without consent.
    """
    name = checkpoint.name
    if (folder / ADAPTER).is_file():
        raise InvalidCheckpoint(
            name,
            f"it has an adapter ({ADAPTER}), which changes its weights; merge it with merge_and_unload() of peft and save the "
            "model, or remove the file",
        )
    document = read_json(folder / "config.json") or {}
    if document.get("auto_map") and not checkpoint.remote_code and document.get("model_type") not in CONFIG_MAPPING:
        raise InvalidCheckpoint(
            name,
            "its model is Python code (auto_map in config.json), which runs only if you set remote_code = true, for a backbone "
            "that has this setting (hf-text)",
        )
    for key, value in _entries(document):
        if key in ("quantization_config", "compression_config") and value:
            method = value.get("quant_method") if isinstance(value, Mapping) else None
            kind = f" by '{shorten(str(method))}'" if method else ""
            problem = f"its weights are quantized{kind} ({key} in config.json), which needs code from elsewhere"
            raise InvalidCheckpoint(name, f"{problem}; choose the checkpoint without quantization")
        if key in ("architecture", "backbone") and isinstance(value, str) and value.startswith(_SOURCES):
            raise InvalidCheckpoint(
                name,
                f"its config.json takes a model from elsewhere ({key} = '{shorten(value)}'); name that checkpoint itself",
            )
        if key == "model_args" and isinstance(value, Mapping) and (found := sorted(_TIMM_ARGUMENTS & value.keys())):
            raise InvalidCheckpoint(
                name, f"its config.json makes timm read other files (model_args.{found[0]}); remove that"
            )
        if key == "transformers_weights" and value is not None:
            raise InvalidCheckpoint(
                name,
                f"its config.json takes the weights from another file ({key} = '{shorten(str(value))}'); remove that",
            )


def ignore_implementations(config: PretrainedConfig, name: str) -> None:
    """Reset the implementations of attention and experts that are not part of transformers, at any depth. Warns of each.

    Args:
        name: of the checkpoint, for messages.
    """
    for one in _configurations(config, set()):
        for attribute, own in _OWN.items():
            value = getattr(one, attribute, None)
            if value is not None and value not in own:
                setattr(one, attribute, None)
                warnings.warn(
                    f"The checkpoint '{name}' asks for {attribute[1:]} = '{shorten(str(value))}', whose code is not part of "
                    "transformers and would be fetched. It is ignored; the default implementation computes the same.",
                    IgnoredSetting,
                    stacklevel=1,  # one place for all, so that each checkpoint is warned about once
                )


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield all keys with their values, at any depth."""
    if isinstance(value, Mapping):
        yield from value.items()
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _entries(one)


def _configurations(config: Any, seen: set[int]) -> Iterator[PretrainedConfig]:
    """Yield a configuration and all those inside it."""
    if id(config) in seen:
        return
    seen.add(id(config))
    if isinstance(config, PretrainedConfig):
        yield config
        config = vars(config)
    if isinstance(config, Mapping | list | tuple):
        for one in config.values() if isinstance(config, Mapping) else config:
            yield from _configurations(one, seen)
