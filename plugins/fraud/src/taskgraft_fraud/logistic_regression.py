"""The baseline ``logistic-regression``: learned with scikit-learn, kept as JSON, and predicted from that."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from taskgraft.head import Predictions
from taskgraft.heads.labels import ordered, text_of
from taskgraft.spec import Columns, Elements
from taskgraft_fraud.baseline_settings import LogisticRegressionConfig, LogisticRegressionLearned
from taskgraft_fraud.matrix import expanded, learned_columns

LEVELS = 100
"""Levels of a category that get a column; rarer ones get none."""

STEPS = 1_000
"""At most, of the solver."""


def learn(inputs: Columns, truth: Sequence[Any], settings: LogisticRegressionConfig) -> LogisticRegressionLearned:
    """Fit the coefficients by L-BFGS."""
    columns = learned_columns(inputs, LEVELS)
    classes = ordered({text_of(label): label for label in truth}.values())
    numbers = {text_of(label): number for number, label in enumerate(classes)}
    model = LogisticRegression(C=settings.strength, max_iter=STEPS, random_state=0)
    model.fit(expanded(columns, inputs), np.array([numbers[text_of(label)] for label in truth]))
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
    learned: LogisticRegressionLearned, inputs: Columns, elements: Elements, settings: LogisticRegressionConfig
) -> Predictions:
    """Predict the likeliest class of each row, and the probabilities of all."""
    logits = expanded(learned.columns, inputs) @ np.array(learned.coefficients).T + np.array(learned.intercepts)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    values = [learned.classes[number] for number in probabilities.argmax(1).tolist()]
    return Predictions(values, list(probabilities.astype(np.float32)), learned.classes)
