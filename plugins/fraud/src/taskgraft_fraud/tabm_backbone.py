"""TabM (Gorishniy et al. 2025), an ensemble of multilayer perceptrons that share most weights, from the library tabm."""

import torch
from tabm import TabM
from torch import Tensor

from taskgraft.plugin import Layout
from taskgraft_fraud.backbone import TableBackbone, TableModel, input_sizes
from taskgraft_fraud.description import describe_tabm
from taskgraft_fraud.settings import TabMConfig


def build(config: TabMConfig) -> TableBackbone:
    """Build an ensemble at random initialization. Raises FraudError before the columns are fitted."""
    return TableBackbone(TabMModel(config), describe_tabm(config), config)


class TabMModel(TableModel):
    """Maps all columns to one vector per member: ``(batch, member, feature)``."""

    def __init__(self, config: TabMConfig):
        super().__init__()
        numbers, sizes = input_sizes(config, "tabm")
        self.tabm = TabM.make(
            n_num_features=numbers,
            cat_cardinalities=list(sizes),
            d_out=None,
            k=config.members,
            n_blocks=config.blocks,
            d_block=config.feature_size,
            dropout=config.dropout,
        )

    def embed(self, numbers: Tensor | None, categories: Tensor | None) -> Tensor:
        tensors = [] if numbers is None else [numbers]
        if self.tabm.cat_module is not None and categories is not None:
            one_hot = self.tabm.cat_module(categories)
            tensors.append(one_hot.to(next(self.parameters()).dtype))
        return self.tabm.ensemble_view(torch.cat(tensors, dim=1))  # type: ignore[no-any-return]

    def run_block(self, block: int, hidden: Tensor, layout: Layout) -> Tensor:
        return self.tabm.backbone.blocks[block](hidden)  # type: ignore[no-any-return]

    def to_features(self, hidden: Tensor, layout: Layout) -> Tensor:
        return hidden
