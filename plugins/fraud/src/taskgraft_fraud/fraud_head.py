"""The head ``fraud``: a rare binary outcome with a logistic loss; calibration and threshold are tuned on validation rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
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
    build_vocabulary,
    check_labels_present,
    find_label,
    join_words,
    label_indices,
    label_key,
    match_label,
    mean_of_members,
    per_member,
    raise_invalid,
    single_column,
    to_json_label,
)
from taskgraft_fraud.calibration import Isotonic, Probabilities, Temperature, apply_calibration, fit_calibration
from taskgraft_fraud.days import parse_days
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.head_settings import FraudConfig, describe_fraud
from taskgraft_fraud.parse_cells import InvalidCells
from taskgraft_fraud.positive_label import percent, positive_setting, rarer_label
from taskgraft_fraud.threshold import Threshold, choose_by_capacity, choose_by_costs, fraud_losses


class FraudTarget(TargetDescription):
    """The two labels of a task, the calibration, and the threshold.

    Attributes:
        share: of the training rows with the label ``positive``, from 0 to 1; None in artifacts that lack it.
        calibration: None before tuning, or if the settings ask for none.
        threshold: a row whose calibrated probability exceeds it is predicted as ``positive``.
    """

    column: str
    negative: Label
    positive: Label
    share: float | None = None
    calibration: Temperature | Isotonic | None = None
    threshold: Threshold


class FraudHead(Head[FraudTarget]):
    """Predicts one of two labels per row, one of them rare."""

    target = FraudTarget

    def __init__(self, config: FraudConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_fraud(self._config)

    def fit_targets(self, targets: Columns) -> FraudTarget:
        """Find the two labels and decide which is positive.

        Raises:
            InvalidTargets: naming each row without a label.
            FraudError: if there are more than two labels, neither is clearly rarer, or the label to detect is not one of them.
        """
        column, values = single_column(targets, "fraud")
        check_labels_present(column, values)
        labels = [to_json_label(value) for value in values]
        vocabulary = build_vocabulary(labels, column)
        if len(vocabulary) > 2:
            raise FraudError(
                f"'fraud' predicts two labels, but the target column '{column}' has {len(vocabulary)}: "
                f"{join_words(map(repr, vocabulary), 6)}. Choose the head 'classification', or merge labels."
            )
        counts = Counter(map(label_key, labels))
        positive = self._positive_index(counts, vocabulary, column)
        value = 0.5 if self._config.threshold is None else self._config.threshold
        return FraudTarget(
            column=column,
            negative=vocabulary[1 - positive],
            positive=vocabulary[positive],
            share=counts[label_key(vocabulary[positive])] / len(labels),
            threshold=Threshold(value=value, chosen="stated"),
        )

    def summary(self, target: FraudTarget) -> Sequence[str]:
        """Say which label is positive, its share, and if it was not named, how to name the other."""
        share = "" if target.share is None else f", {percent(target.share, 1)} of the training rows"
        said = f"'fraud' detects the label {target.positive!r}{share}"
        if self._config.positive is not None or target.share is None:
            return (f"{said}.",)
        return (f"{said}: the rarer one. To detect the other, set the head's {positive_setting(target.negative)}.",)

    def encode(self, targets: Columns, target: FraudTarget) -> Batch:
        """Encode labels as ``label``, ``(batch,)`` int64: 1 for the positive label."""
        column, values = single_column(targets, "fraud")
        check_labels_present(column, values)
        vocabulary = (target.negative, target.positive)
        indices = label_indices(vocabulary)
        encoded = [find_label(value, indices, vocabulary) for value in values]
        raise_invalid({row: reason for row, reason in enumerate(encoded) if isinstance(reason, str)})
        return Batch({"label": torch.tensor(encoded, dtype=torch.int64)})

    def decode_targets(self, encoded: Batch, target: FraudTarget) -> list[Any]:
        return [target.positive if label else target.negative for label in encoded["label"].tolist()]

    def mix_targets(self, encoded: Batch, others: Batch, shares: Tensor, target: FraudTarget) -> Batch:
        """Mix to soft labels: ``label``, ``(batch,)`` float32, the probability of the positive label."""
        return Batch({"label": torch.lerp(others["label"].float(), encoded["label"].float(), shares)})

    def build_module(self, features: FeatureDescription, target: FraudTarget) -> HeadModule:
        return _FraudModule(features, target, self._config)

    def check_tuning_rows(self, encoded: Batch, columns: Columns, target: FraudTarget) -> None:
        """Check amounts and times, and that both labels occur.

        Raises:
            InvalidTargets: naming rows with an invalid amount or time.
            FraudError: if all rows have the same label, or the label that is rarer in training is the commoner one here.
        """
        frauds = _is_fraud(encoded)
        try:
            if self._config.amount is not None:
                fraud_losses(self._config.amount, columns[self._config.amount], frauds)
            if self._config.alerts_per_day is not None and self._config.time is not None:
                parse_days(columns[self._config.time], self._config.time, "seconds")
        except InvalidCells as error:
            raise_invalid(error.reasons)
        if frauds.all() or not frauds.any():
            missing = target.negative if frauds.all() else target.positive
            raise FraudError(
                f"'fraud' tunes {self.description.tunes} on validation rows, but none of the {len(frauds):,} has the label "
                f"{missing!r} in the column '{target.column}'. Provide other rows with data.validation, or hold out more "
                "training rows with data.split."
            )
        if self._config.positive is None and target.share is not None and 2 * frauds.sum() > len(frauds):
            raise FraudError(
                f"'fraud' detects the rarer of two labels: in the training rows that is {target.positive!r} "
                f"({percent(target.share, 1)}), but in the validation rows it is the commoner one "
                f"({percent(frauds.sum(), len(frauds))}). Name the label to detect in the head's settings: "
                f"{positive_setting(target.negative, target.positive)}."
            )

    def tune(self, predictions: Predictions, encoded: Batch, columns: Columns, target: FraudTarget) -> FraudTarget:
        """Fit the calibration, then choose the threshold on calibrated probabilities."""
        probabilities, frauds = np.stack(predictions.probabilities or []), _is_fraud(encoded)
        calibration = fit_calibration(self._config.calibration, probabilities, frauds)
        scores = apply_calibration(probabilities, calibration)[:, 1].astype(np.float64)
        threshold = self._choose_threshold(scores, frauds, columns) or target.threshold
        return target.model_copy(update={"calibration": calibration, "threshold": threshold})

    def decide(self, predictions: Predictions, target: FraudTarget) -> Predictions:
        """Calibrate the probabilities of a baseline, and compare them with the threshold."""
        known = tuple(map(label_key, (target.negative, target.positive)))
        if predictions.probabilities is None or tuple(map(label_key, predictions.classes)) != known:
            return predictions
        return _decide(np.stack(predictions.probabilities), target)

    def _positive_index(self, counts: Mapping[str, int], vocabulary: tuple[Label, ...], column: str) -> int:
        """Find the label to detect: the configured one, else the rarer."""
        positive = self._config.positive
        if positive is None:
            return rarer_label(counts, (vocabulary[0], vocabulary[1]), column)
        index = match_label(positive, vocabulary)
        if index is None:
            raise FraudError(
                f"The label to detect (positive) is {positive!r}, but the target column '{column}' has "
                f"{join_words(map(repr, vocabulary))}. Name one of these."
            )
        return index

    def _choose_threshold(
        self, scores: NDArray[np.float64], frauds: NDArray[np.bool_], columns: Columns
    ) -> Threshold | None:
        config = self._config
        if config.review is not None and config.amount is not None:
            return choose_by_costs(scores, fraud_losses(config.amount, columns[config.amount], frauds), config.review)
        if config.review is not None and config.loss is not None:
            return choose_by_costs(scores, np.where(frauds, config.loss, 0.0), config.review)
        if config.alerts_per_day is not None and config.time is not None:
            days = parse_days(columns[config.time], config.time, "seconds").numbers
            return choose_by_capacity(scores, len(np.unique(days)), config.alerts_per_day)
        return None


class _FraudModule(HeadModule):
    def __init__(self, features: FeatureDescription, target: FraudTarget, config: FraudConfig):
        super().__init__()
        self.readout = LinearReadout(features, 1)
        self._members = features.ensemble_size
        self._target = target
        self._weight, self._focal = config.positive_weight, config.focal

    def fit_feature_scale(self, features: Features) -> None:
        self.readout.calibrate(features)

    def forward(self, features: Features) -> Tensor:
        """Compute log-odds: ``(batch, 1)``, or ``(batch, member, 1)`` for an ensemble."""
        return self.readout(features.value)  # type: ignore[no-any-return]

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Compute the logistic or focal loss, in nats (Lin et al., 2017, equation 5).

        Args:
            targets: ``label``, ``(batch,)``; from 0 to 1 if soft.
        """
        label = targets["label"].float()
        goal, odds = per_member(label, self._members), output.float()[..., 0]
        log_positive, log_negative = logsigmoid(odds), logsigmoid(-odds)
        positive_loss, negative_loss = -self._weight * goal * log_positive, (goal - 1) * log_negative
        if self._focal:
            positive_loss = positive_loss * (self._focal * log_negative).exp()
            negative_loss = negative_loss * (self._focal * log_positive).exp()
        weight = (1 + (self._weight - 1) * label).sum()
        return LossSum((positive_loss + negative_loss).sum() / (self._members or 1), weight)

    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Average the members' probabilities, calibrate the mean, and compare it with the threshold."""
        odds = output.float().cpu()
        raw: Probabilities = mean_of_members(torch.cat([-odds, odds], -1).sigmoid(), self._members).numpy()
        return _decide(raw, self._target)


def _decide(raw: Probabilities, target: FraudTarget) -> Predictions:
    """Calibrate probabilities, ``(row, 2)``, and predict the positive label where its probability exceeds the threshold."""
    probabilities = apply_calibration(raw, target.calibration)
    alerts = probabilities[:, 1].astype(np.float64) > target.threshold.value
    values = [target.positive if alert else target.negative for alert in alerts.tolist()]
    return Predictions(values, list(probabilities), (target.negative, target.positive), target.positive)


def _is_fraud(encoded: Batch) -> NDArray[np.bool_]:
    return encoded["label"].numpy() == 1  # type: ignore[no-any-return]
