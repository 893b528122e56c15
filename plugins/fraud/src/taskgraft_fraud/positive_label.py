"""The label of fraud: the one that the settings name, or of two labels the one that is clearly rarer. Nothing is guessed."""

import json
from collections.abc import Mapping

from taskgraft.plugin import Label, Predictions, join_words, label_key, positive_class
from taskgraft_fraud.errors import FraudError

RARE = 1 / 3
"""The largest share of rows of a label that counts as rare without being named. Training rows are often undersampled to one in
ten or one in three; beyond that, which label is rare can be an effect of the sampling."""

CONVENTIONS = (("0", "1"), ("False", "True"), ("false", "true"))
"""Pairs of labels of which the second means yes, as in scikit-learn."""


def is_rare(count: int, total: int) -> bool:
    """Tell whether so many of all rows are clearly few."""
    return count <= RARE * total


def rarer_label(counts: Mapping[str, int], labels: tuple[Label, Label], column: str) -> int:
    """Return the index of the rarer of two labels.

    Args:
        counts: label key → rows.

    Raises:
        FraudError: if neither is clearly rarer.
    """
    shares = [counts[label_key(label)] for label in labels]
    rarer = 0 if shares[0] < shares[1] else 1
    if is_rare(shares[rarer], sum(shares)):
        return rarer
    named = " and ".join(
        f"{label!r} {percent(share, sum(shares))}" for label, share in zip(labels, shares, strict=True)
    )
    raise FraudError(
        f"'fraud' detects the rarer of two labels, but in the target column '{column}' neither is clearly rarer: {named} of "
        f"{sum(shares):,} training rows. Name the label to detect in the head's settings: {positive_setting(*labels)}."
    )


def metric_label(predictions: Predictions, named: Label | None) -> int:
    """Return the index of the label of fraud among two classes: the named one, else that of the head, else 1 of 0 and 1.

    Raises:
        TaskgraftError: if there are not two classes, the named one is none of them, or none is known to mean fraud.
    """
    classes = predictions.classes
    if len(classes) != 2:
        raise FraudError(
            f"The metric 'fraud' evaluates two classes, but there are {len(classes)}: {join_words(classes)}. "
            "Choose another metric (classification), or a target of two labels."
        )
    index = positive_class(predictions, named, "fraud")
    if index is not None:
        return index
    if (label_key(classes[0]), label_key(classes[1])) in CONVENTIONS:
        return 1
    raise FraudError(
        f"The metric 'fraud' cannot tell which of the labels {join_words(map(repr, classes))} is fraud, since the head detects "
        f"none of them. Name it in the metric's settings: {positive_setting(*classes)}."
    )


def positive_setting(*labels: Label) -> str:
    """Write the setting that names one of some labels, as a recipe has it."""
    return " or ".join(f"positive = {json.dumps(label, ensure_ascii=False)}" for label in labels)


def percent(count: float, total: float) -> str:
    """Format a share with three digits."""
    return f"{100 * count / total:.3g} %"
