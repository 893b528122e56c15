"""Layer-wise learning rate decay: lower parts have lower rates. Every other strategy accepts the decay as a setting."""

from typing import ClassVar

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy


class LayerDecayConfig(Config):
    """Train the whole backbone, with rates that fall from output to input, and the head."""

    positional: ClassVar[str | None] = "layer_decay"

    layer_decay: float = Field(
        default=0.8,  # ELECTRA-Base (Clark et al., 2020, arXiv:2003.10555); vision transformers take 0.65 to 0.75
        gt=0,
        le=1,
        description="learning rate of a part, as a multiple of that of the part after it",
    )
    learning_rate: float = Field(default=1e-4, ge=0, description="peak rate of the last part, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class LayerDecay(Strategy):
    """Train all parts in one stage, each with a lower rate than the part after it."""

    def __init__(self, config: LayerDecayConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        unfreeze = Unfreeze(tuple(part.name for part in backbone.parts), self._config.learning_rate)
        decay, head_rate = self._config.layer_decay, self._config.head_learning_rate
        return (Stage("layer-decay", (unfreeze,), layer_decay=decay, head_learning_rate=head_rate),)
