"""Learning rates over the steps of a stage: a linear warm-up, then a schedule."""

import math
from dataclasses import dataclass

from taskgraft.composition.resolve import ResolvedComponent, resolve
from taskgraft.contract.plan import Schedule, Stage
from taskgraft.contract.specs import ScheduleSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.preparation.errors import TrainingError
from taskgraft.recipe import TrainingConfig


@dataclass(frozen=True)
class LearningRates:
    """The factor of the peak learning rates at each step. It has no state, which makes resuming exact.

    Attributes:
        label: names the schedule in messages.
        warmup: the fraction of the steps in which the rate rises.
    """

    label: str
    schedule: Schedule
    steps: int
    warmup: float

    @classmethod
    def of(cls, stage: Stage, settings: TrainingConfig, steps: int) -> "LearningRates":
        """Take the schedule of the stage, or else that of the training settings."""
        if stage.schedule is not None:
            return cls(f"the schedule of the stage '{stage.name}'", stage.schedule, steps, settings.warmup)
        found = resolve_schedule(settings)
        return cls(f"the schedule '{found.label}'", found.spec.build(found.config), steps, settings.warmup)

    def factor(self, step: int) -> float:
        """Return the factor of a step, counted from 0.

        Raises:
            TrainingError: for a factor that is negative or not finite.
        """
        rise = round(self.steps * self.warmup)
        if step < rise:
            return (step + 1) / (rise + 1)
        factor = self.schedule(step - rise, max(1, self.steps - rise))
        if not isinstance(factor, int | float) or not math.isfinite(factor) or factor < 0:
            raise TrainingError(
                f"At step {step + 1:,}, {self.label} returned {factor!r:.40}, not a factor of the learning rate: a finite "
                "number from 0."
            )
        return float(factor)


def resolve_schedule(settings: TrainingConfig) -> ResolvedComponent[ScheduleSpec]:
    """Find the schedule that training settings name, and validate its settings."""
    return resolve(catalog(), ScheduleSpec, settings.schedule)
