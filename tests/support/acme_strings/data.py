"""Reader, split, metric and baseline. No torch is imported here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from taskgraft.contract.columns import Columns, ElementCounts
from taskgraft.contract.config import Config, EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.contract.specs import MetricFunction

if TYPE_CHECKING:
    from taskgraft.contract.predictions import Predictions


def read(path: Path, settings: EmptyConfig) -> Rows:
    """Read lines like ``label: text``."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(str(path), f"it cannot be read ({error}).") from None
    pairs = [line.split(": ", 1) for line in lines]
    refused = {row: "there is no colon" for row, pair in enumerate(pairs) if len(pair) < 2}
    cells = [(None, None) if row in refused else pair for row, pair in enumerate(pairs)]
    table = pa.table({"label": [label for label, _ in cells], "text": [text for _, text in cells]})
    return Rows(table, path.name, list(range(1, len(lines) + 1)), refused)


def split(rows: Rows, targets: Sequence[str], settings: EmptyConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Hold out every tenth row of an order that is drawn."""
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    return {"train": [row for place, row in enumerate(order) if place % 10], "validation": order[::10]}


def judge(predictions: "Predictions", truth: Sequence[Any], columns: Columns, settings: EmptyConfig) -> MetricFunction:
    wrong = np.array([label != goal for label, goal in zip(predictions.values, truth, strict=True)])
    return lambda rows: {"errors": float(wrong[rows].mean())} if len(rows) else {}


class Commonest(Config):
    """The label that occurs most."""

    label: str


def learn(inputs: Columns, truth: Sequence[Any], settings: EmptyConfig) -> Commonest:
    return Commonest(label=Counter(truth).most_common(1)[0][0])


def predict(learned: Commonest, inputs: Columns, elements: ElementCounts, settings: EmptyConfig) -> "Predictions":
    from taskgraft.contract.predictions import Predictions

    return Predictions([learned.label] * len(inputs["text"]))
