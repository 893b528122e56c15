"""What a text checkpoint says of itself: pooling, length, pairs; and its description, without weights."""

import inspect
import json
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
    read_json,
    sequence,
    translate_errors,
    vector,
)
from taskgraft_text.settings import Pair, Pooling, TextConfig
from taskgraft_transformers.structure import Structure, read_config, find_structure
from taskgraft_transformers.tokenizer import read_tokenizer

TEXT, SECOND = "text", "text_pair"
"""The input roles of a text backbone."""

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


@dataclass(frozen=True)
class SentenceTransformersSettings:
    """How a sentence-transformers folder wants to be used; an ordinary checkpoint says nothing."""

    sentences: bool = False
    pooling: Pooling | None = None
    normalize: bool = False
    max_length: int | None = None


@dataclass(frozen=True)
class TextModelInfo:
    """Everything about a text backbone that is known without weights."""

    checkpoint: Checkpoint
    model_config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    structure: Structure
    description: BackboneDescription
    pooling: Pooling
    normalize: bool
    pair: Pair
    max_length: int | None


def inspect_model(config: TextConfig) -> TextModelInfo:
    """Find out what a text backbone is.

    Raises:
        CheckpointNotFound, InvalidCheckpoint, UnknownPart: when it cannot be.
    """
    checkpoint = Checkpoint(config.checkpoint, config.revision, config.remote_code)
    model_config = read_config(checkpoint)
    model_config.use_cache = False
    with translate_errors(config.checkpoint, "its configuration"):
        size = int(model_config.get_text_config().hidden_size)
    built = find_structure(model_config, sequence(size), config.checkpoint, config.remote_code)
    if "input_ids" not in inspect.signature(built.model_class.forward).parameters:
        raise InvalidCheckpoint(config.checkpoint, f"its model, {built.model_class.__name__}, does not read text")
    built = built.until(config.until)
    tokenizer = read_tokenizer(checkpoint, "texts")
    manner = _read_sentence_transformers(checkpoint.folder())
    own = getattr(model_config, "classifier_pooling", None)
    usual = Pooling(own) if own in ("cls", "mean") else Pooling.LAST if built.causal else Pooling.MEAN
    pair = config.pair or Pair.NONE
    return TextModelInfo(
        checkpoint,
        model_config,
        tokenizer,
        built,
        _description(built, size, config.pair, masks=tokenizer.mask_token_id is not None and not built.causal),
        config.pooling or manner.pooling or usual,
        manner.normalize if config.normalize is None else config.normalize,
        pair,
        config.max_length or manner.max_length,
    )


def describe(config: TextConfig) -> BackboneDescription:
    """Describe a text backbone from its checkpoint's configuration."""
    return inspect_model(config).description


def fit_config(config: TextConfig, inputs: Columns) -> TextConfig:
    """Decide what becomes of a second text, once it is known whether there is one."""
    if SECOND not in inputs:
        return config.model_copy(update={"pair": Pair.NONE})
    if config.pair is not None:
        return config
    sentences = _read_sentence_transformers(Checkpoint(config.checkpoint, config.revision).folder()).sentences
    return config.model_copy(update={"pair": Pair.APART if sentences else Pair.TOGETHER})


def _description(built: Structure, size: int, pair: Pair | None, *, masks: bool) -> BackboneDescription:
    """Describe it. Elements of pairs are not hidden, for where one text ends and the other begins is told apart from them."""
    features: tuple[FeatureDescription, ...] = (vector(size), sequence(size))
    if pair == Pair.APART:
        features = (vector(4 * size),)
    first, second = InputField(TEXT), InputField(SECOND, required=pair is not None)
    inputs = (first,) if pair == Pair.NONE else (first, second)
    hides = masks and pair in (None, Pair.NONE)
    return BackboneDescription(inputs, features, built.kept_parts("model"), built.kept_cuts(), can_mask=hides)


def _read_sentence_transformers(folder: Path) -> SentenceTransformersSettings:
    """Read what a sentence-transformers folder says: modules.json is a list of modules, each with a folder."""
    modules = folder / "modules.json"
    if not modules.is_file():
        return SentenceTransformersSettings()
    try:
        entries: list[dict[str, Any]] = json.loads(modules.read_text(encoding="utf-8"))
        kinds = {str(entry["type"]).rpartition(".")[2]: str(entry["path"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidCheckpoint(str(folder), f"modules.json cannot be read ({error})") from None
    if strange := sorted(kinds.keys() - {"Transformer", "Pooling", "Normalize"}):
        raise InvalidCheckpoint(str(folder), f"its sentence-transformers module '{strange[0]}' is not known")
    path = kinds.get("Pooling", "")
    inside = (folder / path).resolve().is_relative_to(folder.resolve())
    settings = (read_json(folder / path / "config.json") if path and inside else None) or {}
    stated = read_json(folder / "sentence_bert_config.json") or {}
    length = stated.get("max_seq_length")
    return SentenceTransformersSettings(
        True, _sentence_pooling(folder, settings), "Normalize" in kinds, length if isinstance(length, int) else None
    )


def _sentence_pooling(folder: Path, settings: dict[str, Any]) -> Pooling | None:
    modes = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True]
    if isinstance(settings.get("pooling_mode"), str):
        modes = [settings["pooling_mode"]]
    if not modes:
        return None
    if len(modes) > 1 or modes[0] not in _SENTENCE_POOLING:
        raise InvalidCheckpoint(str(folder), f"its pooling ({', '.join(modes)}) is not known; set pooling yourself")
    return _SENTENCE_POOLING[modes[0]]
