"""The FT-Transformer (Gorishniy et al. 2021) from the library rtdl_revisiting_models.

The library's own forward pass computes and returns only the CLS element in the last block. Here the loop runs over its
blocks, so that every block can attend over all columns and the columns are features too.
"""

from collections.abc import Sequence

import torch
from rtdl_revisiting_models import FTTransformer
from torch import Tensor, nn

from taskgraft.plugin import Layout
from taskgraft_fraud.backbone import TableBackbone, TableModel, input_sizes
from taskgraft_fraud.description import describe_ft_transformer
from taskgraft_fraud.settings import CategoryColumn, Column, FTTransformerConfig


def build(config: FTTransformerConfig) -> TableBackbone:
    """Build an FT-Transformer at random initialization. Raises FraudError before the columns are fitted."""
    return TableBackbone(FTTransformerModel(config), describe_ft_transformer(config), config)


class FTTransformerModel(TableModel):
    """Maps columns to elements after a CLS element: ``(batch, 1 + column, feature)``.

    A column of several numbers (a time, a missing indicator) is the sum of their embeddings.
    """

    def __init__(self, config: FTTransformerConfig):
        super().__init__()
        numbers, sizes = input_sizes(config, "ft-transformer")
        self.transformer = FTTransformer(
            n_cont_features=numbers,
            cat_cardinalities=list(sizes),
            d_out=None,
            n_blocks=config.blocks,
            d_block=config.feature_size,
            attention_n_heads=config.attention_heads,
            attention_dropout=config.attention_dropout,
            ffn_d_hidden=max(1, round(config.feature_size * config.feed_forward)),
            ffn_d_hidden_multiplier=None,
            ffn_dropout=config.feed_forward_dropout,
            residual_dropout=config.residual_dropout,
        )
        self.norm = nn.LayerNorm(config.feature_size)
        self.columns: Tensor
        columns = _column_of_each_input(config.learned or ())
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        self._count = len(config.learned or ())
        self._in_order = columns == list(range(self._count))

    def embed(self, numbers: Tensor | None, categories: Tensor | None) -> Tensor:
        model = self.transformer
        pairs = ((model.cont_embeddings, numbers), (model.cat_embeddings, categories))
        embeddings = torch.cat([module(cells) for module, cells in pairs if module is not None], dim=1)
        cls = model.cls_embedding(embeddings.shape[:1])
        if not self._in_order:
            zeros = embeddings.new_zeros(len(embeddings), self._count, embeddings.shape[-1])
            embeddings = zeros.index_add(1, self.columns, embeddings)
        return torch.cat([cls, embeddings], dim=1)

    def run_block(self, block: int, hidden: Tensor, layout: Layout) -> Tensor:
        modules = self.transformer.backbone.blocks[block]
        last = block + 1 == len(self.transformer.backbone.blocks)
        queries = slice(0, 1) if last and layout == Layout.VECTOR else slice(None)
        normed = modules["attention_normalization"](hidden) if "attention_normalization" in modules else hidden
        attended = modules["attention"](normed[:, queries], normed)
        hidden = hidden[:, queries] + modules["attention_residual_dropout"](attended)
        fed_forward = modules["ffn"](modules["ffn_normalization"](hidden))
        return hidden + modules["ffn_residual_dropout"](fed_forward)  # type: ignore[no-any-return]

    def to_features(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Select the CLS element or the columns; apply norm and ReLU, as the library does before its own linear head."""
        return torch.relu(self.norm(hidden[:, 0] if layout == Layout.VECTOR else hidden[:, 1:]))


def _column_of_each_input(columns: Sequence[Column]) -> list[int]:
    """Give the column index of each number, then of each category, in the order in which the library embeds them."""
    numbers, categories = [], []
    for index, column in enumerate(columns):
        if isinstance(column, CategoryColumn):
            categories.append(index)
        else:
            numbers += [index] * (column.size + column.sign)
    return numbers + categories
