"""Averages of weights over the steps of training, around any strategy: EMA and SWA."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from taskgraft.builtin.strategies.descent import change_descent
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable

if TYPE_CHECKING:
    from taskgraft.contract.callback import Callback, StageRun


class AverageConfig(Config):
    """Average the weights over the steps of each stage, for validation and for the fitted model."""

    positional: ClassVar[str | None] = "strategy"

    strategy: ComponentRef = Field(description="strategy that trains, a name or a table with its name and settings")
    method: Literal["ema", "swa"] = Field(
        default="ema",
        description="ema: exponential moving average over all steps; swa: equal mean of the weights at the end of each epoch, "
        "from 'start' on",
    )
    decay: float = Field(
        default=0.999, ge=0, lt=1, description="of ema, per step; smaller in the first steps: (1 + step) / (10 + step)"
    )
    start: float = Field(
        default=0.5, ge=0, lt=1, description="of swa: share of the stage's steps before the first weights of the mean"
    )


@dataclass(frozen=True)
class MakeAverage:
    """Makes the callback that averages."""

    method: str
    decay: float
    start: float

    def __call__(self, run: "StageRun") -> "Callback":
        from taskgraft.builtin.strategies.weight_average import EpochAverage, MovingAverage

        return MovingAverage(run, self.decay) if self.method == "ema" else EpochAverage(run, self.start)


class Average(Strategy):
    """The plan of another strategy, with averages in each stage of gradient descent."""

    def __init__(self, config: AverageConfig, nested: tuple[Strategy, ...]):
        (self._strategy,) = nested
        self._make = MakeAverage(config.method, config.decay, config.start)

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        plan = self._strategy.plan(backbone, head)
        if any(isinstance(callback, MakeAverage) for stage in plan for callback in stage.callbacks):
            raise StrategyNotApplicable(
                "'average' averages weights, and so does the strategy that it contains. Keep one."
            )
        return change_descent("average", plan, lambda stage: {"callbacks": (*stage.callbacks, self._make)})
