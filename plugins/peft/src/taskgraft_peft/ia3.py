"""IA³ (Liu et al. 2022): keys, values and what a feed-forward holds inside are scaled."""

from functools import partial

from peft import IA3Config, inject_adapter_in_model
from torch import nn

from taskgraft.plugin import BackboneDescription, HeadDescription, Insertion, LayerRole, Plan, Stage, Strategy
from taskgraft_peft.choosing import CONVOLUTION, FEED_FORWARD, choose, having
from taskgraft_peft.layers import EVERY, merged, put_around, turned
from taskgraft_peft.settings import Ia3Config

READ = frozenset({LayerRole.FEED_FORWARD_OUT})
"""Layers whose input is scaled in place of their output."""

USUAL = (frozenset({LayerRole.KEY, LayerRole.VALUE, LayerRole.FUSED}) | READ, CONVOLUTION, FEED_FORWARD)


class Ia3(Strategy):
    """Factors around layers, in one stage."""

    def __init__(self, config: Ia3Config):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        rate = self._config.learning_rate
        parts, roles = choose("ia3", self._config, backbone, USUAL)
        insertions = tuple(
            Insertion(name, having(backbone, parts, some), some, partial(_around, some == READ), rate, merged)
            for name, some in (("ia3", roles - READ), ("ia3-input", roles & READ))
            if some
        )
        return (
            Stage(
                "ia3", insertions=insertions, head_learning_rate=self._config.head_learning_rate, cache_features=True
            ),
        )


def _around(reads: bool, layer: nn.Module) -> nn.Module:
    settings = IA3Config(target_modules=EVERY, feedforward_modules=EVERY if reads else [], fan_in_fan_out=turned(layer))
    return put_around([layer], settings, inject_adapter_in_model)[0]
