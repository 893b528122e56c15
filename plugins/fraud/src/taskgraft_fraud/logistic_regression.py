"""The baseline ``logistic-regression``: learned with scikit-learn, kept as JSON, and predicted from that."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from taskgraft.plugin import Columns, ElementCounts, Predictions
from taskgraft_fraud.baseline_settings import LogisticRegressionConfig, LogisticRegressionLearned
from taskgraft_fraud.matrix import expanded, labels_of, learned_columns, likeliest

CATEGORIES = 100
"""Most categories of a column that get one of their own."""

STEPS = 1_000
"""At most, of the solver."""


def learn(inputs: Columns, truth: Sequence[Any], settings: LogisticRegressionConfig) -> LogisticRegressionLearned:
    """Fit the coefficients by L-BFGS."""
    columns = learned_columns(inputs, settings, CATEGORIES, scaled=True)
    classes, numbers = labels_of(truth)
    model = LogisticRegression(C=settings.strength, max_iter=STEPS, random_state=0)
    model.fit(expanded(columns, inputs), numbers)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(coefficients) == 1:  # of two classes scikit-learn gives the difference
        coefficients, intercepts = (np.concatenate([np.zeros_like(one), one]) for one in (coefficients, intercepts))
    return LogisticRegressionLearned(
        columns=columns,
        classes=classes,
        coefficients=tuple(map(tuple, coefficients.tolist())),
        intercepts=tuple(intercepts.tolist()),
    )


def predict(
    learned: LogisticRegressionLearned, inputs: Columns, elements: ElementCounts, settings: LogisticRegressionConfig
) -> Predictions:
    """Predict the likeliest class of each row, and the probabilities of all."""
    logits = expanded(learned.columns, inputs) @ np.array(learned.coefficients).T + np.array(learned.intercepts)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return likeliest(powers / powers.sum(1, keepdims=True), learned.classes)
