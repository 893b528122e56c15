"""Print tables that lose no text, and JSON."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from taskgraft.errors import printable
from taskgraft.terminal import SafeConsole, escape_missing
from taskgraft.text_table import TextTable

_UNLIMITED_WIDTH = 100_000
"""Columns of an output that is not a terminal: each row of a table stays on one line."""


def console() -> SafeConsole:
    """Open standard output, as wide as the terminal; where there is no terminal, lines are not wrapped."""
    return SafeConsole(width=None if sys.stdout.isatty() else _UNLIMITED_WIDTH)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], wrapped: Sequence[str]) -> TextTable:
    """Make a table of texts. Where the terminal is narrow, the cells of the ``wrapped`` columns wrap between words."""
    return TextTable(columns, list(rows), len(columns), wrapped)


def print_json(value: Any) -> None:
    """Print a value as JSON, with escapes for what would steer a terminal or what its encoding lacks."""
    text = printable(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
    print(escape_missing(text, sys.stdout))  # noqa: T201
