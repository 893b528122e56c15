"""The built-in baselines, fitted on the same training rows as the model. None imports numpy until it is called."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskgraft.contract.columns import Columns, ElementCounts
from taskgraft.contract.config import Config, EmptyConfig
from taskgraft.contract.descriptions import TargetKind
from taskgraft.labels import Label, sort_labels

if TYPE_CHECKING:
    from taskgraft.contract.predictions import Predictions


class MajorityState(Config):
    """How often each label occurs in the training rows.

    Attributes:
        kind: of the target.
        labels: sorted.
        shares: one per label, from 0 to 1: of the rows, of the labelled elements, or of the rows where the label is known.
    """

    kind: TargetKind
    labels: tuple[Label, ...]
    shares: tuple[float, ...]


def fit_majority(inputs: Columns, truth: Sequence[Any], config: EmptyConfig) -> MajorityState:
    """Count labels. The truth of a row is a label, a list with one per element, or label → whether it is true."""
    first = next(iter(truth), None)
    if isinstance(first, Mapping):
        return _fit_multi_label(truth)
    if isinstance(first, list):
        return _fit_single_label(TargetKind.ELEMENT_CATEGORIES, (label for row in truth for label in row))
    return _fit_single_label(TargetKind.CATEGORY, truth)


def predict_majority(
    state: MajorityState, inputs: Columns, elements: ElementCounts, config: EmptyConfig
) -> "Predictions":
    """Predict the most frequent label, the first of a tie; with several labels per row, those true in over half of the rows."""
    import numpy as np

    from taskgraft.contract.predictions import Predictions

    first = state.labels[int(np.argmax(state.shares))]
    if elements is not None:
        return Predictions([[first] * count for count in elements], classes=state.labels)
    value: Any = first
    if state.kind == TargetKind.CATEGORIES:
        value = [label for label, share in zip(state.labels, state.shares, strict=True) if share > 0.5]
    count, shares = len(next(iter(inputs.values()))), np.array(state.shares, dtype=np.float32)
    return Predictions([value] * count, [shares] * count, state.labels)


class MeanState(Config):
    """The mean of each target column in the training rows, in the column's unit."""

    means: tuple[float, ...]


def fit_mean(inputs: Columns, truth: Sequence[Any], config: EmptyConfig) -> MeanState:
    """Average the truth: a number per row, or a list of them when there are several columns."""
    import numpy as np

    rows = np.array(truth, dtype=np.float64).reshape(len(truth), -1)
    return MeanState(means=tuple(rows.mean(0).tolist()))


def predict_mean(state: MeanState, inputs: Columns, elements: ElementCounts, config: EmptyConfig) -> "Predictions":
    """Predict the means for every row."""
    from taskgraft.contract.predictions import Predictions

    value: Any = state.means[0] if len(state.means) == 1 else list(state.means)
    return Predictions([value] * len(next(iter(inputs.values()))))


def _fit_single_label(kind: TargetKind, labels: Iterable[Any]) -> MajorityState:
    counts = Counter(label for label in labels if label is not None)
    known = sort_labels(counts)
    return MajorityState(kind=kind, labels=known, shares=tuple(counts[label] / counts.total() for label in known))


def _fit_multi_label(truth: Sequence[Mapping[Any, bool | None]]) -> MajorityState:
    """Compute each label's share of the rows where it is known; 0 where it never is."""
    labels = tuple(truth[0])
    known = [[row[label] for row in truth if row[label] is not None] for label in labels]
    shares = tuple(sum(map(bool, column)) / max(len(column), 1) for column in known)
    return MajorityState(kind=TargetKind.CATEGORIES, labels=labels, shares=shares)
