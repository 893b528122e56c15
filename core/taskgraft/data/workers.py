"""The same work for many items, done by worker processes, its results in the order of the items."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from taskgraft.errors import TaskgraftError

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 8
"""Worker processes where nobody says how many; more seldom pay."""


def worker_count(wanted: int | None, *, heavy: bool) -> int:
    """Decide how many worker processes there are; 0 does the work in the main one.

    Args:
        wanted: what the settings say; None leaves it to the machine.
        heavy: whether there is much to do for each item.
    """
    if wanted is not None:
        return wanted
    return min(_cores(), MOST) if heavy else 0


def parallel_map(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Do some work for each item.

    Args:
        work: is copied to the workers; nothing that it changes comes back.
        workers: processes; 0 does it here.

    Yields:
        the results, in the order of the items.

    Raises:
        TaskgraftError: what the work raised, as it was raised.
    """
    count = workers if len(items) > 1 else 0
    if not count:
        yield from map(work, items)
        return
    # A generator of its own: drawing the workers' seeds leaves the global one alone.
    loader = DataLoader(
        _Work(work, items), batch_size=None, num_workers=min(count, len(items)), generator=torch.Generator()
    )
    for result in loader:
        if isinstance(result, _Failed):
            raise result.error
        yield result


class _Failed:
    """An error on its way from a worker: torch raises errors anew there, with other arguments."""

    def __init__(self, error: TaskgraftError):
        self.error = error


class _Work(Dataset[Result | _Failed], Generic[Item, Result]):
    def __init__(self, work: Callable[[Item], Result], items: Sequence[Item]):
        self._work, self._items = work, items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: int) -> Result | _Failed:
        if number >= len(self):
            raise IndexError(number)
        try:
            return self._work(self._items[number])
        except TaskgraftError as error:
            return _Failed(error)


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
