"""The linear layer of the built-in heads, with one set of weights per ensemble member where features have members.

A step of gradient descent moves each weight by about the learning rate, so how far an output moves depends on the scale of
the features, which differs a hundredfold between backbones. The layer divides by their root mean square, measured once.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from taskgraft.contract.descriptions import FeatureDescription
from taskgraft.contract.features import Features


class LinearReadout(nn.Module):
    """``(…, feature)`` → ``(…, output)``; with members, ``(batch, member, feature)`` → ``(batch, member, output)``."""

    def __init__(self, features: FeatureDescription, outputs: int):
        super().__init__()
        members = () if features.ensemble_size is None else (features.ensemble_size,)
        self.weight = nn.Parameter(torch.empty(*members, outputs, features.feature_size))
        self.bias = nn.Parameter(torch.zeros(*members, outputs))
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(()))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, value: Tensor) -> Tensor:
        value = value.to(self.weight.dtype) / self.scale
        if self.weight.dim() == 2:
            return nn.functional.linear(value, self.weight, self.bias)
        return torch.einsum("bmf,mof->bmo", value, self.weight) + self.bias

    def calibrate(self, features: Features) -> None:
        """Set the scale to the root mean square of some features, to 1 if they are all zero."""
        value = features.value if features.lengths is None else features.value[features.mask]
        self.scale.copy_(value.detach().float().square().mean().sqrt())
        self.scale.masked_fill_(self.scale == 0, 1.0)


def mean_of_members(probabilities: Tensor, members: int | None) -> Tensor:
    """Average ``(batch, member, output)`` over members; return ``(batch, output)`` unchanged."""
    return probabilities if members is None else probabilities.mean(1)


def tempered_divergence(logits: Tensor, shares: Tensor, temperature: float) -> Tensor:
    """Sum T² x KL(shares || softmax(logits / T)), in nats (Hinton, Vinyals and Dean, 2015, section 2).

    Args:
        logits: ``(…, class)`` float32.
        shares: ``(…, class)`` float32, probabilities at the temperature T.
    """
    return kl_div((logits / temperature).log_softmax(-1), shares, reduction="sum") * temperature**2


def per_member(target: Tensor, members: int | None) -> Tensor:
    """Repeat a target ``(batch, …)`` for each member: ``(batch, member, …)``."""
    return target if members is None else target.unsqueeze(1).expand(-1, members, *target.shape[1:])
