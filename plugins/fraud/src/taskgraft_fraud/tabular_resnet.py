"""The residual network for tables (Gorishniy et al. 2021) of the library rtdl_revisiting_models."""

import torch
from rtdl_revisiting_models import CategoricalEmbeddings, ResNet
from torch import Tensor, nn

from taskgraft.plugin import Layout
from taskgraft_fraud.backbone import TableBackbone, TableModel, input_sizes
from taskgraft_fraud.description import describe_tabular_resnet
from taskgraft_fraud.settings import TabularResNetConfig


def build(config: TabularResNetConfig) -> TableBackbone:
    """Build a residual network at random initialization. Raises FraudError before the columns are fitted."""
    return TableBackbone(TabularResNetModel(config), describe_tabular_resnet(config), config)


class TabularResNetModel(TableModel):
    """Maps all columns to one vector: ``(batch, feature)``."""

    def __init__(self, config: TabularResNetConfig):
        super().__init__()
        numbers, sizes = input_sizes(config, "tabular-resnet")
        self.categories = CategoricalEmbeddings(list(sizes), config.category_size) if sizes else None
        self.resnet = ResNet(
            d_in=numbers + len(sizes) * config.category_size,
            d_out=None,
            n_blocks=config.blocks,
            d_block=config.feature_size,
            d_hidden=max(1, round(config.feature_size * config.hidden)),
            d_hidden_multiplier=None,
            dropout1=config.hidden_dropout,
            dropout2=config.residual_dropout,
        )
        self.norm = nn.BatchNorm1d(config.feature_size)

    def embed(self, numbers: Tensor | None, categories: Tensor | None) -> Tensor:
        tensors = [] if numbers is None else [numbers]
        if self.categories is not None and categories is not None:
            tensors.append(self.categories(categories).flatten(1))
        return self.resnet.input_projection(torch.cat(tensors, dim=1))  # type: ignore[no-any-return]

    def run_block(self, block: int, hidden: Tensor, layout: Layout) -> Tensor:
        return hidden + self.resnet.blocks[block](hidden)  # type: ignore[no-any-return]

    def to_features(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Apply norm and ReLU, as the library does before its own linear head."""
        return torch.relu(self.norm(hidden))
