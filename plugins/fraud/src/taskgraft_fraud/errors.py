"""The errors of this plugin."""

from taskgraft.plugin import TaskgraftError


class FraudError(TaskgraftError):
    """A table, a setting or a label that this plugin cannot use. The message says which, and what to change."""
