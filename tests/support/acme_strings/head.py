"""The head: one label per row, from a vector."""

from typing import Any

import torch
from torch import Tensor, nn

from acme_strings import describe_kinds
from taskgraft.plugin import (
    Batch,
    Columns,
    EmptyConfig,
    FeatureDescription,
    Features,
    Head,
    HeadDescription,
    HeadModule,
    InvalidTargets,
    LossSum,
    Predictions,
    TargetDescription,
    label_key,
    unseen_label_message,
)


class KindsTarget(TargetDescription):
    """The labels of the training split."""

    labels: tuple[str, ...]


class Kinds(Head[KindsTarget]):
    """Cross-entropy over the labels of the training split."""

    target = KindsTarget

    @property
    def description(self) -> HeadDescription:
        return describe_kinds(EmptyConfig())

    def fit_targets(self, targets: Columns) -> KindsTarget:
        (labels,) = targets.values()
        return KindsTarget(labels=tuple(sorted(set(map(label_key, labels)))))

    def encode(self, targets: Columns, target: KindsTarget) -> Batch:
        (labels,) = targets.values()
        invalid = {
            row: unseen_label_message(one, target.labels)
            for row, one in enumerate(labels)
            if label_key(one) not in target.labels
        }
        if invalid:
            raise InvalidTargets(invalid)
        return Batch({"label": torch.tensor([target.labels.index(label_key(label)) for label in labels])})

    def decode_targets(self, encoded: Batch, target: KindsTarget) -> list[Any]:
        return [target.labels[number] for number in encoded["label"].tolist()]

    def build_module(self, features: FeatureDescription, target: KindsTarget) -> HeadModule:
        return KindsModule(features, target.labels)


class KindsModule(HeadModule):
    """``(batch, feature)``, or with members ``(batch, member, feature)`` → logits ``(batch, label)``."""

    def __init__(self, features: FeatureDescription, labels: tuple[str, ...]):
        super().__init__()
        self.labels = labels
        self.readout = nn.Linear(features.feature_size, len(labels))

    def forward(self, features: Features) -> Tensor:
        value = features.value.to(self.readout.weight.dtype)
        logits = self.readout(value)
        return logits if logits.dim() == 2 else logits.mean(1)

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        total = nn.functional.cross_entropy(output.float(), targets["label"], reduction="sum")
        return LossSum(total, torch.tensor(float(len(output)), device=output.device))

    def predict(self, output: Tensor, features: Features) -> Predictions:
        shares = output.float().softmax(-1)
        values = [self.labels[number] for number in shares.argmax(-1).tolist()]
        return Predictions(values, list(shares.cpu().numpy()), self.labels)
