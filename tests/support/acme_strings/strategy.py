"""The strategy: train the last part, and a scale around the layers before it."""

import torch
from torch import Tensor, nn

from taskgraft.plugin import BackboneDescription, HeadDescription, Insertion, LayerRole, Plan, Stage, Strategy, Unfreeze

SCALED = frozenset({LayerRole.FEED_FORWARD_IN})


class LastPart(Strategy):
    """One stage."""

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        *others, last = backbone.parts
        scaled = tuple(part.name for part in others if SCALED.intersection(part.roles.values()))
        insert = (Insertion("scale", scaled, SCALED, Scaled, 1e-3),) if scaled else ()
        return (Stage("last", (Unfreeze((last.name,), 1e-3),), insert, head_learning_rate=1e-2),)


class Scaled(nn.Module):
    """The output of a layer, times a trainable scale."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) * self.scale
