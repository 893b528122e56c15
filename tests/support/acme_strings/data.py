"""Reader, split, metric and baseline. No torch is imported here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from taskgraft.plugin import Columns, Config, ElementCounts, EmptyConfig, MetricFunction, Rows, UnreadableFile

if TYPE_CHECKING:
    from taskgraft.plugin import Predictions


def read(path: Path, settings: EmptyConfig) -> Rows:
    """Read lines like ``label: text``."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(str(path), f"it cannot be read ({error}).") from None
    pairs = [line.split(": ", 1) for line in lines]
    invalid = {row: "there is no colon" for row, pair in enumerate(pairs) if len(pair) < 2}
    cells = [(None, None) if row in invalid else pair for row, pair in enumerate(pairs)]
    table = pa.table({"label": [label for label, _ in cells], "text": [text for _, text in cells]})
    return Rows(table, path.name, list(range(1, len(lines) + 1)), invalid)


def split(rows: Rows, targets: Sequence[str], settings: EmptyConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Hold out every tenth row of a random order."""
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    return {"train": [row for place, row in enumerate(order) if place % 10], "validation": order[::10]}


def build_errors(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, settings: EmptyConfig
) -> MetricFunction:
    wrong = np.array([label != goal for label, goal in zip(predictions.values, truth, strict=True)])
    return lambda rows: {"errors": float(wrong[rows].mean())} if len(rows) else {}


class MostFrequent(Config):
    """The most frequent label."""

    label: str


def fit(inputs: Columns, truth: Sequence[Any], settings: EmptyConfig) -> MostFrequent:
    return MostFrequent(label=Counter(sorted(truth)).most_common(1)[0][0])


def predict(state: MostFrequent, inputs: Columns, elements: ElementCounts, settings: EmptyConfig) -> "Predictions":
    from taskgraft.plugin import Predictions

    return Predictions([state.label] * len(inputs["text"]))
