"""Several strategies, one after the other: each goes on from the weights that the one before left."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field, field_validator

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Insertion, Plan, Stage
from taskgraft.contract.recipe import ComponentRef
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable


class StagesConfig(Config):
    """Several strategies, one after the other, each with settings of its own."""

    strategies: tuple[ComponentRef, ...] = Field(
        description="one or more names, or tables with a name and settings, in the order in which they train"
    )

    @field_validator("strategies")
    @classmethod
    def _not_empty(cls, strategies: tuple[ComponentRef, ...]) -> tuple[ComponentRef, ...]:
        if not strategies:
            raise ValueError("name one strategy or more")
        return strategies


class Stages(Strategy):
    """The stages of several strategies in a row. What one inserts stays, and no longer learns after it."""

    def __init__(self, strategies: Sequence[Strategy]):
        self._strategies = tuple(strategies)

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        if not self._strategies:
            raise StrategyNotApplicable("'stages' is made of no strategy. Give one or more.")
        stages: list[Stage] = []
        for strategy in self._strategies:
            before = {insertion.name for stage in stages for insertion in stage.insertions}
            for stage in strategy.plan(backbone, head):
                insert = tuple(_renamed(insertion, before) for insertion in stage.insertions)
                stages.append(replace(stage, name=f"{len(stages) + 1}-{stage.name}", insertions=insert))
        return tuple(stages)


def _renamed(insertion: Insertion, before: set[str]) -> Insertion:
    """Give an insertion a name that no earlier strategy took: the first in ``low-rank``, ``low-rank-2``, ``low-rank-3``."""
    name, number = insertion.name, 1
    while name in before:
        number += 1
        name = f"{insertion.name}-{number}"
    return replace(insertion, name=name)
