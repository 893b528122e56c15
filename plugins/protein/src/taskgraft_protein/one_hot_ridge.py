"""The baseline of a number per sequence: ridge regression over one-hot residues, or over counts of words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from taskgraft.plugin import Columns, ElementCounts, Predictions
from taskgraft_protein.baseline_settings import OneHotRidgeConfig, OneHotRidgeLearned


def learn(inputs: Columns, truth: Sequence[Any], settings: OneHotRidgeConfig) -> OneHotRidgeLearned:
    """Learn from sequences, and from places at which they differ if all have one length."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import Ridge

    sequences = _sequences(inputs)
    lengths = {len(sequence) for sequence in sequences}
    length = lengths.pop() if len(lengths) == 1 else None
    places = [
        place for place, letters in enumerate(zip(*sequences, strict=length is not None)) if len(set(letters)) > 1
    ]
    features = [_features(sequence, length, settings.k, places) for sequence in sequences]
    names = DictVectorizer(dtype=np.float64)
    goals = np.array(truth, dtype=np.float64).reshape(len(truth), -1)
    found = Ridge(settings.penalty, solver="sparse_cg", tol=1e-8).fit(names.fit_transform(features), goals)
    weights = np.asarray(found.coef_).reshape(goals.shape[1], -1).T.tolist()
    return OneHotRidgeLearned(
        length=length,
        k=settings.k,
        weights={str(name): tuple(weight) for name, weight in zip(names.feature_names_, weights, strict=True)},
        bias=tuple(np.ravel(found.intercept_).tolist()),
    )


def predict(
    learned: OneHotRidgeLearned, inputs: Columns, elements: ElementCounts, settings: OneHotRidgeConfig
) -> Predictions:
    """Add up weights; a feature that no training sequence had counts nothing."""
    values: list[Any] = []
    nothing = (0.0,) * len(learned.bias)
    for sequence in _sequences(inputs):
        features = _features(sequence, learned.length, learned.k)
        sums = [
            bias + sum(count * learned.weights.get(name, nothing)[column] for name, count in features.items())
            for column, bias in enumerate(learned.bias)
        ]
        values.append(sums[0] if len(sums) == 1 else sums)
    return Predictions(values)


def _features(sequence: str, length: int | None, k: int, places: Sequence[int] | None = None) -> Mapping[str, int]:
    """Count the features of a sequence: letters with their places, or words.

    Args:
        places: those that count; all if None.
    """
    if length is None:
        return Counter(sequence[start : start + k] for start in range(len(sequence) - k + 1))
    some = range(min(length, len(sequence))) if places is None else places
    return {f"{place}{sequence[place]}": 1 for place in some}


def _sequences(inputs: Columns) -> list[str]:
    """Give the one input that sequences are. A small letter counts as a large one."""
    return [str(value or "").upper() for value in next(iter(inputs.values()))]
