"""Errors of prediction and feature extraction."""

from taskgraft.errors import TaskgraftError


class InferenceError(TaskgraftError):
    """A request that this model, backbone or output file cannot serve."""


class NoProbabilities(TaskgraftError):
    """Probabilities requested from a head that predicts none."""
