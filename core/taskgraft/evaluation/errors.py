"""The error of this package."""

from taskgraft.errors import TaskgraftError


class EvaluationError(TaskgraftError):
    """An evaluation that cannot be done as requested: a metric, a baseline, intervals or figures."""
