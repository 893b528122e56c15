"""The baselines ``gradient-boosting`` and ``random-forest``. Trees are not stored in artifacts, since they are not JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from taskgraft.plugin import Columns, ElementCounts, Label, Predictions
from taskgraft_fraud.baseline_settings import GradientBoostingConfig, RandomForestConfig
from taskgraft_fraud.design_matrix import Matrix, encode_labels, fit_columns, most_likely_class, ordinal_matrix
from taskgraft_fraud.settings import Column

MAX_CATEGORIES = 253
"""Per column: with the indices of unknown and missing, as many as scikit-learn's histograms support."""


@dataclass(frozen=True)
class FittedTrees:
    """Fitted trees.

    Attributes:
        columns: as fitted on the training rows.
        classes: the labels.
        model: has ``predict_proba``, from a matrix to ``(row, class)``.
    """

    columns: tuple[Column, ...]
    classes: tuple[Label, ...]
    model: Any


def fit_boosting(inputs: Columns, labels: Sequence[Any], settings: GradientBoostingConfig) -> FittedTrees:
    """Fit boosted trees with categorical splits."""
    columns = fit_columns(inputs, settings, MAX_CATEGORIES)
    matrix = ordinal_matrix(columns, inputs)
    count, categorical = matrix.shape[1], sum(column.kind == "category" for column in columns)
    categories = list(range(count - categorical, count))
    library = settings.library or ("lightgbm" if find_spec("lightgbm") else "scikit-learn")
    if library == "lightgbm":
        from lightgbm import LGBMClassifier

        model: Any = LGBMClassifier(random_state=0, deterministic=True, force_col_wise=True, verbose=-1)
        return _fit_model(model, columns, matrix, labels, categorical_feature=categories)
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(categorical_features=categories, random_state=0)
    return _fit_model(model, columns, matrix, labels)


def fit_forest(inputs: Columns, labels: Sequence[Any], settings: RandomForestConfig) -> FittedTrees:
    """Fit a random forest. Categories are split by index, most frequent first."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(settings.trees, random_state=0, n_jobs=-1)
    columns = fit_columns(inputs, settings, MAX_CATEGORIES)
    return _fit_model(model, columns, ordinal_matrix(columns, inputs), labels)


def predict(trees: FittedTrees, inputs: Columns, elements: ElementCounts, settings: Any) -> Predictions:
    """Predict the most likely class of each row, and the probabilities of all."""
    return most_likely_class(trees.model.predict_proba(ordinal_matrix(trees.columns, inputs)), trees.classes)


def _fit_model(
    model: Any, columns: tuple[Column, ...], matrix: Matrix, labels: Sequence[Any], **options: Any
) -> FittedTrees:
    classes, indices = encode_labels(labels)
    model.fit(matrix, indices, **options)
    return FittedTrees(columns, classes, model)
