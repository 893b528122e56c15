"""An optimizer that steps by the sign of a running mean of the gradient."""

from typing import Any

import torch
from torch.optim import Optimizer

from taskgraft.plugin import ParameterGroups


class Signs(Optimizer):
    """Steps of the size of the learning rate."""

    def __init__(self, groups: ParameterGroups):
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                state["mean"] = 0.5 * state.get("mean", 0.0) + parameter.grad
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * state["mean"].sign())
