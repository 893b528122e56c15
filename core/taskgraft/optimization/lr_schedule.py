"""Learning-rate schedule: linear warm-up, then linear, cosine or no decay."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LearningRateSchedule:
    """The factor of the peak learning rate at each step. It has no state, which makes resuming exact.

    Attributes:
        shape: ``linear`` and ``cosine`` decay to 0 at the last step; ``constant`` does not decay.
        warmup: the fraction of the steps in which the rate rises.
    """

    shape: str
    steps: int
    warmup: float

    def factor(self, step: int) -> float:
        """Return the factor of a step, counted from 0."""
        rise = round(self.steps * self.warmup)
        if step < rise:
            return (step + 1) / (rise + 1)
        if self.shape == "constant":
            return 1.0
        done = min(1.0, (step - rise) / max(1, self.steps - rise))
        return 1.0 - done if self.shape == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
