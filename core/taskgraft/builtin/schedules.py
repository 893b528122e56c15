"""The built-in learning-rate schedules: pure functions of the step after the warm-up and the number of such steps.

Those that torch.optim.lr_scheduler has, too, give the same factors.
"""

import math
from functools import partial
from typing import ClassVar

from pydantic import Field, field_validator

from taskgraft.contract.config import Config, EmptyConfig
from taskgraft.contract.plan import Schedule
from taskgraft.contract.specs import ScheduleSpec


class CosineConfig(Config):
    """Fall along half a cosine wave, once or several times (Loshchilov and Hutter 2017)."""

    positional: ClassVar[str | None] = "cycles"

    cycles: int = Field(
        default=1, ge=1, description="number of waves of equal length; the rate starts each at its peak"
    )
    lowest: float = Field(default=0.0, ge=0, le=1, description="factor at the end of a wave")


class PolynomialConfig(Config):
    """Fall to 0 by a power of the share of steps that are left."""

    positional: ClassVar[str | None] = "power"

    power: float = Field(default=2.0, gt=0, description="1 is the linear schedule")


class ExponentialConfig(Config):
    """Fall by the same factor in each step."""

    positional: ClassVar[str | None] = "last"

    last: float = Field(default=0.01, gt=0, le=1, description="factor after the last step")


class StepConfig(Config):
    """Fall at stated times, and stay constant in between."""

    at: tuple[float, ...] = Field(default=(0.5, 0.75), description="shares of the steps, rising, after which it falls")
    factor: float = Field(
        default=0.1, gt=0, le=1, description="the rate as a multiple of that before each of these times"
    )

    @field_validator("at")
    @classmethod
    def _check_times(cls, at: tuple[float, ...]) -> tuple[float, ...]:
        if not at or list(at) != sorted(set(at)) or not all(0 < time < 1 for time in at):
            raise ValueError("at needs rising shares of the steps between 0 and 1, such as [0.5, 0.75]")
        return at


def linear(config: EmptyConfig) -> Schedule:
    """Fall by the same amount in each step."""
    return lambda step, steps: 1.0 - _done(step, steps)


def constant(config: EmptyConfig) -> Schedule:
    """Stay at the peak."""
    return lambda step, steps: 1.0


def cosine(config: CosineConfig) -> Schedule:
    """Fall along half a cosine wave."""
    return partial(_cosine, config)


def _cosine(config: CosineConfig, step: int, steps: int) -> float:
    share = _done(step, steps) * config.cycles
    inside = share - math.floor(share) if share < config.cycles else 1.0
    return config.lowest + (1.0 - config.lowest) * 0.5 * (1.0 + math.cos(math.pi * inside))


def polynomial(config: PolynomialConfig) -> Schedule:
    """Fall by a power of what is left."""
    return lambda step, steps: (1.0 - _done(step, steps)) ** config.power


def exponential(config: ExponentialConfig) -> Schedule:
    """Fall by the same factor in each step."""
    return lambda step, steps: config.last ** _done(step, steps)


def step_wise(config: StepConfig) -> Schedule:
    """Fall at stated times."""
    return lambda step, steps: config.factor ** sum(step >= math.ceil(round(share * steps, 9)) for share in config.at)


def _done(step: int, steps: int) -> float:
    """Return the share of the steps that are done."""
    return min(1.0, step / steps)


_SCHEDULES = (
    ("constant", "stay at the peak", EmptyConfig, constant),
    ("cosine", "fall along half a cosine wave, once or several times", CosineConfig, cosine),
    ("exponential", "fall by the same factor in each step", ExponentialConfig, exponential),
    ("linear", "fall to 0 by the same amount in each step", EmptyConfig, linear),
    ("polynomial", "fall to 0 by a power of what is left", PolynomialConfig, polynomial),
    ("step", "fall at stated times", StepConfig, step_wise),
)
SCHEDULES = tuple(
    ScheduleSpec(name=name, summary=summary, config=config, build=build) for name, summary, config, build in _SCHEDULES
)
