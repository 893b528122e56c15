"""VeRA (Kopiczko et al. 2024): two random matrices that all layers share, and what scales them."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import peft
from torch import nn

from taskgraft.plugin import BackboneDescription, HeadDescription, Insertion, Plan, SharedWrap, Stage, Strategy
from taskgraft_peft.choosing import ATTENTION, CONVOLUTION, FEED_FORWARD, choose
from taskgraft_peft.layers import EVERY, merged, put_around, turned
from taskgraft_peft.settings import VeraConfig

if TYPE_CHECKING:
    from taskgraft.plugin import Wrap


class Vera(Strategy):
    """Scaled random changes beside layers, in one stage."""

    def __init__(self, config: VeraConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        parts, roles = choose("vera", self._config, backbone, (ATTENTION, FEED_FORWARD, CONVOLUTION))
        wrap = SharedWrap(partial(_begin, self._config))
        insertion = Insertion("vera", parts, roles, wrap, self._config.learning_rate, merged)
        return (
            Stage(
                "vera", insertions=(insertion,), head_learning_rate=self._config.head_learning_rate, cache_features=True
            ),
        )


def _begin(config: VeraConfig, layers: Sequence[nn.Module]) -> "Wrap":
    """Make the matrices as large as the largest layer needs. They lie in the first adapter, and are saved with it."""
    settings = peft.VeraConfig(
        r=config.rank,
        target_modules=EVERY,
        projection_prng_key=config.seed,
        save_projection=True,
        vera_dropout=config.dropout,
        d_initial=config.scale,
        fan_in_fan_out=turned(layers[0]),
    )
    adapters = put_around(layers, settings, lambda settings, holder: peft.get_peft_model(holder, settings))
    made = {id(layer): adapter for layer, adapter in zip(layers, adapters, strict=True)}
    return lambda layer: made[id(layer)]
