"""The head ``fraud``: a rare outcome, yes or no, by logistic loss; calibration and threshold are chosen by validation rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from taskgraft.plugin import (
    Batch,
    Columns,
    FeatureDescription,
    Features,
    Head,
    HeadDescription,
    HeadModule,
    Label,
    LinearReadout,
    LossSum,
    Predictions,
    TargetDescription,
    TaskgraftError,
    build_vocabulary,
    check_labels_present,
    find_label,
    join_words,
    label_indices,
    label_key,
    mean_of_members,
    per_member,
    raise_invalid,
    single_column,
    to_json_label,
)
from taskgraft_fraud.calibration import Chances, Isotonic, Temperature, calibrated, fit
from taskgraft_fraud.cells import BadCells
from taskgraft_fraud.day import days_of
from taskgraft_fraud.fraud_settings import FraudConfig, describe_fraud
from taskgraft_fraud.threshold import Threshold, by_capacity, by_costs, losses_of


class FraudTarget(TargetDescription):
    """The two labels of a task, how probabilities are corrected, and which are alerts.

    Attributes:
        calibration: None before validation rows were seen, and where none is wanted.
        threshold: a row whose corrected probability exceeds it is predicted as ``positive``.
    """

    column: str
    negative: Label
    positive: Label
    calibration: Temperature | Isotonic | None = None
    threshold: Threshold


class Fraud(Head[FraudTarget]):
    """One of two labels per row, of which one is rare."""

    target = FraudTarget

    def __init__(self, config: FraudConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_fraud(self._config)

    def fit_targets(self, targets: Columns) -> FraudTarget:
        """Tell the two labels apart.

        Raises:
            InvalidTargets: naming each row without a label.
            NotTwoLabels, NoSuchLabel: when there are more labels, or the one to find is none of them.
        """
        column, values = single_column(targets, "fraud")
        check_labels_present(column, values)
        labels = [to_json_label(value) for value in values]
        known = build_vocabulary(labels, column)
        if len(known) > 2:
            raise NotTwoLabels(column, known)
        place = self._place(labels, known, column)
        stated = 0.5 if self._config.threshold is None else self._config.threshold
        threshold = Threshold(value=stated, chosen="stated")
        return FraudTarget(column=column, negative=known[1 - place], positive=known[place], threshold=threshold)

    def encode(self, targets: Columns, target: FraudTarget) -> Batch:
        """Give ``label`` as ``(batch,)`` int64, 1 for the positive label."""
        column, values = single_column(targets, "fraud")
        check_labels_present(column, values)
        known = (target.negative, target.positive)
        numbers = label_indices(known)
        found = [find_label(value, numbers, known) for value in values]
        raise_invalid({row: reason for row, reason in enumerate(found) if isinstance(reason, str)})
        return Batch({"label": torch.tensor(found, dtype=torch.int64)})

    def decode_targets(self, encoded: Batch, target: FraudTarget) -> list[Any]:
        return [target.positive if label else target.negative for label in encoded["label"].tolist()]

    def mix_targets(self, encoded: Batch, others: Batch, shares: Tensor, target: FraudTarget) -> Batch:
        """Give ``label`` as ``(batch,)`` float32: how much of it is positive."""
        return Batch({"label": torch.lerp(others["label"].float(), encoded["label"].float(), shares)})

    def build_module(self, features: FeatureDescription, target: FraudTarget) -> HeadModule:
        return _Fraud(features, target, self._config)

    def check_tuning_rows(self, encoded: Batch, columns: Columns, target: FraudTarget) -> None:
        """Refuse amounts and times that cannot be read, and rows that are all of one label.

        Raises:
            InvalidTargets: naming the rows.
            OneLabel: when one of the labels is missing.
        """
        frauds = _frauds(encoded)
        try:
            if self._config.amount is not None:
                losses_of(self._config.amount, columns[self._config.amount], frauds)
            if self._config.alerts_per_day is not None and self._config.time is not None:
                days_of(columns[self._config.time], self._config.time, "seconds")
        except BadCells as error:
            raise_invalid(error.reasons)
        if frauds.all() or not frauds.any():
            missing = target.negative if frauds.all() else target.positive
            raise OneLabel(self.description.tunes, missing, target.column, len(frauds))

    def tune(self, predictions: Predictions, encoded: Batch, columns: Columns, target: FraudTarget) -> FraudTarget:
        """Fit the calibration, then choose the threshold among corrected probabilities."""
        chances, frauds = np.stack(predictions.probabilities or []), _frauds(encoded)
        calibration = fit(self._config.calibration, chances, frauds)
        scores = calibrated(chances, calibration)[:, 1].astype(np.float64)
        threshold = self._threshold(scores, frauds, columns) or target.threshold
        return target.model_copy(update={"calibration": calibration, "threshold": threshold})

    def _place(self, labels: Sequence[Label], known: tuple[Label, ...], column: str) -> int:
        """Find the label that is asked for among two; else the rarer one, of two as rare the later."""
        asked = self._config.positive
        if asked is None:
            counts = Counter(map(label_key, labels))
            return 0 if counts[label_key(known[0])] < counts[label_key(known[1])] else 1
        place = label_indices(known).get(label_key(asked))
        if place is None:
            raise NoSuchLabel(asked, column, known)
        return place

    def _threshold(self, scores: NDArray[np.float64], frauds: NDArray[np.bool_], columns: Columns) -> Threshold | None:
        config = self._config
        if config.review is not None and config.amount is not None:
            return by_costs(scores, losses_of(config.amount, columns[config.amount], frauds), config.review)
        if config.review is not None and config.loss is not None:
            return by_costs(scores, np.where(frauds, config.loss, 0.0), config.review)
        if config.alerts_per_day is not None and config.time is not None:
            days = days_of(columns[config.time], config.time, "seconds").numbers
            return by_capacity(scores, len(np.unique(days)), config.alerts_per_day)
        return None


class _Fraud(HeadModule):
    def __init__(self, features: FeatureDescription, target: FraudTarget, config: FraudConfig):
        super().__init__()
        self.readout = LinearReadout(features, 1)
        self._members = features.ensemble_size
        self._target = target
        self._weight, self._focal = config.positive_weight, config.focal

    def fit_feature_scale(self, features: Features) -> None:
        self.readout.calibrate(features)

    def forward(self, features: Features) -> Tensor:
        """Give log-odds: ``(batch, 1)``, with members ``(batch, member, 1)``."""
        return self.readout(features.value)  # type: ignore[no-any-return]

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Logistic or focal loss, in nats (Lin et al., 2017, equation 5). ``label`` is ``(batch,)``, from 0 to 1 when soft."""
        label = targets["label"].float()
        goal, odds = per_member(label, self._members), output.float()[..., 0]
        yes, no = logsigmoid(odds), logsigmoid(-odds)
        missed, alarmed = -self._weight * goal * yes, (goal - 1) * no
        if self._focal:
            missed, alarmed = missed * (self._focal * no).exp(), alarmed * (self._focal * yes).exp()
        weight = (1 + (self._weight - 1) * label).sum()
        return LossSum((missed + alarmed).sum() / (self._members or 1), weight)

    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Average members, correct the probability, and compare it with the threshold."""
        odds = output.float().cpu()
        raw: Chances = mean_of_members(torch.cat([-odds, odds], -1).sigmoid(), self._members).numpy()
        chances, target = calibrated(raw, self._target.calibration), self._target
        alerts = chances[:, 1].astype(np.float64) > target.threshold.value
        values = [target.positive if alert else target.negative for alert in alerts.tolist()]
        return Predictions(values, list(chances), (target.negative, target.positive))


def _frauds(encoded: Batch) -> NDArray[np.bool_]:
    return encoded["label"].numpy() == 1  # type: ignore[no-any-return]


@dataclass(eq=False)
class NotTwoLabels(TaskgraftError):
    """More than two labels."""

    column: str
    vocabulary: tuple[Label, ...]

    def __str__(self) -> str:
        return (
            f"'fraud' tells two labels apart, but the target column '{self.column}' has {len(self.vocabulary)}: "
            f"{join_words(map(repr, self.vocabulary), 6)}. Choose the head 'classification', or merge labels."
        )


@dataclass(eq=False)
class NoSuchLabel(TaskgraftError):
    """A label to find that does not occur."""

    positive: Label
    column: str
    vocabulary: tuple[Label, ...]

    def __str__(self) -> str:
        return (
            f"'fraud' is to find the label {self.positive!r} (positive), but the target column '{self.column}' has "
            f"{join_words(map(repr, self.vocabulary))}. Name one of these."
        )


@dataclass(eq=False)
class OneLabel(TaskgraftError):
    """Validation rows that are all of one label."""

    settles: str
    missing: Label
    column: str
    rows: int

    def __str__(self) -> str:
        return (
            f"'fraud' chooses {self.settles} by validation rows, but none of the {self.rows:,} has {self.missing!r} in the "
            f"column '{self.column}'. Give others with data.validation, or hold out more of the training rows with data.split."
        )
