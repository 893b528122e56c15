"""Limits that a user may raise, by an environment variable: what a file or an artifact says is not consent."""

import os

from taskgraft.errors import TaskgraftError


class InvalidLimit(TaskgraftError):
    """An environment variable that should be a limit, and is no whole number."""


def limit(variable: str, default: int) -> int:
    """Return a limit: the default, or what the environment variable says. Raises InvalidLimit."""
    text = os.environ.get(variable)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InvalidLimit(f"The environment variable {variable} is {text!r:.60}, not a whole number from 0 on.")
    return int(text)
