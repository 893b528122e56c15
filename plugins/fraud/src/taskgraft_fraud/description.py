"""The description of each table backbone, from its settings alone; no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from taskgraft.plugin import BackboneDescription, FeatureDescription, LayerRole, Part, sequence, vector
from taskgraft_fraud.settings import (
    CategoryColumn,
    FTTransformerConfig,
    MlpPlrConfig,
    TableConfig,
    TabMConfig,
    TabularResNetConfig,
)


def number_count(config: TableConfig) -> int | None:
    """Count the numeric features of a row, including missing indicators; None before a fit."""
    if config.learned is None:
        return None
    count = 0
    for column in config.learned:
        if not isinstance(column, CategoryColumn):
            count += column.size + column.sign
    return count


def category_sizes(config: TableConfig) -> tuple[int, ...] | None:
    """Count the category indices of each categorical column; None before a fit."""
    if config.learned is None:
        return None
    return tuple(column.size for column in config.learned if isinstance(column, CategoryColumn))


def describe_ft_transformer(config: FTTransformerConfig) -> BackboneDescription:
    """Describe a Transformer over columns. It emits a vector, and a sequence with one element per column."""
    output = sequence(config.feature_size)
    attention = {"W_q": LayerRole.QUERY, "W_k": LayerRole.KEY, "W_v": LayerRole.VALUE}
    if config.attention_heads > 1:
        attention["W_out"] = LayerRole.ATTENTION_OUTPUT
    roles = {f"attention.{name}": role for name, role in attention.items()}
    roles |= {"ffn.linear1": LayerRole.FEED_FORWARD_IN, "ffn.linear2": LayerRole.FEED_FORWARD_OUT}
    embeddings = [f"transformer.{name}" for name in _input_modules(config, "cont_embeddings", "cat_embeddings")]
    first = ["transformer.cls_embedding", *embeddings, "columns"]
    parts = _parts("transformer.backbone.blocks", config.blocks, output, roles, first, ["norm"])
    return replace(_description((vector(config.feature_size), output), parts), can_mask=config.hides)


def describe_tabular_resnet(config: TabularResNetConfig) -> BackboneDescription:
    """Describe a residual network over all columns together."""
    output = vector(config.feature_size)
    roles = {"linear1": LayerRole.FEED_FORWARD_IN, "linear2": LayerRole.FEED_FORWARD_OUT}
    first = [*_input_modules(config, None, "categories"), "resnet.input_projection"]
    return _description((output,), _parts("resnet.blocks", config.blocks, output, roles, first, ["norm"]))


def describe_mlp_plr(config: MlpPlrConfig) -> BackboneDescription:
    """Describe a multilayer perceptron over periodic embeddings of the numbers."""
    output = vector(config.feature_size)
    first = _input_modules(config, "numbers", "categories")
    return _description(
        (output,), _parts("mlp.blocks", config.blocks, output, {"linear": LayerRole.FEED_FORWARD_IN}, first, [])
    )


def describe_tabm(config: TabMConfig) -> BackboneDescription:
    """Describe an ensemble of multilayer perceptrons. No layer has a role, since each linear layer is one per member."""
    output = vector(config.feature_size, config.members)
    first = _input_modules(config, None, "tabm.cat_module")
    return _description((output,), _parts("tabm.backbone.blocks", config.blocks, output, {}, first, []))


def _input_modules(config: TableConfig, numbers: str | None, categories: str | None) -> list[str]:
    """Name the modules that embed numbers and categories, if there are such columns (before a fit: all)."""
    sizes = ((numbers, number_count(config)), (categories, category_sizes(config)))
    return [name for name, size in sizes if name is not None and (size is None or size)]


def _parts(
    blocks: str,
    count: int,
    output: FeatureDescription,
    roles: Mapping[str, LayerRole],
    first: Iterable[str],
    last: Iterable[str],
) -> tuple[Part, ...]:
    """Describe one part per block.

    Args:
        roles: of the layers of a block; if empty, the block itself is the output module of its part.
        first, last: modules that belong to the first and to the last part as well.
    """
    parts = []
    for number in range(count):
        block = f"{blocks}.{number}"
        owns = [*(first if number == 0 else ()), block, *(last if number == count - 1 else ())]
        layer_roles = {f"model.{block}.{path}": role for path, role in roles.items()}
        output_module = None if roles else f"model.{block}"
        parts.append(
            Part(f"blocks.{number}", tuple(f"model.{path}" for path in owns), output, layer_roles, output_module)
        )
    return tuple(parts)


def _description(features: tuple[FeatureDescription, ...], parts: tuple[Part, ...]) -> BackboneDescription:
    return BackboneDescription(inputs=(), features=features, parts=parts, cuts=tuple(range(len(parts))))
