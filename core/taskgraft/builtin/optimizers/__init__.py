"""The built-in optimizers: those of torch.optim, with the settings that they have there. No torch is imported here."""

from functools import partial
from typing import TYPE_CHECKING

from taskgraft.builtin.optimizers import configs
from taskgraft.contract.config import Config
from taskgraft.contract.specs import OptimizerSpec
from taskgraft.preparation.errors import TrainingError

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from taskgraft.contract.plan import ParameterGroups

_CLASSES: dict[str, tuple[type[Config], str]] = {
    "Adadelta": (configs.AdadeltaConfig, "steps scaled by the mean of earlier ones; its usual peak rate is 1"),
    "Adafactor": (configs.AdafactorConfig, "like Adam, with far less memory for matrices"),
    "Adagrad": (configs.AdagradConfig, "rates that fall where gradients were large"),
    "Adam": (configs.AdamConfig, "means of the gradient and of its square"),
    "Adamax": (configs.AdamaxConfig, "Adam with the largest gradient in place of the squared mean"),
    "AdamW": (configs.AdamWConfig, "Adam with decoupled weight decay; the default"),
    "ASGD": (configs.ASGDConfig, "stochastic gradient descent with falling rates"),
    "Muon": (configs.MuonConfig, "orthogonalized momentum, for matrices alone"),
    "NAdam": (configs.NAdamConfig, "Adam with Nesterov momentum"),
    "RAdam": (configs.RAdamConfig, "Adam whose first steps are rectified"),
    "RMSprop": (configs.RMSpropConfig, "the gradient divided by its root mean square"),
    "Rprop": (configs.RpropConfig, "steps by the sign of the gradient, for batches of all rows"),
    "SGD": (configs.SGDConfig, "stochastic gradient descent, with or without momentum"),
}
"""Class of torch.optim → its settings and its summary."""


_FUSED = ("Adam", "AdamW", "SGD")
"""Classes with a fused implementation on the CPU and on CUDA."""


def _build(name: str, groups: "ParameterGroups", config: Config) -> "Optimizer":
    """Make an optimizer, fused where the class and the device allow it."""
    import torch

    if (found := getattr(torch.optim, name, None)) is None:
        raise TrainingError(f"torch {torch.__version__} has no optimizer torch.optim.{name}. Update torch.")
    on = groups[0]["params"][0].device.type
    fused = {"fused": on in ("cpu", "cuda")} if name in _FUSED else {}
    optimizer: Optimizer = found(groups, **dict(config), **fused)
    return optimizer


OPTIMIZERS = tuple(
    OptimizerSpec(name=name.lower(), summary=summary, config=config, build=partial(_build, name))
    for name, (config, summary) in _CLASSES.items()
)
