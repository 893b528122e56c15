"""A progress bar on standard error for anything that takes more than two seconds."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_Item = TypeVar("_Item")

SHOW_AFTER_SECONDS = 2.0
"""Seconds before the bar is shown."""

REFRESH_SECONDS = 0.1
"""Seconds between two updates: an update costs as much as collating a small batch."""


class ProgressReporter:
    """Prints messages and progress bars. With ``quiet`` it prints nothing."""

    def __init__(self, *, quiet: bool = False):
        self._console = Console(stderr=True, quiet=quiet)

    def message(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def track(self, items: Iterable[_Item], what: str, total: int) -> Iterator[_Item]:
        """Iterate over items; after two seconds, show how many are done."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = Progress(*columns, console=self._console)
        task = progress.add_task(what, total=total)
        start = updated = time.monotonic()
        try:
            for done, item in enumerate(items, 1):
                if not progress.live.is_started and time.monotonic() - start > SHOW_AFTER_SECONDS:
                    progress.start()
                yield item
                if done == total or time.monotonic() - updated > REFRESH_SECONDS:
                    updated = time.monotonic()
                    progress.update(task, completed=done)
        finally:
            if progress.live.is_started:
                progress.stop()
