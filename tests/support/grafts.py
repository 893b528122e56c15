"""Strategies that leave something to export: low rank and factors that can be merged, and biases."""

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn

from taskgraft.contract.descriptions import BackboneDescription, HeadDescription, LayerRole
from taskgraft.contract.plan import Insertion, Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy


class LowRank(nn.Module):
    """Adds a change of rank 2, at first zero, to what a linear layer gives. GPT-2's layers hold their weights the other way."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.turned = not isinstance(wrapped, nn.Linear)
        outside, inside = wrapped.weight.T.shape if self.turned else wrapped.weight.shape
        self.down = nn.Parameter(torch.randn(2, inside) / inside**0.5)
        self.up = nn.Parameter(torch.zeros(outside, 2))
        self.dropout = nn.Dropout(0.5)

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) + self.dropout(value) @ self.down.T @ self.up.T

    @torch.no_grad()
    def merge(self) -> nn.Module:
        merged = deepcopy(self.wrapped)
        change = self.up @ self.down
        merged.weight.add_(change.T if self.turned else change)
        return merged


class Factors(nn.Module):
    """Multiplies each channel that a convolution gives by a number, at first one."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.factor = nn.Parameter(torch.ones(wrapped.out_channels))

    @property
    def weight(self) -> Tensor:
        """Of the layer: backbones ask for its dtype."""
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
    """Low rank where there are linear layers with these roles, factors around convolutions."""

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
    """The biases of all parts learn."""

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        every = tuple(part.name for part in backbone.parts)
        learn = Unfreeze(every, 0.05, tensors=frozenset({"bias"}))
        return (Stage("biases", (learn,), head_learning_rate=1e-2, epochs=2),)
