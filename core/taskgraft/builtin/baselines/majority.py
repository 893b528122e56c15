"""The majority: for each row, or element, what is most frequent in the training rows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from taskgraft.builtin.baselines.configs import MajorityLearned
from taskgraft.contract.columns import Columns, ElementCounts
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.labels import sort_labels
from taskgraft.contract.predictions import Predictions


def learn(inputs: Columns, truth: Sequence[Any], settings: EmptyConfig) -> MajorityLearned:
    """Count labels. A row of the truth is a label, a list with one per element, or label → whether it is true."""
    first = next(iter(truth), None)
    if isinstance(first, Mapping):
        return _of_several(truth)
    if isinstance(first, list):
        return _of_one(TargetKind.ELEMENT_CATEGORIES, (label for row in truth for label in row))
    return _of_one(TargetKind.CATEGORY, truth)


def predict(learned: MajorityLearned, inputs: Columns, elements: ElementCounts, settings: EmptyConfig) -> Predictions:
    """Predict the same for all: of equally frequent labels the first; of several at once those true of more than half."""
    first = learned.labels[int(np.argmax(learned.shares))]
    if elements is not None:
        return Predictions([[first] * count for count in elements], classes=learned.labels)
    value: Any = first
    if learned.kind == TargetKind.CATEGORIES:
        value = [label for label, share in zip(learned.labels, learned.shares, strict=True) if share > 0.5]
    count, shares = len(next(iter(inputs.values()))), np.array(learned.shares, dtype=np.float32)
    return Predictions([value] * count, [shares] * count, learned.labels)


def _of_one(kind: TargetKind, labels: Iterable[Any]) -> MajorityLearned:
    counts = Counter(label for label in labels if label is not None)
    known = sort_labels(counts)
    return MajorityLearned(kind=kind, labels=known, shares=tuple(counts[label] / counts.total() for label in known))


def _of_several(truth: Sequence[Mapping[Any, bool | None]]) -> MajorityLearned:
    """Give each label its share of the rows of which it is known; 0 when it never is."""
    labels = tuple(truth[0])
    known = [[row[label] for row in truth if row[label] is not None] for label in labels]
    shares = tuple(sum(map(bool, column)) / max(len(column), 1) for column in known)
    return MajorityLearned(kind=TargetKind.CATEGORIES, labels=labels, shares=shares)
