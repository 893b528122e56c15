"""The mean baseline: always predict the mean of each target column in the training rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from taskgraft.contract.columns import Columns, ElementCounts
from taskgraft.contract.config import Config, EmptyConfig

if TYPE_CHECKING:
    from taskgraft.contract.predictions import Predictions


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
