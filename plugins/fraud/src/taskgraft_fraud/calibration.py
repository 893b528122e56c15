"""Calibration: corrections of a probability, learned from rows that the model was not trained on.

Chances are ``(row, 2)`` float32, the probabilities of the negative and of the positive label. Both are given, since near 1 one
of them alone would round away what tells rows apart.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from taskgraft.plugin import Config

LOWEST, HIGHEST = 0.01, 100.0
"""Bounds of a temperature. Where validation rows are told apart without a mistake the best one is 0, and is not taken."""

HALVINGS = 60
"""Steps of the search for a temperature; they leave an interval of 1e-17 of the bounds' ratio."""

Kind = Literal["temperature", "isotonic", "none"]
Chances = NDArray[np.float32]
Numbers = NDArray[np.float64]
Truth = NDArray[np.bool_]


class Temperature(Config):
    """One number that the log-odds are divided by: above 1 the model was too sure, below 1 not sure enough."""

    temperature: float = Field(ge=LOWEST, le=HIGHEST)

    def positive(self, chances: Chances) -> Numbers:
        """Correct the probability of the positive label: ``(row,)``."""
        return _chance(log_odds(chances) / self.temperature)


class Isotonic(Config):
    """A rising line through knots: a probability, and what it is corrected to. Flat before the first and after the last."""

    knots: tuple[tuple[float, float], ...]

    def positive(self, chances: Chances) -> Numbers:
        """Correct the probability of the positive label: ``(row,)``."""
        before, after = np.array(self.knots, dtype=np.float64).T
        return np.interp(chances[:, 1].astype(np.float64), before, after)  # type: ignore[no-any-return]


def calibrated(chances: Chances, calibration: Temperature | Isotonic | None) -> Chances:
    """Correct chances; without a calibration they stay as they are."""
    if calibration is None:
        return chances
    positive = calibration.positive(chances)
    return np.stack([1 - positive, positive], axis=1).astype(np.float32)


def log_odds(chances: Chances) -> Numbers:
    """Give log(positive / negative) in nats, ``(row,)``; between -87 and 87, also where a probability is 0."""
    least = float(np.finfo(np.float32).tiny)
    negative, positive = np.log(np.maximum(chances.astype(np.float64), least)).T
    return positive - negative  # type: ignore[no-any-return]


def fit(kind: Kind, chances: Chances, truth: Truth) -> Temperature | Isotonic | None:
    """Learn a calibration from rows: the chances that a model gave, and ``(row,)`` whether the label was positive."""
    if kind == "none":
        return None
    return fit_temperature(chances, truth) if kind == "temperature" else fit_isotonic(chances, truth)


def fit_temperature(chances: Chances, truth: Truth) -> Temperature:
    """Find the temperature of the least log loss (Guo et al., 2017, On calibration of modern neural networks, section 4.2).

    The loss is convex in 1 / temperature, so its slope is followed to 0 by halving, within the bounds.
    """
    odds = log_odds(chances)

    def slope(sharpness: float) -> float:
        return float(np.mean(odds * (_chance(odds * sharpness) - truth)))

    low, high = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) < 0 else (low, middle)
    return Temperature(temperature=float(np.clip(np.exp(-(low + high) / 2), LOWEST, HIGHEST)))


def fit_isotonic(chances: Chances, truth: Truth) -> Isotonic:
    """Find the rising line of the least squared error (Zadrozny and Elkan, 2002), by scikit-learn.

    It stays 1 / (rows + 2) away from 0 and 1: so many rows are no proof that the next one cannot be otherwise, and a log loss
    stays finite.
    """
    from sklearn.isotonic import IsotonicRegression

    edge = 1 / (len(truth) + 2)
    line: Any = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip")
    line.fit(chances[:, 1].astype(np.float64), truth.astype(np.float64))
    return Isotonic(knots=tuple(zip(line.X_thresholds_.tolist(), line.y_thresholds_.tolist(), strict=True)))


def _chance(odds: Numbers) -> Numbers:
    """Turn log-odds into a probability, without overflow."""
    small = np.exp(-np.abs(odds))
    return np.where(odds >= 0, 1 / (1 + small), small / (1 + small))
