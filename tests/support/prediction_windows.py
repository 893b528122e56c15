"""Rows that hold their own index, and a predictor over windows of them, without a model."""

import numpy as np
import pyarrow as pa

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.rows import Rows
from taskgraft.inference.prediction_table import PredictionColumns

CLASSES = ("a", "b", "c")


def numbered(count):
    """Rows that hold their own index."""
    table = pa.table({"id": [f"{row:05}" for row in range(count)], "number": list(range(count))})
    return Rows(table, "rows.csv", list(range(2, count + 2)))


def predict_abc(rows):
    """Predict by the number of a row: a, b, c, a, …, with a probability of 0.9."""
    numbers = [number % 3 for number in rows.values("number")]
    chances = np.full((len(rows), 3), 0.05, np.float32)
    chances[range(len(rows)), numbers] = 0.9
    return Predictions([CLASSES[number] for number in numbers], list(chances), CLASSES)


class Windows:
    """Predicts with a function of rows; rows whose number is in ``invalid`` are invalid."""

    def __init__(self, predict, invalid=()):
        self.predict_valid, self.invalid = predict, invalid
        self.computed = 0

    def predict(self, rows, *, unless_invalid):
        found = self.check(rows)
        if found and unless_invalid:
            return Predictions([]), found
        valid = [row for row in range(len(rows)) if row not in found]
        self.computed += len(valid)
        return (self.predict_valid(rows.take(valid)) if valid else Predictions([])), found

    def check(self, rows):
        reasons = {row: "it is planted" for row, number in enumerate(rows.values("number")) if number in self.invalid}
        return {**reasons, **rows.invalid}


def wanted(**more):
    """The columns to write."""
    return PredictionColumns(TargetKind.CATEGORY, ("label",), **more)
