"""IA³ (Liu et al. 2022): trained factors for keys, values and the hidden features of feed-forward layers."""

from functools import partial

from peft import IA3Config, inject_adapter_in_model
from torch import nn

from taskgraft.plugin import BackboneDescription, HeadDescription, Insertion, LayerRole, Plan, Stage, Strategy
from taskgraft_peft.layer_selection import CONVOLUTION, FEED_FORWARD, parts_with_roles, select_layers
from taskgraft_peft.layers import ALL_LAYERS, is_transposed, merge_adapter, wrap_layers
from taskgraft_peft.settings import Ia3Config

INPUT_SCALED = frozenset({LayerRole.FEED_FORWARD_OUT})
"""Layers whose input is scaled instead of their output."""

DEFAULT_ROLES = (
    frozenset({LayerRole.KEY, LayerRole.VALUE, LayerRole.FUSED}) | INPUT_SCALED,
    CONVOLUTION,
    FEED_FORWARD,
)


class Ia3(Strategy):
    """Trained factors on the features of layers, in one stage."""

    def __init__(self, config: Ia3Config):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        rate = self._config.learning_rate
        parts, roles = select_layers("ia3", self._config, backbone, DEFAULT_ROLES)
        insertions = tuple(
            Insertion(
                name,
                parts_with_roles(backbone, parts, some),
                some,
                partial(_wrap, some == INPUT_SCALED),
                rate,
                merge_adapter,
            )
            for name, some in (("ia3", roles - INPUT_SCALED), ("ia3-input", roles & INPUT_SCALED))
            if some
        )
        return (
            Stage(
                "ia3", insertions=insertions, head_learning_rate=self._config.head_learning_rate, cache_features=True
            ),
        )


def _wrap(scale_input: bool, layer: nn.Module) -> nn.Module:
    settings = IA3Config(
        target_modules=ALL_LAYERS,
        feedforward_modules=ALL_LAYERS if scale_input else [],
        fan_in_fan_out=is_transposed(layer),
    )
    return wrap_layers([layer], settings, inject_adapter_in_model)[0]
