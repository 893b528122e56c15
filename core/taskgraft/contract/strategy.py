"""The strategy contract: descriptions in, stages out."""

from abc import ABC, abstractmethod

from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan
from taskgraft.errors import TaskgraftError


class Strategy(ABC):
    """Which weights are trained, and how. Holds settings; stores nothing between calls."""

    @abstractmethod
    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        """Return stages, from descriptions alone: the same descriptions give the same plan.

        Raises:
            StrategyNotApplicable: when the strategy does not fit this backbone or head, with the reason.
        """


class StrategyNotApplicable(TaskgraftError):
    """A strategy that does not fit a backbone or head."""
