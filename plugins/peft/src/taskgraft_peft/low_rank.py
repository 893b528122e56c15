"""LoRA (Hu et al. 2022), DoRA (Liu et al. 2024) and rsLoRA (Kalajdzievski 2023)."""

from functools import partial

from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from taskgraft.plugin import BackboneDescription, HeadDescription, Insertion, Plan, Stage, Strategy
from taskgraft_peft.layer_selection import select_layers
from taskgraft_peft.layers import ALL_LAYERS, is_transposed, merge_adapter, wrap_layers
from taskgraft_peft.settings import LowRankConfig


class LowRank(Strategy):
    """Low-rank updates of layers, in one stage."""

    def __init__(self, name: str, config: LowRankConfig):
        self._name = name
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        parts, roles = select_layers(self._name, self._config, backbone)
        wrap = partial(_wrap, self._name, self._config)
        insertion = Insertion(self._name, parts, roles, wrap, self._config.learning_rate, merge_adapter)
        return (
            Stage(
                self._name,
                insertions=(insertion,),
                head_learning_rate=self._config.head_learning_rate,
                cache_features=True,
            ),
        )


def _wrap(name: str, config: LowRankConfig, layer: nn.Module) -> nn.Module:
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        use_dora=name == "dora",
        use_rslora=name == "rslora",
        target_modules=ALL_LAYERS,
        fan_in_fan_out=is_transposed(layer),
    )
    return wrap_layers([layer], settings, inject_adapter_in_model)[0]
