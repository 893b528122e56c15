"""Strategies whose models can be exported: low-rank updates and factors that can be merged, and biases."""

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn

from taskgraft.contract.descriptions import BackboneDescription, HeadDescription, LayerRole
from taskgraft.contract.plan import Insertion, Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy


class LowRank(nn.Module):
    """Adds an update of rank 2, initially zero, to a linear layer. The weights of GPT-2's layers are transposed."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.transposed = not isinstance(wrapped, nn.Linear)
        outside, inside = wrapped.weight.T.shape if self.transposed else wrapped.weight.shape
        self.down = nn.Parameter(torch.randn(2, inside) / inside**0.5)
        self.up = nn.Parameter(torch.zeros(outside, 2))
        self.dropout = nn.Dropout(0.5)

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) + self.dropout(value) @ self.down.T @ self.up.T

    @torch.no_grad()
    def merge(self) -> nn.Module:
        merged = deepcopy(self.wrapped)
        change = self.up @ self.down
        merged.weight.add_(change.T if self.transposed else change)
        return merged


class Factors(nn.Module):
    """Multiplies each output channel of a convolution by a factor, initially one."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.factor = nn.Parameter(torch.ones(wrapped.out_channels))

    @property
    def weight(self) -> Tensor:
        """The weight of the layer; backbones read its dtype."""
        return self.wrapped.weight

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) * self.factor[:, None, None]

    @torch.no_grad()
    def merge(self) -> nn.Module:
        merged = deepcopy(self.wrapped)
        merged.weight.mul_(self.factor[:, None, None, None])
        if merged.bias is not None:
            merged.bias.mul_(self.factor)
        return merged


def insertion(
    roles: Iterable[LayerRole], parts: Iterable[str], wrap=LowRank, merge=lambda around: around.merge()
) -> Insertion:
    return Insertion("graft", tuple(parts), frozenset(roles), wrap, 0.05, merge)


class Grafts(Strategy):
    """Low-rank updates of linear layers with these roles, or factors on convolutions."""

    def __init__(self, *roles: LayerRole, merge=lambda around: around.merge()):
        self.roles, self.merge = roles, merge

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        wrap = Factors if LayerRole.CONVOLUTION in self.roles else LowRank
        parts = [part.name for part in backbone.parts if set(part.roles.values()) & set(self.roles)]
        return (
            Stage(
                "grafts",
                insertions=(insertion(self.roles, parts, wrap, self.merge),),
                head_learning_rate=1e-2,
                epochs=2,
            ),
        )


class Biases(Strategy):
    """Trains the biases of all parts."""

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        every = tuple(part.name for part in backbone.parts)
        biases = Unfreeze(every, 0.05, tensors=frozenset({"bias"}))
        return (Stage("biases", (biases,), head_learning_rate=1e-2, epochs=2),)
