"""Progress on the standard error stream, for whatever takes more than two seconds."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

SHOW_AFTER_SECONDS = 2.0
"""Seconds before progress is shown."""

REFRESH_SECONDS = 0.1
"""Seconds between one count of what is done and the next: counting costs as much as putting a small batch together."""


class ProgressReporter:
    """Shows how far a run is. A quiet one shows nothing."""

    def __init__(self, *, quiet: bool = False):
        self._console = Console(stderr=True, quiet=quiet)

    def message(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Go through items; once that has taken two seconds, show how many are done."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = Progress(*columns, console=self._console)
        task = progress.add_task(what, total=total)
        with _closing(progress):
            since = told = time.monotonic()
            for done, item in enumerate(items, 1):
                if not progress.live.is_started and time.monotonic() - since > SHOW_AFTER_SECONDS:
                    progress.start()
                yield item
                if done == total or time.monotonic() - told > REFRESH_SECONDS:
                    told = time.monotonic()
                    progress.update(task, completed=done)


@contextmanager
def _closing(progress: Progress) -> Iterator[None]:
    try:
        yield
    finally:
        if progress.live.is_started:
            progress.stop()
