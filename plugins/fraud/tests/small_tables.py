"""Small tables, and the four backbones in small sizes."""

import datetime

import torch

from taskgraft.plugin import Backbone
from taskgraft_fraud import plugin
from taskgraft_fraud.settings import FTTransformerConfig, MlpPlrConfig, TableConfig, TabMConfig, TabularResNetConfig

SPECS = {spec.name: spec for spec in plugin.taskgraft_backbones()}

SMALL: dict[str, TableConfig] = {
    "ft-transformer": FTTransformerConfig(blocks=3, feature_size=16, attention_heads=2),
    "tabular-resnet": TabularResNetConfig(blocks=2, feature_size=12, category_size=3),
    "mlp-plr": MlpPlrConfig(blocks=2, feature_size=12, embedding_size=4, frequencies=5, category_size=3),
    "tabm": TabMConfig(members=3, blocks=2, feature_size=12),
}

START = datetime.datetime(2024, 2, 27, 22, 30)

TABLE = {
    "amount": [3.5, 80.0, None, 12.25, 7.0, 900.0],
    "shop": ["books", "food", "food", None, "books", "toys"],
    "when": [START + datetime.timedelta(hours=7 * row) for row in range(6)],
    "visits": [1, 0, 4, 2, 2, 9],
}
"""Columns with and without missing values, one of them of times."""


def fitted(config: TableConfig, inputs=None) -> TableConfig:
    """Settings with the columns fitted on a table."""
    name = next(name for name, small in SMALL.items() if type(small) is type(config))
    return SPECS[name].fit_config(config, TABLE if inputs is None else inputs)


def build(name: str, inputs=None, seed: int = 0, **settings) -> Backbone:
    """A small backbone over a table, initialized from a seed."""
    config = fitted(SMALL[name].model_copy(update=settings), inputs)
    torch.manual_seed(seed)
    return SPECS[name].build(config)
