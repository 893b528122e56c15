"""Multi-label classification: any number of labels per row, by binary cross-entropy; a label may be unknown."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from taskgraft.builtin.heads.configs import MULTI_LABEL, MultiLabelConfig
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import FeatureDescription
from taskgraft.contract.features import Features
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.labels import Label, build_vocabulary, check_label_lists, encode_label_lists, to_json_label
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription, is_missing, raise_invalid
from taskgraft.engine.linear_readout import LinearReadout, mean_of_members, per_member

_YES_NO = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}
_UNKNOWN = -1.0
"""The encoded target of a label that is unknown."""


class MultiLabelTarget(TargetDescription):
    """The labels. ``column`` is the one that lists them, or None when each label has its own column."""

    vocabulary: tuple[Label, ...]
    column: str | None


class MultiLabel(Head[MultiLabelTarget]):
    """Any number of labels per row."""

    target = MultiLabelTarget
    description = MULTI_LABEL

    def __init__(self, config: MultiLabelConfig):
        self._config = config

    def fit_targets(self, targets: Columns) -> MultiLabelTarget:
        if len(targets) > 1:
            return MultiLabelTarget(vocabulary=tuple(targets), column=None)
        column, values = next(iter(targets.items()))
        check_label_lists(column, values)
        labels = [label for value in values for label in self._labels(value)]
        return MultiLabelTarget(vocabulary=build_vocabulary(labels, column), column=column)

    def encode(self, targets: Columns, target: MultiLabelTarget) -> Batch:
        """Encode as ``labels``: ``(batch, label)`` float32, 1 present, 0 absent, -1 unknown."""
        if target.column is None:
            return self._from_columns([targets[str(label)] for label in target.vocabulary], target)
        values = targets[target.column]
        check_label_lists(target.column, values)
        rows = torch.zeros(len(values), len(target.vocabulary))
        for row, indices in enumerate(encode_label_lists(map(self._labels, values), target.vocabulary)):
            rows[row, indices] = 1.0
        return Batch({"labels": rows})

    def decode_targets(self, encoded: Batch, target: MultiLabelTarget) -> list[Any]:
        """Return label → True, False, or None where it is unknown, per row."""
        meaning = {1.0: True, 0.0: False, _UNKNOWN: None}
        rows = encoded["labels"].tolist()
        return [{label: meaning[value] for label, value in zip(target.vocabulary, row, strict=True)} for row in rows]

    def build_module(self, features: FeatureDescription, target: MultiLabelTarget) -> HeadModule:
        return _MultiLabelClassifier(features, target, self._config.threshold)

    def _labels(self, value: Any) -> list[Label]:
        if isinstance(value, str) or is_missing(value):
            return [part.strip() for part in (value or "").split(self._config.separator) if part.strip()]
        return [to_json_label(label) for label in value if not is_missing(label)]

    def _from_columns(self, columns: list[Sequence[Any]], target: MultiLabelTarget) -> Batch:
        reasons: dict[int, str] = {}
        rows = torch.full((len(columns[0]), len(columns)), _UNKNOWN)
        for index, values in enumerate(columns):
            for row, value in enumerate(values):
                if is_missing(value):
                    continue
                present = _YES_NO.get(str(to_json_label(value)).lower())
                if present is None:
                    reasons[row] = f"the target column '{target.vocabulary[index]}' is {value!r}, not 0, 1 or empty"
                else:
                    rows[row, index] = present
        raise_invalid(reasons)
        return Batch({"labels": rows})


class _MultiLabelClassifier(HeadModule):
    def __init__(self, features: FeatureDescription, target: MultiLabelTarget, threshold: float):
        super().__init__()
        self.readout = LinearReadout(features, len(target.vocabulary))
        self._members = features.ensemble_size
        self._vocabulary = target.vocabulary
        self._threshold = threshold

    def fit_feature_scale(self, features: Features) -> None:
        self.readout.calibrate(features)

    def forward(self, features: Features) -> Tensor:
        return self.readout(features.value)  # type: ignore[no-any-return]

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Binary cross-entropy, in nats, summed over known labels."""
        labels = targets["labels"]
        known = labels != _UNKNOWN
        target, mask = per_member(labels, self._members), per_member(known, self._members)
        losses = binary_cross_entropy_with_logits(output.float(), target, reduction="none")
        total = torch.where(mask, losses, 0.0).sum() / (self._members or 1)
        return LossSum(total, known.sum().float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        probabilities = mean_of_members(output.float().sigmoid(), self._members).cpu()
        present = (probabilities >= self._threshold).tolist()
        values = [[label for label, yes in zip(self._vocabulary, row, strict=True) if yes] for row in present]
        return Predictions(values, list(probabilities.numpy()), self._vocabulary)

    def soft_labels(self, output: Tensor, features: Features, temperature: float) -> Batch:
        """Return ``shares``: ``(batch, label)`` float32, the probability of each label."""
        return Batch({"shares": mean_of_members((output.float() / temperature).sigmoid(), self._members)})

    def distillation_loss(self, output: Tensor, soft: Batch, features: Features, temperature: float) -> LossSum:
        """T² x the KL divergence of each label, in nats, summed over all labels, unknown ones included."""
        shares = soft["shares"]
        target = per_member(shares, self._members)
        cross_entropy = binary_cross_entropy_with_logits(output.float() / temperature, target, reduction="sum")
        entropy = (torch.special.entr(target) + torch.special.entr(1 - target)).sum()
        total = (cross_entropy - entropy) * temperature**2 / (self._members or 1)
        return LossSum(total, output.new_tensor(float(shares.numel()), dtype=torch.float32))
