"""Optimizers of torch.optim, made by the name of their class."""

import torch
from torch.optim import Optimizer

from taskgraft.contract.config import Config
from taskgraft.contract.plan import ParameterGroups
from taskgraft.preparation.errors import TrainingError

_FUSED = ("Adam", "AdamW", "SGD")
"""Classes with a fused implementation on the CPU and on CUDA."""


def build(name: str, groups: ParameterGroups, config: Config) -> Optimizer:
    """Make an optimizer, fused where the class and the device allow it.

    Raises:
        TrainingError: when the installed torch does not have the class.
    """
    found = getattr(torch.optim, name, None)
    if found is None:
        raise TrainingError(f"torch {torch.__version__} has no optimizer torch.optim.{name}. Update torch.")
    settings = dict(config)
    if name in _FUSED:
        settings["fused"] = groups[0]["params"][0].device.type in ("cpu", "cuda")
    optimizer: Optimizer = found(groups, **settings)
    return optimizer
