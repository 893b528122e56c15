"""Element classification: a label per element, by softmax cross-entropy."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from taskgraft.builtin.heads.configs import ELEMENT_CLASSIFICATION, ElementClassificationConfig
from taskgraft.builtin.heads.label_lists import check_label_lists, encode_label_lists
from taskgraft.contract.batch import Batch, length_mask
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import FeatureDescription
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription, is_missing, raise_invalid, single_column
from taskgraft.engine.linear_readout import LinearReadout, tempered_divergence
from taskgraft.labels import Label, build_vocabulary, to_json_label


class ElementClassificationTarget(TargetDescription):
    """The labels."""

    column: str
    vocabulary: tuple[Label, ...]


class ElementClassification(Head[ElementClassificationTarget]):
    """A label per element."""

    target = ElementClassificationTarget
    description = ELEMENT_CLASSIFICATION

    def __init__(self, config: ElementClassificationConfig):
        self._config = config

    def fit_targets(self, targets: Columns) -> ElementClassificationTarget:
        column, values = single_column(targets, "element-classification")
        rows = _label_lists(column, values)
        labels = (to_json_label(label) for row in rows for label in row if not is_missing(label))
        return ElementClassificationTarget(column=column, vocabulary=build_vocabulary(labels, column))

    def encode(self, targets: Columns, target: ElementClassificationTarget) -> Batch:
        """Encode as ``labels``: ``(batch, element)`` int64, 0 where there is no label, else the index of the label plus 1."""
        column, values = single_column(targets, "element-classification")
        rows = encode_label_lists(_label_lists(column, values), target.vocabulary)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        labels = torch.zeros(len(rows), max(map(len, rows), default=0), dtype=torch.int64)
        for row, indices in enumerate(rows):
            labels[row, : len(indices)] = torch.tensor(indices) + 1
        return Batch({"labels": labels}, {"labels": (ELEMENT_AXIS,)}, {ELEMENT_AXIS: lengths})

    def decode_targets(self, encoded: Batch, target: ElementClassificationTarget) -> list[Any]:
        names = (None, *target.vocabulary)
        rows = zip(encoded["labels"].tolist(), encoded.lengths[ELEMENT_AXIS].tolist(), strict=True)
        return [[names[label] for label in labels[:count]] for labels, count in rows]

    def build_module(self, features: FeatureDescription, target: ElementClassificationTarget) -> HeadModule:
        return _ElementClassifier(features, target, self._config.label_smoothing)


class _ElementClassifier(HeadModule):
    def __init__(self, features: FeatureDescription, target: ElementClassificationTarget, label_smoothing: float):
        super().__init__()
        self.readout = LinearReadout(features, len(target.vocabulary))
        self._vocabulary = target.vocabulary
        self._smoothing = label_smoothing

    def fit_feature_scale(self, features: Features) -> None:
        self.readout.calibrate(features)

    def forward(self, features: Features) -> Tensor:
        """Compute logits, ``(batch, element, class)``; those of padded elements are 0."""
        output = self.readout(features.value)
        return torch.where(features.mask.unsqueeze(-1), output, 0.0)

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Softmax cross-entropy, in nats, summed over labelled elements, without those that were truncated."""
        shared = min(output.shape[1], targets["labels"].shape[1])
        logits, labels = output[:, :shared], targets["labels"][:, :shared]
        labelled = (labels > 0) & features.mask[:, :shared]
        total = cross_entropy(
            logits[labelled].float(), labels[labelled] - 1, reduction="sum", label_smoothing=self._smoothing
        )
        return LossSum(total, labelled.sum().float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        probabilities = output.float().softmax(-1).cpu()
        rows = [row[:count] for row, count in zip(probabilities, features.mask.sum(1).tolist(), strict=True)]
        values = [[self._vocabulary[index] for index in row.argmax(-1).tolist()] for row in rows]
        return Predictions(values, [row.numpy() for row in rows], self._vocabulary)

    def soft_labels(self, output: Tensor, features: Features, temperature: float) -> Batch:
        """Return ``shares``: ``(batch, element, class)`` float32, probabilities, without elements that were truncated."""
        shares = (output.float() / temperature).softmax(-1)
        return Batch({"shares": shares}, {"shares": (ELEMENT_AXIS,)}, {ELEMENT_AXIS: features.mask.sum(1)})

    def distillation_loss(self, output: Tensor, soft: Batch, features: Features, temperature: float) -> LossSum:
        """Tempered divergence, in nats, summed over the elements that neither teacher nor student truncated."""
        shared = min(output.shape[1], soft["shares"].shape[1])
        both = features.mask[:, :shared] & length_mask(soft.lengths[ELEMENT_AXIS], shared)
        total = tempered_divergence(output[:, :shared][both].float(), soft["shares"][:, :shared][both], temperature)
        return LossSum(total, both.sum().float())


def _label_lists(column: str, values: Sequence[Any]) -> list[list[Any]]:
    """Return each row's labels as a list. A text is split at white space.

    Raises:
        InvalidTargets: naming each row without labels.
    """
    raise_invalid(
        {row: f"the target column '{column}' is empty" for row, value in enumerate(values) if _is_empty(value)}
    )
    check_label_lists(column, values)
    return [value.split() if isinstance(value, str) else list(value) for value in values]


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | float) and (is_missing(value) or not str(value).strip()))
