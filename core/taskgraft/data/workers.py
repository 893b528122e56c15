"""Map a function over items in worker processes, results in the order of the items."""

import os
import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from taskgraft.composition.plugin_errors import note_plugin
from taskgraft.errors import TaskgraftError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

MAX_WORKERS = 8
"""Worker processes when the user sets no number; more seldom pay."""


def worker_count(wanted: int | None, *, heavy: bool) -> int:
    """Choose the number of worker processes: the setting, or (None) by the machine if the work for an item is heavy."""
    if wanted is not None:
        return wanted
    return min(_cores(), MAX_WORKERS) if heavy else 0


def parallel_map(work: Callable[[_Item], _Result], items: Sequence[_Item], workers: int) -> Iterator[_Result]:
    """Call a function for each item.

    Args:
        work: is copied to the workers; nothing that it changes comes back.
        workers: processes; 0 works here.

    Yields:
        the results, in the order of the items.

    Raises:
        Exception: as the function raised it, with a note on the plugin that it comes from and its traceback in the worker.
    """
    count = workers if len(items) > 1 else 0
    if not count:
        yield from map(work, items)
        return
    # With a generator of its own, seeding the workers does not advance the global one.
    loader = DataLoader(
        _MappedItems(work, items), batch_size=None, num_workers=min(count, len(items)), generator=torch.Generator()
    )
    for result in loader:
        if isinstance(result, _Failed):
            raise result.error
        yield result


class _Failed:
    """Carries an error out of a worker: torch would raise a new one there, with other arguments."""

    def __init__(self, error: Exception):
        self.error = error


class _MappedItems(Dataset[_Result | _Failed], Generic[_Item, _Result]):
    def __init__(self, work: Callable[[_Item], _Result], items: Sequence[_Item]):
        self._work, self._items = work, items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> _Result | _Failed:
        if index >= len(self):
            raise IndexError(index)
        try:
            return self._work(self._items[index])
        except TaskgraftError as error:
            return _Failed(error)
        except Exception as error:
            note_plugin(error)
            error.add_note(f"In a worker process:\n{traceback.format_exc()}")
            if not _can_be_sent(error):
                raise
            return _Failed(error)


def _can_be_sent(error: Exception) -> bool:
    """Say whether an exception arrives in another process as it is."""
    try:
        return bool(pickle.dumps(copy(error)))  # a copy is made as one that arrives is
    except Exception:  # classes of plugins may fail in any way
        return False


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
