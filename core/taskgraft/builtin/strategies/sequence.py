"""Several strategies in sequence: each continues from the weights that the previous one trained."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field, field_validator

from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Insertion, Plan, Stage
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable


class StagesConfig(Config):
    """Several strategies in sequence, each with its own settings."""

    strategies: tuple[ComponentRef, ...] = Field(
        description="one or more names, or tables with a name and settings, in the order in which they train"
    )

    @field_validator("strategies")
    @classmethod
    def _not_empty(cls, strategies: tuple[ComponentRef, ...]) -> tuple[ComponentRef, ...]:
        if not strategies:
            raise ValueError("name one or more strategies")
        return strategies


class Stages(Strategy):
    """The stages of several strategies in sequence. Insertions of an earlier strategy stay in place, frozen."""

    def __init__(self, strategies: Sequence[Strategy]):
        self._strategies = tuple(strategies)

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        if not self._strategies:
            raise StrategyNotApplicable("'stages' contains no strategy. Give one or more.")
        stages: list[Stage] = []
        for strategy in self._strategies:
            taken = {insertion.name for stage in stages for insertion in stage.insertions}
            for stage in strategy.plan(backbone, head):
                insertions = tuple(_with_free_name(insertion, taken) for insertion in stage.insertions)
                stages.append(replace(stage, name=f"{len(stages) + 1}-{stage.name}", insertions=insertions))
        return tuple(stages)


def _with_free_name(insertion: Insertion, taken: set[str]) -> Insertion:
    """Rename an insertion to the first of ``low-rank``, ``low-rank-2``, … that no earlier strategy has taken."""
    name, number = insertion.name, 1
    while name in taken:
        number += 1
        name = f"{insertion.name}-{number}"
    return replace(insertion, name=name)
