"""BitFit: only the biases of the backbone learn (Ben Zaken, Ravfogel and Goldberg, 2022, arXiv:2106.10199)."""

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy

BIASES = frozenset({"bias", "in_proj_bias"})
"""What torch calls the biases of its layers; the second is that of its attention."""


class BitFitConfig(Config):
    """Train the biases of the backbone and the head; keep the rest as it is."""

    norms: bool = Field(default=False, description="whether the scales of norms learn too")
    learning_rate: float = Field(default=1e-3, ge=0, description="peak rate of the biases, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class BitFit(Strategy):
    """Biases of all parts learn, in one stage. Which tensors there are is known once the weights are read."""

    def __init__(self, config: BitFitConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        every = tuple(part.name for part in backbone.parts)
        learn = Unfreeze(every, self._config.learning_rate, tensors=BIASES, norms=self._config.norms)
        return (Stage("bitfit", (learn,), head_learning_rate=self._config.head_learning_rate),)
