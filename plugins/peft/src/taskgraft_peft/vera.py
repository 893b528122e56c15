"""VeRA (Kopiczko et al. 2024): two random matrices that all layers share, and trained scales of their axes."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import peft
from torch import nn

from taskgraft.plugin import BackboneDescription, HeadDescription, Insertion, Plan, SharedWrap, Stage, Strategy
from taskgraft_peft.layer_selection import ATTENTION, CONVOLUTION, FEED_FORWARD, select_layers
from taskgraft_peft.layers import ALL_LAYERS, is_transposed, merge_adapter, wrap_layers
from taskgraft_peft.settings import VeraConfig

if TYPE_CHECKING:
    from taskgraft.plugin import Wrap


class Vera(Strategy):
    """Scaled random updates of layers, in one stage."""

    def __init__(self, config: VeraConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        parts, roles = select_layers("vera", self._config, backbone, (ATTENTION, FEED_FORWARD, CONVOLUTION))
        wrap = SharedWrap(partial(_wrap_shared, self._config))
        insertion = Insertion("vera", parts, roles, wrap, self._config.learning_rate, merge_adapter)
        return (
            Stage(
                "vera", insertions=(insertion,), head_learning_rate=self._config.head_learning_rate, cache_features=True
            ),
        )


def _wrap_shared(config: VeraConfig, layers: Sequence[nn.Module]) -> "Wrap":
    """Wrap all layers at once. The matrices fit the largest layer; they are stored in the first adapter and saved with it."""
    settings = peft.VeraConfig(
        r=config.rank,
        target_modules=ALL_LAYERS,
        projection_prng_key=config.seed,
        save_projection=True,
        vera_dropout=config.dropout,
        d_initial=config.scale,
        fan_in_fan_out=is_transposed(layers[0]),
    )
    adapters = wrap_layers(layers, settings, lambda settings, holder: peft.get_peft_model(holder, settings))
    adapter_of = {id(layer): adapter for layer, adapter in zip(layers, adapters, strict=True)}
    return lambda layer: adapter_of[id(layer)]
