"""The error of this package."""

from taskgraft.errors import TaskgraftError


class DataError(TaskgraftError):
    """Data, columns or temporary files that cannot be used. Invalid rows have an error of their own (``InvalidRows``)."""
