"""What a protein language model is, found out without its weights."""

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
from taskgraft_protein.processor import SEQUENCE
from taskgraft_protein.settings import NewEsmConfig, ProteinConfig, SequenceConfig
from taskgraft_transformers.weights import remove_unused
from taskgraft_transformers.runner import attention_maps
from taskgraft_transformers.structure import Structure, read_config, find_structure
from taskgraft_transformers.tokenizer import read_tokenizer, max_tokens

NEW_ESM = "new-esm"
"""What messages call a model that no checkpoint describes."""


@dataclass(frozen=True)
class ProteinModelInfo:
    """Everything about a protein backbone that is known without weights.

    Attributes:
        checkpoint: None for a model that is made from settings alone.
        length: tokens that it takes at once, as far as it states that.
    """

    checkpoint: Checkpoint | None
    model_config: PretrainedConfig
    structure: Structure
    alphabet: Alphabet
    length: int | None
    description: BackboneDescription


def inspect_model(config: ProteinConfig) -> ProteinModelInfo:
    """Find out what a protein language model is.

    Raises:
        CheckpointNotFound, InvalidCheckpoint, UnknownPart: when it cannot be.
    """
    checkpoint = Checkpoint(config.checkpoint, config.revision)
    model_config = read_config(checkpoint)
    tokenizer = read_tokenizer(checkpoint, "sequences")
    alphabet = read_alphabet(checkpoint.name, model_config, tokenizer)
    return _model_info(checkpoint, model_config, alphabet, max_tokens(model_config, tokenizer), config)


def new_esm_info(config: NewEsmConfig) -> ProteinModelInfo:
    """Make up an ESM-2 (Lin et al., 2023) of some size.

    Raises:
        UnknownPart: when ``until`` names no part.
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
        initializer_range=(2 * config.feature_size)
        ** -0.5,  # as ESM draws queries and keys; the default is for large models
        emb_layer_norm_before=False,
        token_dropout=True,
    )
    return _model_info(None, model_config, ESM, model_config.max_position_embeddings, config)


def describe(config: ProteinConfig) -> BackboneDescription:
    """Describe a protein language model from its checkpoint's configuration and vocabulary."""
    return inspect_model(config).description


def describe_new(config: NewEsmConfig) -> BackboneDescription:
    """Describe an ESM of some size."""
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
    built = find_structure(model_config, sequence(size), name)
    if "input_ids" not in inspect.signature(built.model_class.forward).parameters:
        raise InvalidCheckpoint(name, f"its model, {built.model_class.__name__}, does not read sequences")
    built = built.until(config.until)
    features: tuple[FeatureDescription, ...] = (vector(size), sequence(size))
    if config.long != "windows" and (pair := _pair_features(model_config, built)) is not None:
        features = (*features, pair)
    description = BackboneDescription(
        (InputField(SEQUENCE),),
        features,
        built.kept_parts("model"),
        built.kept_cuts(),
        can_mask=alphabet.mask is not None,
    )
    return ProteinModelInfo(checkpoint, model_config, built, alphabet, length, description)


def _pair_features(config: PretrainedConfig, built: Structure) -> FeatureDescription | None:
    """Describe attention maps, and what they do not depend on; None for a model that gives none. Tried on the meta device.

    Windows have none: of two residues that lie in no common window nothing would be known.
    """
    key = (type(config), config.to_json_string(use_diff=False), built.kept)
    if key not in _PAIRS:
        _PAIRS[key] = _probe_pair_features(config, built)
    return _PAIRS[key]


_PAIRS: dict[tuple[object, ...], FeatureDescription | None] = {}


def _probe_pair_features(config: PretrainedConfig, built: Structure) -> FeatureDescription | None:
    if built.blocks is None:
        return None
    with torch.device("meta"):
        model = built.model_class(config, **built.keywords)
        remove_unused(model, built)
        try:
            found = attention_maps(model.eval(), torch.ones(1, 4, dtype=torch.int64))
        except Exception:  # a model without attention has no maps
            return None
    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(found.sum(), list(named.values()), allow_unused=True)
    unused = tuple(f"model.{name}" for name, one in zip(named, gradients, strict=True) if one is None)
    return FeatureDescription(Layout.PAIR, (found.shape[-1],), unused=unused, cacheable=False)
