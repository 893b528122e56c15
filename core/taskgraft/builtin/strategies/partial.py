"""Partial fine-tuning: train the last parts of the backbone, freeze the rest."""

from typing import ClassVar

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription, Part
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable


class PartialConfig(Config):
    """Train the last parts of the backbone and the head; freeze the rest."""

    positional: ClassVar[str | None] = "learn"

    learn: int = Field(ge=1, description="number of parts that are trained, counted from the output")
    learning_rate: float = Field(default=3e-4, ge=0, description="peak rate of the trained parts, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class Partial(Strategy):
    """Train the last parts in one stage."""

    def __init__(self, config: PartialConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config = self._config
        names = tuple(part.name for part in last_parts("partial", "learn", config.learn, backbone))
        unfreeze = Unfreeze(names, config.learning_rate)
        return (Stage("partial", (unfreeze,), head_learning_rate=config.head_learning_rate, cache_features=True),)


def last_parts(strategy: str, setting: str, count: int | None, backbone: BackboneDescription) -> tuple[Part, ...]:
    """Select the last parts of a backbone; all when the count is None. Arguments and errors as :func:`check_part_count`."""
    check_part_count(strategy, setting, count, backbone)
    return backbone.parts[-(count or len(backbone.parts)) :]


def check_part_count(strategy: str, setting: str, count: int | None, backbone: BackboneDescription) -> None:
    """Check that a backbone has as many parts as a setting states.

    Args:
        strategy: its name, for the message.
        setting: the name of the setting, for the message.

    Raises:
        StrategyNotApplicable: when the backbone has fewer parts.
    """
    names = [part.name for part in backbone.parts]
    if count is not None and count > len(names):
        raise StrategyNotApplicable(
            f"'{strategy}' has {setting} = {count}, but the backbone has only {len(names)} parts: {', '.join(names)}. "
            f"Choose {setting} = {len(names)} or less."
        )
