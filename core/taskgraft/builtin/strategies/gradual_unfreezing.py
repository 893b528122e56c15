"""Gradual unfreezing: from the output down, one more group of parts learns in each stage (ULMFiT; Howard and Ruder, 2018).

As there (arXiv:1801.06146), lower parts learn slower, and after the last group is unfrozen all go on together.
"""

from typing import ClassVar

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable

GROUPS = 4
"""As many as ULMFiT has, where the backbone has as many parts."""


class GradualConfig(Config):
    """Let more and more parts learn, from the output down; the head learns all the time."""

    positional: ClassVar[str | None] = "groups"

    groups: int | None = Field(
        default=None,
        ge=1,
        description=f"into how many groups the parts are divided, one more learning in each stage; when left out {GROUPS}, or "
        "as many as there are parts",
    )
    unfreezing_epochs: int = Field(
        default=1, ge=1, le=100_000, description="passes over the training rows in each stage but the last"
    )
    layer_decay: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="each part learns at this times the rate of the part after it; the last part at the rate stated",
    )
    learning_rate: float = Field(default=1e-4, ge=0, description="peak rate of the last part, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class Gradual(Strategy):
    """As many stages as groups. What lies below those that learn is stored, anew for each stage."""

    def __init__(self, config: GradualConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config, names = self._config, tuple(part.name for part in backbone.parts)
        groups = min(GROUPS, len(names)) if config.groups is None else config.groups
        if groups > len(names):
            raise StrategyNotApplicable(
                f"'gradual' is to divide the parts into {groups} groups, but the backbone has {len(names)}: "
                f"{', '.join(names)}. Choose groups = {len(names)} or less."
            )
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
