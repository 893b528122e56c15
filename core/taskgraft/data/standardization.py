"""Standardise numbers by mean and scale: one rule for inputs and targets, in every plugin."""

import numpy as np
from numpy.typing import NDArray

ROUNDING = 16 * np.finfo(np.float64).eps
"""Numbers whose range is below this share of their magnitude differ by rounding alone."""

LARGEST_SCALED = 1e18
"""Numbers more standard deviations than this from the mean are invalid: in float32 their squares are hardly finite."""


def is_constant(numbers: NDArray[np.float64]) -> bool:
    """Whether numbers are equal, up to rounding. Compares them: the deviation of equal numbers may not be exactly 0.

    Args:
        numbers: ``(row,)``, finite, at least one.
    """
    low, high = float(numbers.min()), float(numbers.max())
    return low == high or bool(high - low <= ROUNDING * max(abs(low), abs(high)))


def scale_numbers(
    numbers: NDArray[np.float64], mean: float, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Standardise numbers by the mean and the scale of the training split.

    Args:
        numbers: ``(row,)``.

    Returns:
        the standardised numbers, ``(row,)``, and which of them are beyond :data:`LARGEST_SCALED`, or not finite: ``(row,)``.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (numbers - mean) / scale
    return scaled, ~(np.abs(scaled) <= LARGEST_SCALED)


def too_far(mean: float, scale: float) -> str:
    """Say why a number is invalid that :func:`scale_numbers` marks, after the number itself."""
    if (mean, scale) == (0.0, 1.0):
        return f"which is beyond ±{LARGEST_SCALED:g}, too large to compute with"
    return (
        f"more than {LARGEST_SCALED:g} standard deviations ({scale:g}) from the mean of the training split ({mean:g})"
    )


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
