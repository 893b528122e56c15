"""A plugin of one head: supervised contrastive learning, and a classifier of the detached features to predict with.

Contract 1.1: the loss compares the rows of a batch, and the head says so.
"""

from collections.abc import Iterable

import torch
from torch import nn

from taskgraft.plugin import (
    Batch,
    Config,
    HeadDescription,
    HeadModule,
    HeadSpec,
    Layout,
    LossSum,
    TargetKind,
    hookimpl,
)

TASKGRAFT_CONTRACT = "1.1"
SIZE, TEMPERATURE = 8, 0.5


class ContrastiveConfig(Config):
    """Supervised contrastive learning."""


def describe(config: ContrastiveConfig) -> HeadDescription:
    return HeadDescription((Layout.VECTOR,), TargetKind.CATEGORY, metrics=("classification",), loss_over_batch=True)


def build(config: ContrastiveConfig):
    from taskgraft.builtin.heads.classification import Classification
    from taskgraft.builtin.heads.configs import ClassificationConfig

    class Contrastive(Classification):
        @property
        def description(self):
            return describe(config)

        def build_module(self, features, target):
            return Module(super().build_module(features, target), features.feature_size)

    return Contrastive(ClassificationConfig())


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    yield HeadSpec(
        name="contrastive",
        summary="classes that are far apart",
        config=ContrastiveConfig,
        describe=describe,
        build=build,
    )


def contrastive_terms(codes, labels):
    """The loss of each row, in nats (Khosla et al. 2020, equation 2); 0 for a row without another of its label.

    Args:
        codes: ``(batch, size)`` or ``(batch, member, size)``.
        labels: ``(batch,)`` int64.

    Returns:
        ``(batch,)`` float32.
    """
    codes = nn.functional.normalize(codes.float().flatten(1), dim=-1)
    alone = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    pairs = (labels[:, None] == labels) & ~alone
    scores = (codes @ codes.T / TEMPERATURE).masked_fill(alone, -torch.inf)
    shares = torch.where(pairs, scores.log_softmax(-1), 0.0)
    return -shares.sum(-1) / pairs.sum(-1).clamp(min=1)


class Module(HeadModule):
    """Features → codes and logits, side by side in the last axis."""

    def __init__(self, classifier, feature_size):
        super().__init__()
        self.classifier = classifier
        self.project = nn.Linear(feature_size, SIZE)

    def forward(self, features):
        """``(batch, feature)``, or ``(batch, member, feature)`` → the same with 8 + class in the last axis."""
        value = features.value
        codes = self.project(value.to(self.project.weight.dtype))
        return torch.cat([codes, self.classifier.readout(value.detach()).to(codes.dtype)], -1)

    def loss(self, output, targets: Batch, features):
        """Of the codes, and of the classifier. Every row counts."""
        logits = self.classifier.loss(output[..., SIZE:], targets, features)
        total = contrastive_terms(output[..., :SIZE], targets["label"]).sum()
        return LossSum(total + logits.total, logits.weight)

    def predict(self, output, features):
        return self.classifier.predict(output[..., SIZE:], features)
