"""The linear layer of the built-in heads, with one set of weights per member where features have members."""

import torch
from torch import Tensor, nn

from taskgraft.description import FeatureDescription


class Readout(nn.Module):
    """``(…, feature)`` → ``(…, output)``; with members, ``(batch, member, feature)`` → ``(batch, member, output)``."""

    def __init__(self, features: FeatureDescription, outputs: int):
        super().__init__()
        members = () if features.members is None else (features.members,)
        self.weight = nn.Parameter(torch.empty(*members, outputs, features.feature_size))
        self.bias = nn.Parameter(torch.zeros(*members, outputs))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, value: Tensor) -> Tensor:
        value = value.to(self.weight.dtype)
        if self.weight.dim() == 2:
            return nn.functional.linear(value, self.weight, self.bias)
        return torch.einsum("bmf,mof->bmo", value, self.weight) + self.bias


def mean_of_members(probabilities: Tensor, members: int | None) -> Tensor:
    """Average ``(batch, member, output)`` over members; leave ``(batch, output)`` as it is."""
    return probabilities if members is None else probabilities.mean(1)


def per_member(target: Tensor, members: int | None) -> Tensor:
    """Repeat a target ``(batch, …)`` for each member: ``(batch, member, …)``."""
    return target if members is None else target.unsqueeze(1).expand(-1, members, *target.shape[1:])
