"""TabM (Gorishniy et al. 2025), an ensemble of multilayer perceptrons that share most weights, of the library tabm."""

import torch
from tabm import TabM
from torch import Tensor

from taskgraft.plugin import Layout
from taskgraft_fraud.backbone import TableBackbone, TableModel, shape_of
from taskgraft_fraud.description import describe_tabm
from taskgraft_fraud.settings import TabMConfig


def build(config: TabMConfig) -> TableBackbone:
    """Build an ensemble with weights drawn at random. Raises NoTableYet when its columns are not known."""
    return TableBackbone(TabMModel(config), describe_tabm(config), config)


class TabMModel(TableModel):
    """All columns in one vector per member: ``(batch, member, feature)``."""

    def __init__(self, config: TabMConfig):
        super().__init__()
        numbers, sizes = shape_of(config, "tabm")
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
        pieces = [] if numbers is None else [numbers]
        if self.tabm.cat_module is not None and categories is not None:
            hot = self.tabm.cat_module(categories)
            pieces.append(hot.to(next(self.parameters()).dtype))
        return self.tabm.ensemble_view(torch.cat(pieces, dim=1))  # type: ignore[no-any-return]

    def run(self, block: int, hidden: Tensor, layout: Layout) -> Tensor:
        return self.tabm.backbone.blocks[block](hidden)  # type: ignore[no-any-return]

    def read(self, hidden: Tensor, layout: Layout) -> Tensor:
        return hidden
