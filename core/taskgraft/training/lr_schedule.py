"""How the rates of a stage rise and fall."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LearningRateSchedule:
    """A factor of the peak rate for each step, which rises linearly over the warm-up and then falls.

    Attributes:
        shape: ``linear`` and ``cosine`` fall to 0 at the end; ``constant`` does not fall.
        warmup: the share of the steps in which rates rise.
    """

    shape: str
    steps: int
    warmup: float

    def factor(self, step: int) -> float:
        """Give the factor of a step, counted from 0."""
        rise = round(self.steps * self.warmup)
        if step < rise:
            return (step + 1) / (rise + 1)
        if self.shape == "constant":
            return 1.0
        done = (step - rise) / max(1, self.steps - rise)
        return max(0.0, 1.0 - done) if self.shape == "linear" else 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
