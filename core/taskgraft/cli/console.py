"""Print tables that lose no text, and JSON."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from taskgraft.text_table import TextTable

_UNLIMITED_WIDTH = 100_000
"""Columns of an output that is not a terminal: each row of a table stays on one line."""


def console() -> Console:
    """Open standard output, as wide as the terminal; where there is no terminal, lines are not wrapped."""
    width = None if sys.stdout.isatty() else _UNLIMITED_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], wrapped: Sequence[str]) -> TextTable:
    """Make a table of texts. Where the terminal is narrow, the cells of the ``wrapped`` columns wrap between words."""
    return TextTable(columns, list(rows), len(columns), wrapped)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))  # noqa: T201
