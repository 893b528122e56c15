"""Calibration: correct predicted probabilities, fitted on rows that the model was not trained on.

Probabilities are ``(row, 2)`` float32, of the negative and the positive label. Both are given, since one of them alone loses
precision near 1.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from taskgraft.plugin import Config

LOWEST, HIGHEST = 0.01, 100.0
"""Bounds of a temperature. If the validation rows are separated perfectly, the optimum would be 0."""

BISECTIONS = 60
"""Steps of the search for a temperature; they narrow the interval to 1e-17 of the bounds' ratio."""

Method = Literal["temperature", "isotonic", "none"]
Probabilities = NDArray[np.float32]
Numbers = NDArray[np.float64]
Positives = NDArray[np.bool_]


class Temperature(Config):
    """The number that the log-odds are divided by: above 1 the model was overconfident, below 1 underconfident."""

    temperature: float = Field(ge=LOWEST, le=HIGHEST)

    def positive(self, probabilities: Probabilities) -> Numbers:
        """Correct the probability of the positive label: ``(row,)``."""
        return _sigmoid(log_odds(probabilities) / self.temperature)


class Isotonic(Config):
    """A non-decreasing line through knots (probability, corrected probability); constant outside the knots."""

    knots: tuple[tuple[float, float], ...]

    def positive(self, probabilities: Probabilities) -> Numbers:
        """Correct the probability of the positive label: ``(row,)``."""
        before, after = np.array(self.knots, dtype=np.float64).T
        return np.interp(probabilities[:, 1].astype(np.float64), before, after)  # type: ignore[no-any-return]


def apply_calibration(probabilities: Probabilities, calibration: Temperature | Isotonic | None) -> Probabilities:
    """Correct probabilities; without a calibration return them unchanged."""
    if calibration is None:
        return probabilities
    positive = calibration.positive(probabilities)
    return np.stack([1 - positive, positive], axis=1).astype(np.float32)


def log_odds(probabilities: Probabilities) -> Numbers:
    """Compute log(positive / negative) in nats, ``(row,)``; between -87 and 87, also for a probability of 0."""
    smallest = float(np.finfo(np.float32).tiny)
    negative, positive = np.log(np.maximum(probabilities.astype(np.float64), smallest)).T
    return positive - negative  # type: ignore[no-any-return]


def fit_calibration(
    method: Method, probabilities: Probabilities, positives: Positives
) -> Temperature | Isotonic | None:
    """Fit a calibration on predicted probabilities and ``(row,)``, whether the label is positive."""
    if method == "none":
        return None
    fit = fit_temperature if method == "temperature" else fit_isotonic
    return fit(probabilities, positives)


def fit_temperature(probabilities: Probabilities, positives: Positives) -> Temperature:
    """Find the temperature of least log loss (Guo et al., 2017, On calibration of modern neural networks, section 4.2).

    The loss is convex in 1 / temperature, so bisection finds the zero of its slope, within the bounds.
    """
    odds = log_odds(probabilities)

    def slope(inverse: float) -> float:
        return float(np.mean(odds * (_sigmoid(odds * inverse) - positives)))

    low, high = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) < 0 else (low, middle)
    return Temperature(temperature=float(np.clip(np.exp(-(low + high) / 2), LOWEST, HIGHEST)))


def fit_isotonic(probabilities: Probabilities, positives: Positives) -> Isotonic:
    """Fit isotonic regression (Zadrozny and Elkan, 2002) with scikit-learn.

    Its values stay 1 / (rows + 2) away from 0 and 1, since finitely many rows do not prove certainty; so a log loss stays
    finite. It is fitted to ranks: scikit-learn takes probabilities for equal that differ by less than 1e-15.
    """
    from sklearn.isotonic import IsotonicRegression

    margin = 1 / (len(positives) + 2)
    line: Any = IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip")
    distinct, ranks = np.unique(probabilities[:, 1].astype(np.float64), return_inverse=True)
    line.fit(ranks.astype(np.float64), positives.astype(np.float64))
    before = distinct[line.X_thresholds_.astype(np.int64)]
    return Isotonic(knots=tuple(zip(before.tolist(), line.y_thresholds_.tolist(), strict=True)))


def _sigmoid(odds: Numbers) -> Numbers:
    """Convert log-odds to a probability, without overflow."""
    small = np.exp(-np.abs(odds))
    return np.where(odds >= 0, 1 / (1 + small), small / (1 + small))
