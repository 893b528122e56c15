"""The baseline ``logistic-regression``: fitted by scikit-learn, stored as JSON, predicted from the stored coefficients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from taskgraft.plugin import Columns, ElementCounts, Predictions
from taskgraft_fraud.baseline_settings import LogisticRegressionConfig, LogisticRegressionState
from taskgraft_fraud.design_matrix import encode_labels, fit_columns, most_likely_class, one_hot_matrix

MAX_CATEGORIES = 100
"""Per column; rarer categories are unknown."""

MAX_ITERATIONS = 1_000


def fit(inputs: Columns, labels: Sequence[Any], settings: LogisticRegressionConfig) -> LogisticRegressionState:
    """Fit the coefficients by L-BFGS."""
    columns = fit_columns(inputs, settings, MAX_CATEGORIES)
    classes, indices = encode_labels(labels)
    model = LogisticRegression(C=settings.strength, max_iter=MAX_ITERATIONS, random_state=0)
    model.fit(one_hot_matrix(columns, inputs), indices)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(coefficients) == 1:  # for two classes scikit-learn stores only the difference
        coefficients, intercepts = (
            np.concatenate([np.zeros_like(array), array]) for array in (coefficients, intercepts)
        )
    return LogisticRegressionState(
        columns=columns,
        classes=classes,
        coefficients=tuple(map(tuple, coefficients.tolist())),
        intercepts=tuple(intercepts.tolist()),
    )


def predict(
    state: LogisticRegressionState, inputs: Columns, elements: ElementCounts, settings: LogisticRegressionConfig
) -> Predictions:
    """Predict the most likely class of each row, and the probabilities of all."""
    logits = one_hot_matrix(state.columns, inputs) @ np.array(state.coefficients).T + np.array(state.intercepts)
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return most_likely_class(exponentials / exponentials.sum(1, keepdims=True), state.classes)
