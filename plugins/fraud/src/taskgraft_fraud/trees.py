"""The baselines ``gradient-boosting`` and ``random-forest``. Trees are no JSON, so what is learned is kept nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from taskgraft.plugin import Columns, ElementCounts, Label, Predictions
from taskgraft_fraud.baseline_settings import GradientBoostingConfig, RandomForestConfig
from taskgraft_fraud.matrix import Matrix, labels_of, learned_columns, likeliest, numbered
from taskgraft_fraud.settings import Column

CATEGORIES = 253
"""Most categories of a column: with the places of unknown and missing ones, as many as scikit-learn's histograms take."""


@dataclass(frozen=True)
class Forest:
    """Trees that were learned.

    Attributes:
        columns: of the inputs, as the training rows had them.
        classes: the labels.
        model: has ``predict_proba``, from a matrix to ``(row, class)``.
    """

    columns: tuple[Column, ...]
    classes: tuple[Label, ...]
    model: Any


def learn_boosting(inputs: Columns, truth: Sequence[Any], settings: GradientBoostingConfig) -> Forest:
    """Boost trees; categories are split as categories."""
    columns = learned_columns(inputs, settings, CATEGORIES, scaled=False)
    matrix = numbered(columns, inputs)
    width, count = matrix.shape[1], sum(column.kind == "category" for column in columns)
    categories = list(range(width - count, width))
    library = settings.library or ("lightgbm" if find_spec("lightgbm") else "scikit-learn")
    if library == "lightgbm":
        from lightgbm import LGBMClassifier

        model: Any = LGBMClassifier(random_state=0, deterministic=True, force_col_wise=True, verbose=-1)
        return _fitted(model, columns, matrix, truth, categorical_feature=categories)
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(categorical_features=categories, random_state=0)
    return _fitted(model, columns, matrix, truth)


def learn_forest(inputs: Columns, truth: Sequence[Any], settings: RandomForestConfig) -> Forest:
    """Grow trees; of categories the place is split, the most frequent first."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(settings.trees, random_state=0, n_jobs=-1)
    columns = learned_columns(inputs, settings, CATEGORIES, scaled=False)
    return _fitted(model, columns, numbered(columns, inputs), truth)


def predict(learned: Forest, inputs: Columns, elements: ElementCounts, settings: Any) -> Predictions:
    """Predict the likeliest class of each row, and the probabilities of all."""
    return likeliest(learned.model.predict_proba(numbered(learned.columns, inputs)), learned.classes)


def _fitted(model: Any, columns: tuple[Column, ...], matrix: Matrix, truth: Sequence[Any], **more: Any) -> Forest:
    classes, numbers = labels_of(truth)
    model.fit(matrix, numbers, **more)
    return Forest(columns, classes, model)
