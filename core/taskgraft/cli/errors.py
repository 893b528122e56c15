"""Errors of the command line."""

from taskgraft.errors import TaskgraftError


class CliError(TaskgraftError):
    """A command that cannot run as it was typed."""


class Interrupted(Exception):
    """Ctrl-C, with a sentence on how to continue."""
