"""Metrics of the built-in heads, each a plain function over predictions and truth."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional import (
    mean_absolute_error,
    mean_squared_error,
    pearson_corrcoef,
    r2_score,
    spearman_corrcoef,
)
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
    multilabel_f1_score,
    multilabel_precision,
    multilabel_recall,
)

from taskgraft.config import NoSettings
from taskgraft.head import Predictions
from taskgraft.spec import Columns


def classification(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: NoSettings
) -> Mapping[str, float]:
    """Accuracy; precision, recall and F1 averaged over classes (macro); F1 over all rows (micro). Each from 0 to 1."""
    numbers = {label: index for index, label in enumerate(predictions.classes)}
    predicted = torch.tensor([numbers[label] for label in predictions.values])
    wanted = torch.tensor([numbers[label] for label in truth])
    return _multiclass(predicted, wanted, len(numbers))


def element_classification(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: NoSettings
) -> Mapping[str, float]:
    """The same as for classification, over all labelled elements. An element that was cut off counts as wrong."""
    numbers = {label: index for index, label in enumerate(predictions.classes)}
    predicted, wanted = [], []
    for labels, goals in zip(predictions.values, truth, strict=True):
        for place, goal in enumerate(goals):
            if goal is not None:
                label = labels[place] if place < len(labels) else None
                wanted.append(numbers[goal])
                predicted.append(len(numbers) if label is None else numbers[label])
    return _multiclass(torch.tensor(predicted), torch.tensor(wanted), len(numbers))


def multi_label(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: NoSettings
) -> Mapping[str, float]:
    """Precision, recall and F1, averaged over labels (macro), and F1 over all (micro), where the label is known."""
    code = {True: 1, False: 0, None: -1}
    wanted = torch.tensor([[code[row[label]] for label in predictions.classes] for row in truth])
    predicted = torch.tensor([[int(label in row) for label in predictions.classes] for row in predictions.values])
    count = len(predictions.classes)
    return {
        "precision_macro": float(multilabel_precision(predicted, wanted, count, average="macro", ignore_index=-1)),
        "recall_macro": float(multilabel_recall(predicted, wanted, count, average="macro", ignore_index=-1)),
        "f1_macro": float(multilabel_f1_score(predicted, wanted, count, average="macro", ignore_index=-1)),
        "f1_micro": float(multilabel_f1_score(predicted, wanted, count, average="micro", ignore_index=-1)),
    }


def regression(
    predictions: Predictions, truth: Sequence[Any], columns: Columns, settings: NoSettings
) -> Mapping[str, float]:
    """Mean squared and absolute error in the target's unit, R², Pearson's and Spearman's correlation.

    Of several columns the mean is given. What cannot be had is left out: a correlation of fewer than two rows, or of
    numbers that do not vary.
    """
    predicted, wanted = _columns(predictions.values), _columns(truth)
    found = {
        "mean_squared_error": float(mean_squared_error(predicted, wanted)),
        "mean_absolute_error": float(mean_absolute_error(predicted, wanted)),
    }
    if len(predicted) < 2:
        return found
    pairs = list(zip(predicted.T, wanted.T, strict=True))
    found["r2"] = sum(float(r2_score(one, other)) for one, other in pairs) / len(pairs)
    if all(one.std() > 0 and other.std() > 0 for one, other in pairs):
        found["pearson"] = sum(float(pearson_corrcoef(one, other)) for one, other in pairs) / len(pairs)
        found["spearman"] = sum(float(spearman_corrcoef(one, other)) for one, other in pairs) / len(pairs)
    return found


def _columns(rows: Sequence[Any]) -> Tensor:
    return torch.tensor([row if isinstance(row, list) else [row] for row in rows], dtype=torch.float64)


def _multiclass(predicted: Tensor, wanted: Tensor, classes: int) -> dict[str, float]:
    """Judge numbers of classes. The number after the last stands for no prediction: it is wrong, and no class's fault."""
    seen = torch.cat([predicted, wanted]).bincount(minlength=classes + 1)[:classes] > 0

    def macro(judge: Callable[..., Tensor]) -> float:
        return float(judge(predicted, wanted, classes + 1, average="none")[:classes][seen].mean())

    return {
        "accuracy": float(multiclass_accuracy(predicted, wanted, classes + 1, average="micro")),
        "precision_macro": macro(multiclass_precision),
        "recall_macro": macro(multiclass_recall),
        "f1_macro": macro(multiclass_f1_score),
        "f1_micro": float(multiclass_f1_score(predicted, wanted, classes + 1, average="micro")),
    }
