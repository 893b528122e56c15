"""Partial fine-tuning: the last parts learn, the rest stays as it is."""

from typing import ClassVar

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable


class PartialConfig(Config):
    """Train the last parts of the backbone and the head; keep the rest as it is."""

    positional: ClassVar[str | None] = "learn"

    learn: int = Field(ge=1, description="how many parts learn, counted from the output")
    learning_rate: float = Field(default=3e-4, ge=0, description="peak rate of the parts that learn, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class Partial(Strategy):
    """The last parts learn, in one stage."""

    def __init__(self, config: PartialConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        learn = Unfreeze(last_parts("partial", self._config.learn, backbone), self._config.learning_rate)
        return (Stage("partial", (learn,), head_learning_rate=self._config.head_learning_rate, cache_features=True),)


def last_parts(strategy: str, count: int, backbone: BackboneDescription) -> tuple[str, ...]:
    """Name the last parts of a backbone.

    Args:
        strategy: its name, for the message.

    Raises:
        StrategyNotApplicable: when there are fewer.
    """
    names = tuple(part.name for part in backbone.parts)
    if count > len(names):
        raise StrategyNotApplicable(
            f"'{strategy}' is to train the last {count} parts, but the backbone has {len(names)}: "
            f"{', '.join(names)}. Choose learn = {len(names)} or less."
        )
    return names[-count:]
