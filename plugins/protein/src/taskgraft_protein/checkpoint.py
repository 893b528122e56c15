"""What is known of a protein language model without its weights."""

import inspect
from dataclasses import dataclass

import torch
from transformers import EsmConfig, PretrainedConfig

from taskgraft.plugin import (
    BackboneDescription,
    Checkpoint,
    FeatureDescription,
    InputField,
    InvalidCheckpoint,
    Layout,
    sequence,
    translate_errors,
    vector,
)
from taskgraft_protein.alphabet import ESM, Alphabet, read_alphabet
from taskgraft_protein.processor import SEQUENCE, LengthLimit
from taskgraft_protein.settings import NewEsmConfig, ProteinConfig, SequenceConfig
from taskgraft_transformers.runner import attention_maps
from taskgraft_transformers.structure import Structure, find_structure, read_config
from taskgraft_transformers.tokenizer import check_vocabulary, max_tokens, read_tokenizer
from taskgraft_transformers.weights import remove_unused

DEFAULT_LENGTH = 2_048
"""Residues per forward pass of a model that states no limit (T5)."""

NEW_ESM = "new-esm"
"""What error messages call a model without a checkpoint."""


@dataclass(frozen=True)
class ProteinModelInfo:
    """Everything that is known of a protein backbone without weights.

    Attributes:
        checkpoint: None for a model that is built from settings alone.
        limit: how many residues go through the model at once, and what is done with a longer sequence.
    """

    checkpoint: Checkpoint | None
    model_config: PretrainedConfig
    structure: Structure
    alphabet: Alphabet
    limit: LengthLimit
    description: BackboneDescription


def inspect_model(config: ProteinConfig) -> ProteinModelInfo:
    """Read the configuration and the vocabulary of a checkpoint and find the structure of its model.

    Raises:
        CheckpointNotFound, InvalidCheckpoint, UnknownPart: if the checkpoint cannot be used with these settings.
    """
    checkpoint = Checkpoint(config.checkpoint, config.revision)
    model_config = read_config(checkpoint)
    tokenizer = read_tokenizer(checkpoint, "sequences")
    alphabet = read_alphabet(checkpoint.name, model_config, tokenizer)
    info = _model_info(checkpoint, model_config, alphabet, max_tokens(model_config, tokenizer), config)
    check_vocabulary(checkpoint, tokenizer, info.structure.embeddings)
    return info


def new_esm_info(config: NewEsmConfig) -> ProteinModelInfo:
    """Configure an ESM-2 (Lin et al., 2023) of the size that the settings say.

    Raises:
        UnknownPart: if ``until`` names no part.
    """
    model_config = EsmConfig(
        vocab_size=33,
        mask_token_id=ESM.mask,
        pad_token_id=ESM.padding,
        hidden_size=config.feature_size,
        num_hidden_layers=config.blocks,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.feature_size,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=1_024,  # tokens at once; rotary positions have no table
        position_embedding_type="rotary",
        # as ESM initializes queries and keys; the default of transformers is for large models
        initializer_range=(2 * config.feature_size) ** -0.5,
        emb_layer_norm_before=False,
        token_dropout=True,
    )
    return _model_info(None, model_config, ESM, model_config.max_position_embeddings, config)


def describe(config: ProteinConfig) -> BackboneDescription:
    """Describe a protein language model from its checkpoint's configuration and vocabulary."""
    return inspect_model(config).description


def describe_new(config: NewEsmConfig) -> BackboneDescription:
    """Describe a new ESM."""
    return new_esm_info(config).description


def _model_info(
    checkpoint: Checkpoint | None,
    model_config: PretrainedConfig,
    alphabet: Alphabet,
    length: int | None,
    config: SequenceConfig,
) -> ProteinModelInfo:
    name = NEW_ESM if checkpoint is None else checkpoint.name
    model_config.use_cache = False
    with translate_errors(name, "its configuration"):
        size = int(model_config.hidden_size)
    structure = find_structure(model_config, sequence(size), name)
    if "input_ids" not in inspect.signature(structure.model_class.forward).parameters:
        raise InvalidCheckpoint(name, f"its model, {structure.model_class.__name__}, does not read sequences")
    structure = structure.truncate(config.until)
    features: tuple[FeatureDescription, ...] = (vector(size), sequence(size))
    if config.long != "windows" and (pair := _pair_features(model_config, structure)) is not None:
        features = (*features, pair)
    description = BackboneDescription(
        (InputField(SEQUENCE),),
        features,
        structure.kept_parts("model"),
        structure.kept_cuts(),
        can_mask=alphabet.mask is not None,
    )
    limit = _length_limit(name, config, alphabet.special, length, structure.positions)
    return ProteinModelInfo(checkpoint, model_config, structure, alphabet, limit, description)


def _length_limit(
    name: str, config: SequenceConfig, special: int, length: int | None, positions: int | None
) -> LengthLimit:
    """Decide how many residues go through a model at once.

    Args:
        special: the number of special tokens around a sequence.
        length: the number of tokens that it states as its limit, if any.
        positions: the number of tokens that it has positions for, if it has a table of positions.

    Raises:
        InvalidCheckpoint: if ``max_length`` is more than there are positions for.
    """
    limits = [limit for limit in (length, positions) if limit is not None]
    residues = config.max_length or (min(limits) - special if limits else DEFAULT_LENGTH)
    if positions is not None and residues > positions - special:
        problem = f"it has positions for {positions - special:,} residues, fewer than max_length = {residues:,}"
        raise InvalidCheckpoint(name, problem)
    return LengthLimit(
        residues, config.long, residues // 4 if config.overlap is None else min(config.overlap, residues - 1)
    )


def _pair_features(config: PretrainedConfig, structure: Structure) -> FeatureDescription | None:
    """Describe the attention maps as pair features; None for a model without any. Results are cached.

    Models that read windows have no pair features, since two residues without a common window have no attention.
    """
    key = (type(config), config.to_json_string(use_diff=False), structure.kept)
    if key not in _PAIR_CACHE:
        _PAIR_CACHE[key] = _try_attention_maps(config, structure)
    return _PAIR_CACHE[key]


_PAIR_CACHE: dict[tuple[object, ...], FeatureDescription | None] = {}


def _try_attention_maps(config: PretrainedConfig, structure: Structure) -> FeatureDescription | None:
    """Compute attention maps on the meta device, to count them and to find the parameters that they do not use."""
    if structure.blocks is None:
        return None
    with torch.device("meta"):
        model = structure.model_class(config, **structure.init_kwargs)
        remove_unused(model, structure)
        try:
            maps = attention_maps(model.eval(), torch.ones(1, 4, dtype=torch.int64))
        except Exception:  # a model without attention fails in its own way
            return None
    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(maps.sum(), list(named.values()), allow_unused=True)
    unused = tuple(f"model.{name}" for name, one in zip(named, gradients, strict=True) if one is None)
    return FeatureDescription(Layout.PAIR, (maps.shape[-1],), unused=unused, cacheable=False)
