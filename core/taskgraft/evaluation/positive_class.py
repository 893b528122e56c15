"""The positive class: of two, the one that a metric is about."""

from taskgraft.contract.predictions import Predictions
from taskgraft.errors import join_words
from taskgraft.evaluation.errors import EvaluationError
from taskgraft.labels import Label
from taskgraft.reading.known_labels import match_label


def positive_class(predictions: Predictions, named: Label | None, metric: str) -> int | None:
    """Find the index of the positive class.

    Args:
        named: the label that the settings of the metric name; None takes the one that the head detects.
        metric: its name, for messages.

    Returns:
        None if neither names one.

    Raises:
        EvaluationError: for a label that is not a class, or one of more than two.
    """
    label = predictions.positive if named is None else named
    if label is None:
        return None
    classes = join_words(map(repr, predictions.classes), 6)
    problem = f"The positive class of the metric '{metric}' is {label!r}, but"
    if len(predictions.classes) != 2:
        raise EvaluationError(f"{problem} there are {len(predictions.classes):,} classes: {classes}. Leave it out.")
    index = match_label(label, predictions.classes)
    if index is None:
        raise EvaluationError(f"{problem} the labels are {classes}. Name one of these.")
    return index
