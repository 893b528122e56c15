"""The FT-Transformer (Gorishniy et al. 2021) of the library rtdl_revisiting_models.

The library's own pass asks its last block for the CLS element alone and gives nothing else. Here the loop is written from its
pieces, so that every block can attend over all columns and the columns come out too.
"""

from collections.abc import Sequence

import torch
from rtdl_revisiting_models import FTTransformer
from torch import Tensor, nn

from taskgraft.plugin import Layout
from taskgraft_fraud.backbone import TableBackbone, TableModel, shape_of
from taskgraft_fraud.description import describe_ft_transformer
from taskgraft_fraud.settings import CategoryColumn, Column, FTTransformerConfig


def build(config: FTTransformerConfig) -> TableBackbone:
    """Build an FT-Transformer with weights drawn at random.

    Raises:
        NoTableYet: when its columns are not known.
    """
    return TableBackbone(FTTransformerModel(config), describe_ft_transformer(config), config)


class FTTransformerModel(TableModel):
    """Columns as elements behind a CLS element: ``(batch, 1 + column, feature)``.

    A column that becomes several numbers (a time, a sign for a missing value) is the sum of their embeddings.
    """

    def __init__(self, config: FTTransformerConfig):
        super().__init__()
        numbers, sizes = shape_of(config, "ft-transformer")
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
        columns = _columns_of(config.learned or ())
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        self._count = len(config.learned or ())
        self._in_order = columns == list(range(self._count))

    def embed(self, numbers: Tensor | None, categories: Tensor | None) -> Tensor:
        model = self.transformer
        pairs = ((model.cont_embeddings, numbers), (model.cat_embeddings, categories))
        pieces = [module(cells) for module, cells in pairs if module is not None]
        first = pieces[0]
        cls = model.cls_embedding(first.shape[:1])
        if self._in_order:
            return torch.cat([cls, *pieces], dim=1)
        together = torch.cat(pieces, dim=1)
        summed = together.new_zeros(len(together), self._count, together.shape[-1]).index_add(1, self.columns, together)
        return torch.cat([cls, summed], dim=1)

    def run(self, block: int, hidden: Tensor, layout: Layout) -> Tensor:
        pieces = self.transformer.backbone.blocks[block]
        last = block + 1 == len(self.transformer.backbone.blocks)
        asking = slice(0, 1) if last and layout == Layout.VECTOR else slice(None)
        read = pieces["attention_normalization"](hidden) if "attention_normalization" in pieces else hidden
        attended = pieces["attention"](read[:, asking], read)
        hidden = hidden[:, asking] + pieces["attention_residual_dropout"](attended)
        changed = pieces["ffn"](pieces["ffn_normalization"](hidden))
        return hidden + pieces["ffn_residual_dropout"](changed)  # type: ignore[no-any-return]

    def read(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Norm and ReLU, as the library puts before its own linear head: CLS, or the columns."""
        wanted = hidden[:, 0] if layout == Layout.VECTOR else hidden[:, 1:]
        return torch.relu(self.norm(wanted))


def _columns_of(columns: Sequence[Column]) -> list[int]:
    """Say to which column each number, and then each category, belongs, in the order in which the library embeds them."""
    numbers, categories = [], []
    for place, column in enumerate(columns):
        if isinstance(column, CategoryColumn):
            categories.append(place)
        else:
            numbers += [place] * (column.size + column.sign)
    return numbers + categories
