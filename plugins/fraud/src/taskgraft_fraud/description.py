"""What each table backbone is, known from its settings alone; no torch."""

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
    """Count the numbers that a row becomes, the signs for missing values among them; None before columns are known."""
    if config.learned is None:
        return None
    count = 0
    for column in config.learned:
        if not isinstance(column, CategoryColumn):
            count += column.size + column.sign
    return count


def category_sizes(config: TableConfig) -> tuple[int, ...] | None:
    """Count the places of each column of categories; None before columns are known."""
    if config.learned is None:
        return None
    return tuple(column.size for column in config.learned if isinstance(column, CategoryColumn))


def describe_ft_transformer(config: FTTransformerConfig) -> BackboneDescription:
    """Describe a Transformer over columns: emits a vector, and a sequence with an element per column."""
    whole = sequence(config.feature_size)
    attention = {"W_q": LayerRole.QUERY, "W_k": LayerRole.KEY, "W_v": LayerRole.VALUE}
    if config.attention_heads > 1:
        attention["W_out"] = LayerRole.ATTENTION_OUTPUT
    roles = {f"attention.{name}": role for name, role in attention.items()}
    roles |= {"ffn.linear1": LayerRole.FEED_FORWARD_IN, "ffn.linear2": LayerRole.FEED_FORWARD_OUT}
    embeddings = [f"transformer.{name}" for name in _present(config, "cont_embeddings", "cat_embeddings")]
    found = _described(
        (vector(config.feature_size), whole),
        _parts(
            "transformer.backbone.blocks",
            config.blocks,
            whole,
            roles,
            ["transformer.cls_embedding", *embeddings, "columns"],
            ["norm"],
        ),
    )
    return replace(found, can_mask=config.hides)


def describe_tabular_resnet(config: TabularResNetConfig) -> BackboneDescription:
    """Describe a residual network over all columns together."""
    output = vector(config.feature_size)
    roles = {"linear1": LayerRole.FEED_FORWARD_IN, "linear2": LayerRole.FEED_FORWARD_OUT}
    first = [*_present(config, None, "categories"), "resnet.input_projection"]
    return _described((output,), _parts("resnet.blocks", config.blocks, output, roles, first, ["norm"]))


def describe_mlp_plr(config: MlpPlrConfig) -> BackboneDescription:
    """Describe a multilayer perceptron over periodic embeddings of the numbers."""
    output = vector(config.feature_size)
    first = _present(config, "numbers", "categories")
    return _described(
        (output,), _parts("mlp.blocks", config.blocks, output, {"linear": LayerRole.FEED_FORWARD_IN}, first, [])
    )


def describe_tabm(config: TabMConfig) -> BackboneDescription:
    """Describe an ensemble of multilayer perceptrons. No layer has a role: a linear layer here is one for each member."""
    output = vector(config.feature_size, config.members)
    first = _present(config, None, "tabm.cat_module")
    return _described((output,), _parts("tabm.backbone.blocks", config.blocks, output, {}, first, []))


def _present(config: TableConfig, numbers: str | None, categories: str | None) -> list[str]:
    """Name the modules that read numbers and categories, where there are such columns."""
    kinds = ((numbers, number_count(config)), (categories, category_sizes(config)))
    return [name for name, some in kinds if name is not None and (some is None or some)]


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
        roles: of the layers of a block; where there are none, a block is one module that gives what leaves its part.
        first: what belongs to the first part as well, and ``last``: to the last.
    """
    parts = []
    for number in range(count):
        block = f"{blocks}.{number}"
        owns = [*(first if number == 0 else ()), block, *(last if number == count - 1 else ())]
        found = {f"model.{block}.{path}": role for path, role in roles.items()}
        whole = None if roles else f"model.{block}"
        parts.append(Part(f"blocks.{number}", tuple(f"model.{path}" for path in owns), output, found, whole))
    return tuple(parts)


def _described(features: tuple[FeatureDescription, ...], parts: tuple[Part, ...]) -> BackboneDescription:
    return BackboneDescription(inputs=(), features=features, parts=parts, cuts=tuple(range(len(parts))))
