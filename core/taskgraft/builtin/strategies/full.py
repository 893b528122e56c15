"""Full fine-tuning: train the whole backbone."""

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy


class FullConfig(Config):
    """Train the whole backbone and the head."""

    learning_rate: float = Field(default=5e-5, ge=0, description="peak rate of the backbone, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class Full(Strategy):
    """Train all parts in one stage."""

    def __init__(self, config: FullConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        unfreeze = Unfreeze(tuple(part.name for part in backbone.parts), self._config.learning_rate)
        return (Stage("full", (unfreeze,), head_learning_rate=self._config.head_learning_rate),)
