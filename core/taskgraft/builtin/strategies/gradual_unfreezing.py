"""Gradual unfreezing: each stage trains one more group of parts, from the output down (ULMFiT; Howard and Ruder, 2018).

As there (arXiv:1801.06146), lower parts have lower rates, and once the last group is unfrozen all parts are trained together.
"""

from typing import ClassVar

from pydantic import Field

from taskgraft.builtin.strategies.fine_tuning import last_parts
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy

_GROUPS = 4
"""The default, as in ULMFiT, for a backbone with at least as many parts."""


class GradualConfig(Config):
    """Unfreeze more and more parts, from the output down; the head is trained in every stage."""

    positional: ClassVar[str | None] = "groups"

    groups: int | None = Field(
        default=None,
        ge=1,
        description="number of groups that the parts are divided into, one more trained in each stage; when left out "
        f"{_GROUPS}, or the number of parts if that is smaller",
    )
    unfreezing_epochs: int = Field(
        default=1, ge=1, le=100_000, description="passes over the training rows in each stage but the last"
    )
    layer_decay: float = Field(
        default=0.8, gt=0, le=1, description="learning rate of a part, as a multiple of that of the part after it"
    )
    learning_rate: float = Field(default=1e-4, ge=0, description="peak rate of the last part, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class Gradual(Strategy):
    """One stage per group. Each stage caches the output of the parts that are still frozen."""

    def __init__(self, config: GradualConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config, names = self._config, tuple(part.name for part in backbone.parts)
        last_parts("gradual", "groups", config.groups, backbone)  # raises when there are more groups than parts
        groups = config.groups or min(_GROUPS, len(names))
        return tuple(
            Stage(
                f"gradual-{number}",
                (Unfreeze(names[-(-len(names) * (groups - number) // groups) :], config.learning_rate),),
                layer_decay=config.layer_decay,
                head_learning_rate=config.head_learning_rate,
                epochs=None if number == groups else config.unfreezing_epochs,
                cache_features=True,
            )
            for number in range(1, groups + 1)
        )
