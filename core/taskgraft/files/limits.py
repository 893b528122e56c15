"""Limits that a user may raise, by an environment variable: what a file or an artifact says is not consent."""

import os

from taskgraft.errors import MachineError

LINE_VARIABLE = "TASKGRAFT_LINE_BYTES"
"""Environment variable with another limit than :data:`MAX_LINE_BYTES`."""

MAX_LINE_BYTES = 50_000_000
"""Bytes of one line of a text file, and of one record over several lines: each is read whole, even of 3 GB in a small .gz."""

GZIP_VARIABLE, MAX_GZIP_BYTES, MAX_GZIP_RATIO = "TASKGRAFT_GZIP_BYTES", 2**28, 200
"""Bytes that a gzipped file is decompressed to; of a file of text or numbers always 200 times its own size."""

COLUMNS_VARIABLE, MAX_COLUMNS = "TASKGRAFT_COLUMNS", 50_000
"""Columns of a table. Each takes kilobytes and about a millisecond, however few rows there are."""


class InvalidLimit(MachineError):
    """An environment variable that should be a limit, and is not a valid number."""


def limit(variable: str, default: int) -> int:
    """Return a limit: the default, or what the environment variable says. Raises InvalidLimit."""
    text = os.environ.get(variable)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InvalidLimit(f"The environment variable {variable} is {text!r:.60}, not a whole number of at least 0.")
    return int(text)


def too_many_columns(count: int) -> str | None:
    """Return a clause on a table of so many columns, if they are too many."""
    most = limit(COLUMNS_VARIABLE, MAX_COLUMNS)
    if count <= most:
        return None
    return f"the table has {count:,} columns, more than {most:,}; {COLUMNS_VARIABLE} sets the limit"
