"""Labelled rows with predictions, to try metrics and baselines with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions


@dataclass(frozen=True)
class LabelledRows:
    """Rows to try a metric or a baseline with.

    Attributes:
        predictions: of a model, for a metric.
        truth: as a head's ``decode_targets`` returns it.
        columns: of the data, for a metric; the inputs, for a baseline.
    """

    kind: TargetKind
    predictions: Predictions
    truth: Sequence[Any]
    columns: Columns

    def take(self, rows: Sequence[int]) -> "LabelledRows":
        """Take some rows, as often as they are named."""
        probabilities = self.predictions.probabilities
        predictions = replace(
            self.predictions,
            values=[self.predictions.values[row] for row in rows],
            probabilities=None if probabilities is None else [probabilities[row] for row in rows],
        )
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return replace(self, predictions=predictions, truth=[self.truth[row] for row in rows], columns=columns)


def sample_rows(kind: TargetKind, count: int = 12) -> LabelledRows:
    """Make rows of a kind of target: labels ``a``, ``b`` and ``c``, or a number, or both masked, with an input ``text``."""
    random = np.random.default_rng(1)
    classes = ("a", "b", "c")
    scores = random.random((count, len(classes))).astype(np.float32)
    truth, probabilities = [classes[row % 3] for row in range(count)], list(scores / scores.sum(1, keepdims=True))
    columns = {"text": [f"text number {row}" for row in range(count)]}
    if kind == TargetKind.NUMBERS:
        numbers = random.normal(size=(2, count)).tolist()
        return LabelledRows(kind, Predictions(numbers[0]), numbers[1], columns)
    labels = [classes[int(row.argmax())] for row in scores]
    if kind == TargetKind.CATEGORY:
        return LabelledRows(kind, Predictions(labels, probabilities, classes), truth, columns)
    if kind == TargetKind.CATEGORIES:
        several = [[label for label, score in zip(classes, row, strict=True) if score > 0.5] for row in scores]
        known = [
            {one: None if row % 5 == 4 and one == "a" else one == label for one in classes}
            for row, label in enumerate(truth)
        ]
        return LabelledRows(kind, Predictions(several, list(scores), classes), known, columns)
    lengths = [1 + row % 4 for row in range(count)]
    if kind == TargetKind.INPUTS:
        recovered = [{"label": one, "size": float(row[0])} for one, row in zip(labels, scores, strict=True)]
        masked = [
            {"label": one if row % 3 else None, "size": float(row % 5) if row % 2 else None}
            for row, one in enumerate(truth)
        ]
        return LabelledRows(kind, Predictions(recovered), masked, columns)
    if kind == TargetKind.PAIR_CATEGORIES:
        return _sample_pairs(random, lengths, classes, columns)
    elements = [[truth[(row + place) % count] for place in range(length)] for row, length in enumerate(lengths)]
    guesses = [[labels[(row + place) % count] for place in range(length)] for row, length in enumerate(lengths)]
    return LabelledRows(kind, Predictions(guesses, None, classes), elements, columns)


def _sample_pairs(
    random: np.random.Generator, lengths: Sequence[int], classes: tuple[str, ...], columns: Columns
) -> LabelledRows:
    """Make rows with a label for each pair of elements."""
    scores = [random.random((length, length, len(classes))).astype(np.float32) for length in lengths]
    guesses = [np.array(classes)[row.argmax(-1)] for row in scores]
    truth = [np.array(classes)[random.integers(len(classes), size=(length, length))] for length in lengths]
    probabilities = [row / row.sum(-1, keepdims=True) for row in scores]
    return LabelledRows(TargetKind.PAIR_CATEGORIES, Predictions(guesses, probabilities, classes), truth, columns)
