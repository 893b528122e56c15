"""The strategy contract: descriptions in, stages out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan
from taskgraft.errors import TaskgraftError


class Strategy(ABC):
    """Which weights learn, and how. Holds settings; keeps nothing between calls."""

    @abstractmethod
    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        """Answer with stages, from descriptions alone: the same descriptions give the same plan.

        Raises:
            StrategyNotApplicable: when the strategy does not fit this backbone or head, with the reason.
        """


@dataclass(eq=False)
class StrategyNotApplicable(TaskgraftError):
    """A strategy does not fit a backbone or head."""

    reason: str

    def __str__(self) -> str:
        return self.reason
