"""Changes to the stages of another strategy that train by gradient descent."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from taskgraft.contract.plan import HeadSolver, Plan, Stage
from taskgraft.contract.strategy import StrategyNotApplicable


def change_descent(name: str, plan: Plan, change: Callable[[Stage], Mapping[str, Any]]) -> Plan:
    """Change fields of every stage of gradient descent.

    Args:
        name: of the strategy that changes them.

    Raises:
        StrategyNotApplicable: when there is no such stage.
    """
    if all(stage.solve == HeadSolver.CONVEX for stage in plan):
        raise StrategyNotApplicable(
            f"'{name}' changes the steps of gradient descent, but the strategy that it contains takes none: it solves for the "
            "head. Let it contain one that trains in steps, such as 'partial' or 'full'."
        )
    return tuple(stage if stage.solve == HeadSolver.CONVEX else replace(stage, **change(stage)) for stage in plan)
