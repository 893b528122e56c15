"""The strategy: train the last part, and a scale around the layers before it; validate and end with the mean of all steps."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft.plugin import (
    BackboneDescription,
    Callback,
    HeadDescription,
    Insertion,
    LayerRole,
    Plan,
    Stage,
    StageRun,
    Strategy,
    Unfreeze,
)

SCALED = frozenset({LayerRole.FEED_FORWARD_IN})


class LastPart(Strategy):
    """One stage."""

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        *others, last = backbone.parts
        scaled = tuple(part.name for part in others if SCALED.intersection(part.roles.values()))
        insert = (Insertion("scale", scaled, SCALED, Scaled, 1e-3),) if scaled else ()
        callbacks = (Mean,)
        return (Stage("last", (Unfreeze((last.name,), 1e-3),), insert, head_learning_rate=1e-2, callbacks=callbacks),)


class Mean(Callback):
    """The mean of the weights after each step."""

    def __init__(self, run: StageRun):
        super().__init__(run)
        self.steps = 0
        self.mean = {name: tensor.detach().clone() for name, tensor in run.trainable.items()}

    @torch.no_grad()
    def on_step_end(self, step: int) -> None:
        self.steps += 1
        for name, tensor in self.run.trainable.items():
            self.mean[name].lerp_(tensor, 1 / self.steps)

    def validation_weights(self) -> Mapping[str, Tensor]:
        return self.mean

    def state_dict(self) -> Mapping[str, Any]:
        return {"steps": self.steps, "mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps, self.mean = state["steps"], state["mean"]


class Scaled(nn.Module):
    """The output of a layer, times a trainable scale."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) * self.scale
