"""The mean: for each target column its mean in the training rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from taskgraft.builtin.baselines.configs import MeanLearned
from taskgraft.contract.columns import Columns, ElementCounts
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.predictions import Predictions


def learn(inputs: Columns, truth: Sequence[Any], settings: EmptyConfig) -> MeanLearned:
    """Average the truth, a number per row, or a list of them when there are several columns."""
    rows = np.array(truth, dtype=np.float64).reshape(len(truth), -1)
    return MeanLearned(means=tuple(rows.mean(0).tolist()))


def predict(learned: MeanLearned, inputs: Columns, elements: ElementCounts, settings: EmptyConfig) -> Predictions:
    """Predict the same for all."""
    same: Any = learned.means[0] if len(learned.means) == 1 else list(learned.means)
    return Predictions([same] * len(next(iter(inputs.values()))))
