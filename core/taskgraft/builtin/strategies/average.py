"""Averages of weights over the steps of training, around any strategy: EMA and SWA."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

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
        description="ema: exponential moving average over all steps; swa: equal mean of weights from 'start' on, which needs "
        "rates that stay up: training.schedule = 'constant'",
    )
    decay: float = Field(
        default=0.999, ge=0, lt=1, description="of ema, per step; smaller in the first steps: (1 + step) / (10 + step)"
    )
    start: float = Field(
        default=0.5, ge=0, lt=1, description="of swa: share of the stage's steps before the first weights of the mean"
    )
    every: int | None = Field(
        default=None,
        ge=1,
        description="of swa: steps between weights of the mean; by default those at the end of each epoch",
    )

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        of_other, other = (("start", "every"), "swa") if self.method == "ema" else (("decay",), "ema")
        for name in of_other:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"'{name}' has no effect with method = '{self.method}'; drop it, or set method = '{other}'"
                )
        return self


@dataclass(frozen=True)
class MakeAverage:
    """Makes the callback that averages."""

    method: str
    decay: float
    start: float
    every: int | None

    def __call__(self, run: "StageRun") -> "Callback":
        from taskgraft.builtin.strategies.weight_average import EqualAverage, MovingAverage

        return MovingAverage(run, self.decay) if self.method == "ema" else EqualAverage(run, self.start, self.every)


class Average(Strategy):
    """The plan of another strategy, with averages in each stage of gradient descent."""

    def __init__(self, config: AverageConfig, nested: tuple[Strategy, ...]):
        (self._strategy,) = nested
        self._make = MakeAverage(config.method, config.decay, config.start, config.every)

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        plan = self._strategy.plan(backbone, head)
        if any(isinstance(callback, MakeAverage) for stage in plan for callback in stage.callbacks):
            raise StrategyNotApplicable(
                "'average' averages weights, and so does the strategy that it contains. Keep one."
            )
        return change_descent("average", plan, lambda stage: {"callbacks": (*stage.callbacks, self._make)})
