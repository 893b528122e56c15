"""The errors of this plugin."""

from taskgraft.plugin import TaskgraftError


class VisionError(TaskgraftError):
    """A model, a setting or a file that this plugin cannot use. The message says which, and what to change."""
