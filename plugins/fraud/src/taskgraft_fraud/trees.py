"""The baselines ``gradient-boosting`` and ``random-forest``. Trees are no JSON, so what is learned is kept nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from taskgraft.head import Predictions
from taskgraft.heads.labels import Label, ordered, text_of
from taskgraft.spec import Columns, Elements
from taskgraft_fraud.baseline_settings import AnyColumn, GradientBoostingConfig, RandomForestConfig
from taskgraft_fraud.matrix import Matrix, learned_columns, numbered

LEVELS = 254
"""Levels of a category that are told apart: with one for all others, as many as scikit-learn's histograms take."""


@dataclass(frozen=True)
class Forest:
    """Trees that were learned.

    Attributes:
        columns: of the inputs, as the training rows had them.
        classes: the labels.
        model: has ``predict_proba``, from a matrix to ``(row, class)``.
    """

    columns: tuple[AnyColumn, ...]
    classes: tuple[Label, ...]
    model: Any


def learn_boosting(inputs: Columns, truth: Sequence[Any], settings: GradientBoostingConfig) -> Forest:
    """Boost trees; categories are split as categories."""
    columns = learned_columns(inputs, LEVELS)
    categories = [place for place, column in enumerate(columns) if column.kind == "category"]
    library = settings.library or ("lightgbm" if find_spec("lightgbm") else "scikit-learn")
    if library == "lightgbm":
        from lightgbm import LGBMClassifier

        model: Any = LGBMClassifier(random_state=0, deterministic=True, force_col_wise=True, verbose=-1)
        return _fitted(model, columns, inputs, truth, categorical_feature=categories)
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(categorical_features=categories, random_state=0)
    return _fitted(model, columns, inputs, truth)


def learn_forest(inputs: Columns, truth: Sequence[Any], settings: RandomForestConfig) -> Forest:
    """Grow trees; of categories the number of the level is split, the most frequent first."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(settings.trees, random_state=0, n_jobs=-1)
    return _fitted(model, learned_columns(inputs, LEVELS), inputs, truth)


def predict(learned: Forest, inputs: Columns, elements: Elements, settings: Any) -> Predictions:
    """Predict the likeliest class of each row, and the probabilities of all."""
    probabilities = learned.model.predict_proba(numbered(learned.columns, inputs))
    values = [learned.classes[number] for number in probabilities.argmax(1).tolist()]
    return Predictions(values, list(probabilities.astype(np.float32)), learned.classes)


def _fitted(model: Any, columns: tuple[AnyColumn, ...], inputs: Columns, truth: Sequence[Any], **more: Any) -> Forest:
    classes = ordered({text_of(label): label for label in truth}.values())
    numbers = {text_of(label): number for number, label in enumerate(classes)}
    matrix: Matrix = numbered(columns, inputs)
    model.fit(matrix, np.array([numbers[text_of(label)] for label in truth]), **more)
    return Forest(columns, classes, model)
