"""Regression: numbers, by squared error of standardised targets, predicted in their original unit."""

import math
from typing import Any

import torch
from pydantic import model_validator
from torch import Tensor

from taskgraft.builtin.heads.configs import REGRESSION, RegressionConfig
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import FeatureDescription
from taskgraft.contract.features import Features
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription, is_missing, raise_invalid
from taskgraft.data.standardization import mean_and_scale, scale_numbers, too_far
from taskgraft.engine.linear_readout import LinearReadout, mean_of_members, per_member
from taskgraft.reading.format_advice import format_hint

_MAX_ABS = 1e100
"""Larger numbers, whose squares may not be finite, are invalid."""


class RegressionTarget(TargetDescription):
    """The target columns, with the mean and standard deviation of each in the training split, in the column's unit."""

    columns: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> "RegressionTarget":
        if not self.columns or {len(self.means), len(self.scales)} != {len(self.columns)}:
            raise ValueError("there must be one mean and one scale per column")
        if min(self.scales) <= 0:
            raise ValueError("scales must be greater than 0")
        return self


class Regression(Head[RegressionTarget]):
    """One or more numbers per row."""

    target = RegressionTarget
    description = REGRESSION

    def __init__(self, config: RegressionConfig):
        self._config = config

    def fit_targets(self, targets: Columns) -> RegressionTarget:
        numbers = _parse_numbers(targets, tuple(targets))
        means, scales = zip(*(mean_and_scale(column.numpy()) for column in numbers.T), strict=True)
        return RegressionTarget(columns=tuple(targets), means=means, scales=scales)

    def encode(self, targets: Columns, target: RegressionTarget) -> Batch:
        """Encode as ``numbers``: ``(batch, column)`` float32, standardised; and ``exact``: ``(batch, column)`` int64, the bits
        of the numbers in float64.

        Metrics compare with the exact ones: a float32 has seven digits, fewer than a number far from the mean needs. As
        integers they also fit on devices without float64.
        """
        numbers = _parse_numbers(targets, target.columns)
        columns = [
            scale_numbers(column.numpy(), mean, scale)
            for column, mean, scale in zip(numbers.T, target.means, target.scales, strict=True)
        ]
        reasons = {
            row: f"the target column '{name}' is {targets[name][row]!r:.60}, {too_far(mean, scale)}"
            for (_, invalid), name, mean, scale in zip(
                columns, target.columns, target.means, target.scales, strict=True
            )
            for row in invalid.nonzero()[0].tolist()
        }
        raise_invalid(dict(sorted(reasons.items())))
        standardised = torch.stack([torch.from_numpy(scaled) for scaled, _ in columns], dim=1)
        return Batch({"numbers": standardised.float(), "exact": numbers.contiguous().view(torch.int64)})

    def decode_targets(self, encoded: Batch, target: RegressionTarget) -> list[Any]:
        return _rows(encoded["exact"].cpu().view(torch.float64))

    def build_module(self, features: FeatureDescription, target: RegressionTarget) -> HeadModule:
        return _Regressor(features, target)


class _Regressor(HeadModule):
    def __init__(self, features: FeatureDescription, target: RegressionTarget):
        super().__init__()
        self.readout = LinearReadout(features, len(target.columns))
        self._members = features.ensemble_size
        self._target = target

    def fit_feature_scale(self, features: Features) -> None:
        self.readout.calibrate(features)

    def forward(self, features: Features) -> Tensor:
        return self.readout(features.value)  # type: ignore[no-any-return]

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Squared error of the standardised numbers, averaged over columns, summed over rows."""
        numbers = targets["numbers"]
        error = (output.float() - per_member(numbers, self._members)) ** 2
        return LossSum(error.mean(-1).sum() / (self._members or 1), output.new_tensor(float(len(numbers))).float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Convert to the original units in float64: a float32 sum would lose the deviation beside a large mean."""
        standardised = mean_of_members(output.cpu().double(), self._members)
        means, scales = (
            torch.tensor(numbers, dtype=torch.float64) for numbers in (self._target.means, self._target.scales)
        )
        return Predictions(_rows(standardised * scales + means))

    def soft_labels(self, output: Tensor, features: Features, temperature: float) -> Batch:
        """Return ``numbers``: ``(batch, column)`` float32, standardised. The temperature has no effect."""
        return Batch({"numbers": mean_of_members(output.float(), self._members)})

    def distillation_loss(self, output: Tensor, soft: Batch, features: Features, temperature: float) -> LossSum:
        """Squared error of the standardised numbers, with the teacher's as targets."""
        return self.loss(output, soft, features)


def _rows(numbers: Tensor) -> list[Any]:
    """Return ``(row, column)`` float64 as a number per row, or as lists when there are several columns."""
    rows = numbers.tolist()
    return [row[0] for row in rows] if numbers.shape[1] == 1 else rows


def _parse_numbers(targets: Columns, columns: tuple[str, ...]) -> Tensor:
    """Parse numbers to ``(row, column)`` float64.

    Raises:
        InvalidTargets: naming each row without a number.
    """
    reasons: dict[int, str] = {}
    numbers: list[list[float]] = []
    for column in columns:
        numbers.append([])
        for row, value in enumerate(targets[column]):
            number = _parse_number(value)
            if isinstance(number, str):
                reasons[row] = f"the target column '{column}' {number}"
                number = 0.0
            numbers[-1].append(number)
    raise_invalid(dict(sorted(reasons.items())))
    return torch.tensor(numbers, dtype=torch.float64).T


def _parse_number(value: Any) -> float | str:
    """Return the number, or the reason why there is none."""
    if is_missing(value):
        return "is empty"
    try:
        number = (
            float("") if isinstance(value, str) and "_" in value else float(value)
        )  # "1_000" is no number but in Python
    except (TypeError, ValueError):
        return f"is {value!r}, not a number{format_hint(value) if isinstance(value, str) else ''}"
    if not math.isfinite(number):
        return f"is {value!r}, not a finite number"
    return number if abs(number) <= _MAX_ABS else f"is {value!r}, too large to standardise"
