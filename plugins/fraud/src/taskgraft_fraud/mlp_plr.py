"""A multilayer perceptron over periodic embeddings of the numbers (Gorishniy et al. 2022, "PLR"), from the rtdl libraries."""

import torch
from rtdl_num_embeddings import PeriodicEmbeddings
from rtdl_revisiting_models import MLP, CategoricalEmbeddings
from torch import Tensor

from taskgraft.plugin import Layout
from taskgraft_fraud.backbone import TableBackbone, TableModel, input_sizes
from taskgraft_fraud.description import describe_mlp_plr
from taskgraft_fraud.settings import MlpPlrConfig


def build(config: MlpPlrConfig) -> TableBackbone:
    """Build a multilayer perceptron at random initialization. Raises FraudError before the columns are fitted."""
    return TableBackbone(MlpPlrModel(config), describe_mlp_plr(config), config)


class MlpPlrModel(TableModel):
    """Maps all columns to one vector: ``(batch, feature)``."""

    def __init__(self, config: MlpPlrConfig):
        super().__init__()
        numbers, sizes = input_sizes(config, "mlp-plr")
        self.numbers = None
        if numbers:
            self.numbers = PeriodicEmbeddings(
                numbers,
                config.embedding_size,
                n_frequencies=config.frequencies,
                frequency_init_scale=config.frequency_scale,
                lite=False,
            )
        self.categories = CategoricalEmbeddings(list(sizes), config.category_size) if sizes else None
        self.mlp = MLP(
            d_in=numbers * config.embedding_size + len(sizes) * config.category_size,
            d_out=None,
            n_blocks=config.blocks,
            d_block=config.feature_size,
            dropout=config.dropout,
        )

    def embed(self, numbers: Tensor | None, categories: Tensor | None) -> Tensor:
        pairs = ((self.numbers, numbers), (self.categories, categories))
        return torch.cat([module(cells).flatten(1) for module, cells in pairs if module is not None], dim=1)

    def run_block(self, block: int, hidden: Tensor, layout: Layout) -> Tensor:
        return self.mlp.blocks[block](hidden)  # type: ignore[no-any-return]

    def to_features(self, hidden: Tensor, layout: Layout) -> Tensor:
        return hidden
