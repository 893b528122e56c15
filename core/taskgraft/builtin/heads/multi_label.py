"""Multi-label classification: any number of labels per row, by binary cross-entropy; a label may be unknown."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from taskgraft.builtin.heads.configs import MultiLabelConfig, describe_multi_label
from taskgraft.builtin.heads.label_lists import encode_label_lists
from taskgraft.builtin.heads.multi_label_cells import (
    UNKNOWN,
    Cell,
    check_both_occur,
    check_separator,
    known_labels,
    not_a_bit,
    one_hot_places,
    read_cells,
    to_bit,
)
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import FeatureDescription, HeadDescription
from taskgraft.contract.features import Features
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription, raise_invalid
from taskgraft.engine.linear_readout import LinearReadout, mean_of_members, per_member
from taskgraft.errors import join_words
from taskgraft.labels import Label, build_vocabulary, label_indices
from taskgraft.reading.known_labels import find_label


class MultiLabelTarget(TargetDescription):
    """The labels.

    Attributes:
        column: the one that lists them, or None when each label has its own column.
        cells: what that column holds: lists of labels; lists with 0 or 1 for each label; label → 0 or 1.
    """

    vocabulary: tuple[Label, ...]
    column: str | None
    cells: Literal["labels", "one-hot", "dicts"] = "labels"


class MultiLabel(Head[MultiLabelTarget]):
    """Any number of labels per row."""

    target = MultiLabelTarget

    def __init__(self, config: MultiLabelConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_multi_label(self._config)

    def fit_targets(self, targets: Columns) -> MultiLabelTarget:
        """Collect the labels, and decide what the cells hold.

        Raises:
            InvalidTargets: naming rows that hold neither labels nor a 0 or 1 for each.
            TargetError: for values that can mean two things, with the setting to write.
        """
        target = self._find_labels(targets)
        if target.cells != "labels" or target.column is None:
            columns = (
                f"columns {join_words(map(repr, targets), 5)} hold"
                if len(targets) > 1
                else f"column '{target.column}' holds"
            )
            check_both_occur(f"The target {columns}", set(self.encode(targets, target)["labels"].unique().tolist()))
        return target

    def summary(self, target: MultiLabelTarget) -> Sequence[str]:
        if target.cells != "one-hot" or self._config.classes:
            return ()
        first, last, count = target.vocabulary[0], target.vocabulary[-1], len(target.vocabulary)
        return (
            f"The target column '{target.column}' holds 0 or 1 for each of {count:,} labels, called '{first}' to '{last}' by "
            'their place. Name them with head.classes = [...]; if 0 and 1 are labels, set head.lists = "labels".',
        )

    def encode(self, targets: Columns, target: MultiLabelTarget) -> Batch:
        """Encode as ``labels``: ``(batch, label)`` float32, 1 present, 0 absent, -1 unknown."""
        if target.column is None:
            return self._from_columns([targets[str(label)] for label in target.vocabulary], target)
        cells = read_cells(target.column, targets[target.column], self._config.separator)
        index_of, places = label_indices(target.vocabulary), len(target.vocabulary)
        rows = torch.zeros(len(cells), places)
        lists: list[list[Any]] = [[] for _ in cells]
        reasons: dict[int, str] = {}
        for row, cell in enumerate(cells):
            if cell is None:
                rows[row] = 0.0 if target.cells == "labels" else UNKNOWN
            elif isinstance(cell, dict):
                rows[row] = UNKNOWN
                for label, bit in cell.items():
                    index = find_label(label, index_of, target.vocabulary)
                    if isinstance(index, int):
                        rows[row, index] = bit
                    elif bit == 1:
                        reasons[row] = index
            elif target.cells == "one-hot" and cell and all(to_bit(value) is not None for value in cell):
                if len(cell) == places:
                    rows[row] = torch.tensor([to_bit(value) for value in cell])
                else:
                    reasons[row] = f"the target column '{target.column}' has {len(cell):,} values for {places:,} labels"
            else:
                lists[row] = cell
        raise_invalid(reasons)
        for row, indices in enumerate(encode_label_lists(lists, target.vocabulary)):
            rows[row, [index for index in indices if index >= 0]] = 1.0
        return Batch({"labels": rows})

    def decode_targets(self, encoded: Batch, target: MultiLabelTarget) -> list[Any]:
        """Return label → True, False, or None where it is unknown, per row."""
        meaning = {1.0: True, 0.0: False, UNKNOWN: None}
        rows = encoded["labels"].tolist()
        return [{label: meaning[value] for label, value in zip(target.vocabulary, row, strict=True)} for row in rows]

    def build_module(self, features: FeatureDescription, target: MultiLabelTarget) -> HeadModule:
        return _MultiLabelClassifier(features, target, self._config.threshold)

    def decide(self, predictions: Predictions, target: MultiLabelTarget) -> Predictions:
        """Predict the labels that reach the threshold in the probabilities of a baseline."""
        values = [
            [label for label, share in zip(predictions.classes, row, strict=True) if share >= self._config.threshold]
            for row in predictions.probabilities or ()
        ]
        return replace(predictions, values=values) if predictions.probabilities else predictions

    def _find_labels(self, targets: Columns) -> MultiLabelTarget:
        if len(targets) > 1:
            return MultiLabelTarget(vocabulary=tuple(targets), column=None)
        column, values = next(iter(targets.items()))
        cells: Sequence[Cell] = read_cells(column, values, self._config.separator)
        if places := one_hot_places(column, cells, self._config):
            return MultiLabelTarget(vocabulary=places, column=column, cells="one-hot")
        check_separator(column, cells, self._config.separator)
        vocabulary = build_vocabulary(known_labels(cells), column)
        dicts = any(isinstance(cell, dict) for cell in cells)
        return MultiLabelTarget(vocabulary=vocabulary, column=column, cells="dicts" if dicts else "labels")

    def _from_columns(self, columns: list[Sequence[Any]], target: MultiLabelTarget) -> Batch:
        reasons: dict[int, str] = {}
        rows = torch.full((len(columns[0]), len(columns)), UNKNOWN)
        for index, values in enumerate(columns):
            for row, value in enumerate(values):
                present = to_bit(value)
                if present is None:
                    reasons[row] = f"the target column '{target.vocabulary[index]}' is {not_a_bit(value)}"
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
        known = labels != UNKNOWN
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
