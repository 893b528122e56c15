"""Classification: one label per row, by softmax cross-entropy."""

from collections import Counter
from typing import Any

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from taskgraft.builtin.heads.configs import ClassificationConfig, describe_classification
from taskgraft.builtin.heads.label_lists import encode_label_lists
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.config import ConfigError
from taskgraft.contract.descriptions import FeatureDescription, HeadDescription
from taskgraft.contract.features import Features
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription, single_column
from taskgraft.engine.linear_readout import LinearReadout, mean_of_members, per_member, tempered_divergence
from taskgraft.errors import join_words
from taskgraft.labels import (
    Label,
    build_vocabulary,
    check_labels_present,
    label_key,
    to_json_label,
)
from taskgraft.reading.known_labels import match_label


class ClassificationTarget(TargetDescription):
    """The labels and the weight of each in the loss."""

    column: str
    vocabulary: tuple[Label, ...]
    weights: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "ClassificationTarget":
        if len(set(map(str, self.vocabulary))) != len(self.vocabulary) or len(self.vocabulary) < 2:
            raise ValueError("the vocabulary needs two or more different labels")
        if self.weights is not None and len(self.weights) != len(self.vocabulary):
            raise ValueError("there must be one weight per label")
        return self


class Classification(Head[ClassificationTarget]):
    """One label per row."""

    target = ClassificationTarget

    def __init__(self, config: ClassificationConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_classification(self._config)

    def fit_targets(self, targets: Columns) -> ClassificationTarget:
        column, values = single_column(targets, "classification")
        check_labels_present(column, values)
        labels = [to_json_label(value) for value in values]
        vocabulary = build_vocabulary(labels, column)
        return ClassificationTarget(column=column, vocabulary=vocabulary, weights=self._weights(labels, vocabulary))

    def adopt_from_teacher(self, target: ClassificationTarget, targets: Columns) -> ClassificationTarget:
        labels = [to_json_label(value) for value in single_column(targets, "classification")[1]]
        return target.model_copy(update={"weights": self._weights(labels, target.vocabulary)})

    def encode(self, targets: Columns, target: ClassificationTarget) -> Batch:
        column, values = single_column(targets, "classification")
        check_labels_present(column, values)
        indices = encode_label_lists([[value] for value in values], target.vocabulary)
        return Batch({"label": torch.tensor(indices, dtype=torch.int64).flatten()})

    def decode_targets(self, encoded: Batch, target: ClassificationTarget) -> list[Any]:
        return [target.vocabulary[index] for index in encoded["label"].tolist()]

    def mix_targets(self, encoded: Batch, others: Batch, shares: Tensor, target: ClassificationTarget) -> Batch:
        """Return ``label`` as ``(batch, class)`` float32: the shares of both labels."""
        own, other = (one_hot(batch["label"], len(target.vocabulary)).float() for batch in (encoded, others))
        return Batch({"label": torch.lerp(other, own, shares[:, None])})

    def build_module(self, features: FeatureDescription, target: ClassificationTarget) -> HeadModule:
        return _Classifier(features, target, self._config)

    def _weights(self, labels: list[Label], vocabulary: tuple[Label, ...]) -> tuple[float, ...] | None:
        """Compute the weight of each class.

        Raises:
            ConfigError: when weights by label leave out labels, or name unknown ones.
        """
        weights, keys = self._config.class_weights, [label_key(label) for label in vocabulary]
        if weights == "none":
            return None
        if weights == "balanced":
            counts = Counter(map(label_key, labels))
            return tuple(len(labels) / (len(keys) * max(counts[key], 1)) for key in keys)
        matches = {name: match_label(name, vocabulary) for name in weights}
        by_index = {index: float(weights[name]) for name, index in matches.items() if index is not None}
        problems = []
        if missing := [label for index, label in enumerate(vocabulary) if index not in by_index]:
            problems.append(f"class_weights has no weight for {join_words(map(repr, missing))}.")
        if unknown := sorted(name for name, index in matches.items() if index is None):
            problems.append(f"class_weights names {join_words(map(repr, unknown))}, which does not occur in the data.")
        if len(by_index) + len(unknown) < len(matches):
            problems.append("class_weights names a label twice.")
        if problems:
            raise ConfigError("head 'classification'", (*problems, "Give each label one weight."))
        return tuple(by_index[index] for index in range(len(vocabulary)))


class _Classifier(HeadModule):
    def __init__(self, features: FeatureDescription, target: ClassificationTarget, config: ClassificationConfig):
        super().__init__()
        self.readout = LinearReadout(features, len(target.vocabulary))
        self._members = features.ensemble_size
        self._vocabulary = target.vocabulary
        self._smoothing, self._focal = config.label_smoothing, config.focal
        weights = None if target.weights is None else torch.tensor(target.weights)
        self.register_buffer("_weights", weights, persistent=False)

    def fit_feature_scale(self, features: Features) -> None:
        self.readout.calibrate(features)

    def forward(self, features: Features) -> Tensor:
        return self.readout(features.value)  # type: ignore[no-any-return]

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Softmax cross-entropy or focal loss, in nats. ``label`` is ``(batch,)`` int64, or ``(batch, class)`` when soft."""
        label = targets["label"]
        logits, classes = output.float().flatten(0, -2), output.shape[-1]
        target = per_member(label, self._members)
        target = target.reshape(-1, classes) if label.is_floating_point() else target.reshape(-1)
        weights: Tensor | None = self._weights  # type: ignore[assignment]
        if self._focal:
            total = _focal_loss(logits, target, weights, self._smoothing, self._focal)
        else:
            total = cross_entropy(logits, target, weights, reduction="sum", label_smoothing=self._smoothing)
        if weights is None or label.is_floating_point():
            weight = output.new_tensor(float(len(label)), dtype=torch.float32)
        else:
            weight = weights[label].sum()
        return LossSum(total / (self._members or 1), weight)

    def predict(self, output: Tensor, features: Features) -> Predictions:
        probabilities = mean_of_members(output.float().softmax(-1), self._members).cpu()
        values = [self._vocabulary[index] for index in probabilities.argmax(-1).tolist()]
        return Predictions(values, list(probabilities.numpy()), self._vocabulary)

    def soft_labels(self, output: Tensor, features: Features, temperature: float) -> Batch:
        """Return ``shares``: ``(batch, class)`` float32, probabilities."""
        return Batch({"shares": mean_of_members((output.float() / temperature).softmax(-1), self._members)})

    def distillation_loss(self, output: Tensor, soft: Batch, features: Features, temperature: float) -> LossSum:
        """Tempered divergence, in nats; every row has weight 1, whatever the class weights."""
        shares = per_member(soft["shares"], self._members)
        total = tempered_divergence(output.float(), shares, temperature)
        return LossSum(total / (self._members or 1), output.new_tensor(float(len(output)), dtype=torch.float32))


def _focal_loss(logits: Tensor, target: Tensor, weights: Tensor | None, smoothing: float, gamma: float) -> Tensor:
    """Sum the focal loss (Lin et al., 2017, Focal loss for dense object detection, equation 5), in nats.

    Cross-entropy is a sum over classes: share of the class in the target x weight x -log p. Each term is multiplied by
    (1 - p)^gamma of its own class, with hard labels (one term per row) as with smoothed and soft ones (all terms).

    Args:
        logits: ``(row, class)`` float32.
        target: ``(row,)`` int64, or ``(row, class)`` floating point, the shares.
        weights: ``(class,)``, or None for 1.
    """
    classes = logits.shape[-1]
    shares = target if target.is_floating_point() else one_hot(target, classes)
    shares = shares * (1 - smoothing) + smoothing / classes
    log_p = logits.log_softmax(-1)
    epsilon = torch.finfo(logits.dtype).eps  # for gamma below 1, the gradient at 0 would be infinite
    terms = -shares * (1 - log_p.exp()).clamp_min(epsilon) ** gamma * log_p
    return (terms if weights is None else terms * weights).sum()
