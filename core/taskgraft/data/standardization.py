"""The mean and the scale by which numbers are standardised: one rule for inputs and targets, in every plugin."""

import numpy as np
from numpy.typing import NDArray

ROUNDING = 16 * np.finfo(np.float64).eps
"""Numbers whose range is below this share of their magnitude differ by rounding alone."""


def is_constant(numbers: NDArray[np.float64]) -> bool:
    """Whether numbers are equal, up to rounding. Compares them: the deviation of equal numbers may not be exactly 0.

    Args:
        numbers: ``(row,)``, finite, at least one.
    """
    low, high = float(numbers.min()), float(numbers.max())
    return low == high or bool(high - low <= ROUNDING * max(abs(low), abs(high)))


def mean_and_scale(numbers: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and standard deviation, in the unit of the numbers; for equal ones that number and 1.

    A column that was constant in training would otherwise have a scale of rounding noise (3.6e-15 for 14.62), by which a later
    change of 0.1 becomes a number of 28 million millions.

    Args:
        numbers: ``(row,)``, finite, at least one.

    Returns:
        the mean and the scale; the scale is not finite for numbers whose squares overflow.
    """
    if is_constant(numbers):
        return float(numbers[0]), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(numbers.mean()), float(numbers.std())
    return mean, deviation or 1.0  # of numbers so small that their squares underflow
