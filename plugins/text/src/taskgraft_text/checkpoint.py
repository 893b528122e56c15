"""What is known of a text checkpoint without its weights: pooling, length, pairs, and its description."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from taskgraft.plugin import (
    BackboneDescription,
    Checkpoint,
    Columns,
    FeatureDescription,
    InputField,
    InvalidCheckpoint,
    parse_json,
    read_json,
    read_small_file,
    sequence,
    translate_errors,
    vector,
)
from taskgraft_text.settings import Pair, Pooling, TextConfig
from taskgraft_transformers.structure import Structure, find_structure, read_config
from taskgraft_transformers.tokenizer import check_vocabulary, max_tokens, read_tokenizer

TEXT, SECOND = "text", "text_pair"
"""The input roles of a text backbone."""

DEFAULT_LENGTH = 512
"""Tokens per text if a checkpoint states no limit."""

MAX_MODULES = 1_000_000
"""Bytes of modules.json, which has a line or two for each module."""

_SENTENCE_POOLING = {
    "pooling_mode_cls_token": Pooling.CLS,
    "pooling_mode_max_tokens": Pooling.MAX,
    "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_lasttoken": Pooling.LAST,
    "cls": Pooling.CLS,
    "max": Pooling.MAX,
    "mean": Pooling.MEAN,
    "lasttoken": Pooling.LAST,
}
"""Names of poolings in sentence-transformers folders."""


@dataclass(frozen=True)
class SentenceTransformersSettings:
    """What a sentence-transformers folder states; a plain checkpoint states none of it."""

    sentences: bool = False
    pooling: Pooling | None = None
    normalize: bool = False
    max_length: int | None = None


@dataclass(frozen=True)
class TextModelInfo:
    """Everything that is known of a text backbone without weights.

    Attributes:
        length: the number of tokens that the checkpoint takes at once; None if it states no limit.
        max_length: the number of tokens that a text is cut to.
    """

    checkpoint: Checkpoint
    model_config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    structure: Structure
    description: BackboneDescription
    pooling: Pooling
    normalize: bool
    pair: Pair
    length: int | None
    max_length: int


def inspect_model(config: TextConfig) -> TextModelInfo:
    """Read the configuration and the tokenizer of a checkpoint and find the structure of its model.

    Raises:
        CheckpointNotFound, InvalidCheckpoint, UnknownPart: if the checkpoint cannot be used.
    """
    checkpoint = Checkpoint(config.checkpoint, config.revision, config.remote_code)
    model_config = read_config(checkpoint)
    model_config.use_cache = False
    with translate_errors(config.checkpoint, "its configuration"):
        size = int(model_config.get_text_config().hidden_size)
    structure = find_structure(model_config, sequence(size), config.checkpoint, config.remote_code)
    if "input_ids" not in inspect.signature(structure.model_class.forward).parameters:
        raise InvalidCheckpoint(config.checkpoint, f"its model, {structure.model_class.__name__}, does not read text")
    structure = structure.truncate(config.until)
    tokenizer = read_tokenizer(checkpoint, "texts")
    check_vocabulary(checkpoint, tokenizer, structure.embeddings)
    stated = _read_sentence_transformers(checkpoint.folder())
    can_mask = tokenizer.mask_token_id is not None and not structure.causal
    length = _smallest(max_tokens(model_config, tokenizer), structure.positions)
    return TextModelInfo(
        checkpoint,
        model_config,
        tokenizer,
        structure,
        _description(structure, size, config.pair, can_mask=can_mask),
        config.pooling or stated.pooling or _default_pooling(model_config, structure),
        stated.normalize if config.normalize is None else config.normalize,
        config.pair or Pair.NONE,
        length,
        _smallest(config.max_length or stated.max_length, length) or DEFAULT_LENGTH,
    )


def describe(config: TextConfig) -> BackboneDescription:
    """Describe a text backbone from its checkpoint's configuration."""
    return inspect_model(config).description


def fit_config(config: TextConfig, inputs: Columns) -> TextConfig:
    """Set ``pair`` once it is known whether there is a second text.

    Raises:
        InvalidCheckpoint: if ``max_length`` is more than the checkpoint takes at once.
    """
    length = inspect_model(config).length
    if config.max_length is not None and length is not None and config.max_length > length:
        raise InvalidCheckpoint(
            config.checkpoint,
            f"it takes {length:,} tokens at once, fewer than max_length = {config.max_length:,}; choose {length} or less, or "
            "leave max_length out",
        )
    if SECOND not in inputs:
        return config.model_copy(update={"pair": Pair.NONE})
    if config.pair is not None:
        return config
    sentences = _read_sentence_transformers(Checkpoint(config.checkpoint, config.revision).folder()).sentences
    return config.model_copy(update={"pair": Pair.APART if sentences else Pair.TOGETHER})


def _smallest(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _default_pooling(model_config: PretrainedConfig, structure: Structure) -> Pooling:
    stated = getattr(model_config, "classifier_pooling", None)
    if stated in ("cls", "mean"):
        return Pooling(stated)
    return Pooling.LAST if structure.causal else Pooling.MEAN


def _description(structure: Structure, size: int, pair: Pair | None, *, can_mask: bool) -> BackboneDescription:
    """Describe the backbone. Pairs cannot be masked, since the border between their texts must stay visible."""
    features: tuple[FeatureDescription, ...] = (vector(size), sequence(size))
    if pair == Pair.APART:
        features = (vector(4 * size),)
    first, second = InputField(TEXT), InputField(SECOND, required=pair is not None)
    inputs = (first,) if pair == Pair.NONE else (first, second)
    return BackboneDescription(
        inputs,
        features,
        structure.kept_parts("model"),
        structure.kept_cuts(),
        can_mask=can_mask and pair in (None, Pair.NONE),
    )


def _read_sentence_transformers(folder: Path) -> SentenceTransformersSettings:
    """Read the settings of a sentence-transformers folder: modules.json is a list of modules, each with a folder."""
    modules = folder / "modules.json"
    if not modules.exists():
        return SentenceTransformersSettings()
    with translate_errors(str(folder), "modules.json"):
        entries: list[dict[str, Any]] = parse_json(read_small_file(modules, MAX_MODULES))
        paths = {str(entry["type"]).rpartition(".")[2]: str(entry["path"]) for entry in entries}
    if unknown := sorted(paths.keys() - {"Transformer", "Pooling", "Normalize"}):
        raise InvalidCheckpoint(str(folder), f"its sentence-transformers module '{unknown[0]}' is not supported")
    path = paths.get("Pooling", "")
    inside = (folder / path).resolve().is_relative_to(folder.resolve())
    pooling = (read_json(folder / path / "config.json") if path and inside else None) or {}
    length = (read_json(folder / "sentence_bert_config.json") or {}).get("max_seq_length")
    return SentenceTransformersSettings(
        True, _sentence_pooling(folder, pooling), "Normalize" in paths, length if isinstance(length, int) else None
    )


def _sentence_pooling(folder: Path, settings: dict[str, Any]) -> Pooling | None:
    modes = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True]
    if isinstance(settings.get("pooling_mode"), str):
        modes = [settings["pooling_mode"]]
    if not modes:
        return None
    if len(modes) > 1 or modes[0] not in _SENTENCE_POOLING:
        problem = f"its pooling ({', '.join(modes)}) is not supported; choose one with the setting 'pooling'"
        raise InvalidCheckpoint(str(folder), problem)
    return _SENTENCE_POOLING[modes[0]]
