"""A progress bar on standard error for anything that takes more than two seconds."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from taskgraft.errors import message_text
from taskgraft.terminal import SafeConsole

_Item = TypeVar("_Item")

SHOW_AFTER_SECONDS = 2.0
"""Seconds before the bar is shown."""

REFRESH_SECONDS = 0.1
"""Seconds between two updates: an update costs as much as collating a small batch."""


class ProgressReporter:
    """Prints messages and progress bars. With ``quiet`` it prints nothing."""

    def __init__(self, *, quiet: bool = False):
        self._console = SafeConsole(stderr=True, quiet=quiet)

    def message(self, text: str) -> None:
        """Print one line."""
        self._console.print(message_text(text), soft_wrap=True)

    def track(self, items: Iterable[_Item], what: str, total: int) -> Iterator[_Item]:
        """Iterate over items; after two seconds, show how many are done."""
        description = TextColumn("{task.description}", markup=False)
        columns = (description, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = Progress(*columns, console=self._console)
        task = progress.add_task(message_text(what), total=total)
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
