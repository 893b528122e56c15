"""The strategy: the last part learns, after a gate was put behind its layer."""

import torch
from torch import Tensor, nn

from letters_1_0 import LastConfig
from taskgraft.plugin import BackboneDescription, HeadDescription, Insertion, LayerRole, Plan, Stage, Strategy, Unfreeze


class Gate(nn.Module):
    """A layer, and a factor per output."""

    def __init__(self, wrapped: nn.Linear):
        super().__init__()
        self.wrapped = wrapped
        self.factor = nn.Parameter(torch.ones(wrapped.out_features))

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) * self.factor


class Last(Strategy):
    """One stage of descent."""

    def __init__(self, config: LastConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        last, rate = (backbone.parts[-1].name,), self._config.learning_rate
        gate = Insertion("gate", last, frozenset({LayerRole.FEED_FORWARD_IN}), Gate, rate)
        return (Stage("last", unfreeze=(Unfreeze(last, rate),), insertions=(gate,), head_learning_rate=rate, epochs=20, cache_features=True),)
