"""The baseline for a number per sequence: ridge regression over one-hot residues, or over k-mer counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from taskgraft.plugin import Columns, ElementCounts, Predictions
from taskgraft_protein.baseline_settings import OneHotRidgeConfig, OneHotRidgeState


def fit(inputs: Columns, truth: Sequence[Any], settings: OneHotRidgeConfig) -> OneHotRidgeState:
    """Fit on sequences; if all have one length, on the positions at which they differ."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import Ridge

    sequences = _sequences(inputs)
    lengths = {len(sequence) for sequence in sequences}
    length = lengths.pop() if len(lengths) == 1 else None
    columns = enumerate(zip(*sequences, strict=length is not None))
    positions = [position for position, letters in columns if len(set(letters)) > 1]
    features = [_features(sequence, length, settings.k, positions) for sequence in sequences]
    vectorizer = DictVectorizer(dtype=np.float64)
    targets = np.array(truth, dtype=np.float64).reshape(len(truth), -1)
    model = Ridge(settings.penalty, solver="sparse_cg", tol=1e-8).fit(vectorizer.fit_transform(features), targets)
    weights = np.asarray(model.coef_).reshape(targets.shape[1], -1).T.tolist()
    return OneHotRidgeState(
        length=length,
        k=settings.k,
        weights={str(name): tuple(row) for name, row in zip(vectorizer.feature_names_, weights, strict=True)},
        bias=tuple(np.ravel(model.intercept_).tolist()),
    )


def predict(
    state: OneHotRidgeState, inputs: Columns, elements: ElementCounts, settings: OneHotRidgeConfig
) -> Predictions:
    """Add up weights. A feature that no training sequence has counts 0."""
    values: list[Any] = []
    zeros = (0.0,) * len(state.bias)
    for sequence in _sequences(inputs):
        features = _features(sequence, state.length, state.k)
        sums = [
            bias + sum(count * state.weights.get(name, zeros)[column] for name, count in features.items())
            for column, bias in enumerate(state.bias)
        ]
        values.append(sums[0] if len(sums) == 1 else sums)
    return Predictions(values)


def _features(sequence: str, length: int | None, k: int, positions: Sequence[int] | None = None) -> Mapping[str, int]:
    """Count the features of a sequence: positions with their letters, or k-mers.

    Args:
        positions: those to include; None includes all.
    """
    if length is None:
        return Counter(sequence[start : start + k] for start in range(len(sequence) - k + 1))
    included = range(min(length, len(sequence))) if positions is None else positions
    return {f"{position}{sequence[position]}": 1 for position in included}


def _sequences(inputs: Columns) -> list[str]:
    """The values of the only input, in upper case."""
    return [str(value or "").upper() for value in next(iter(inputs.values()))]
