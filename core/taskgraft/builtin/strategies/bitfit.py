"""BitFit: train only the biases of the backbone (Ben Zaken, Ravfogel and Goldberg, 2022, arXiv:2106.10199)."""

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy

_BIASES = frozenset({"bias", "in_proj_bias"})
"""Names of the biases in torch's layers; the second is that of ``nn.MultiheadAttention``."""


class BitFitConfig(Config):
    """Train the biases of the backbone and the head; freeze the rest."""

    norms: bool = Field(default=False, description="whether the scales of norms are trained too")
    learning_rate: float = Field(default=1e-3, ge=0, description="peak rate of the biases, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class BitFit(Strategy):
    """Train the biases of all parts in one stage. Which tensors these are is known once the weights are read."""

    def __init__(self, config: BitFitConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config, names = self._config, tuple(part.name for part in backbone.parts)
        unfreeze = Unfreeze(names, config.learning_rate, tensors=_BIASES, norms=config.norms)
        return (Stage("bitfit", (unfreeze,), head_learning_rate=config.head_learning_rate),)
