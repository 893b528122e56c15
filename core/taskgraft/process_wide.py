"""Settings of the whole process, changed for a while where several threads may do so at once.

A thread that saves such a setting, changes and restores it, may save what another one changed, and restore that for ever.
"""

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from taskgraft.import_path import SAFE_PATH

DISCOVERY_LOCK = threading.RLock()
"""Held while the warnings of a plugin are recorded."""


class SharedSetting:
    """A setting that threads need at once: the first of them enters it, the last one leaves it.

    Args:
        enter: makes the context that changes the setting, and restores it.
    """

    def __init__(self, enter: Callable[[], AbstractContextManager[object]]):
        self._enter, self._context = enter, ExitStack()
        self._lock, self._users = threading.Lock(), 0
        if hasattr(os, "register_at_fork"):  # the other threads do not exist in a forked process
            os.register_at_fork(after_in_child=self._forget_users)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep the setting for a block."""
        with self._lock:
            if not self._users:
                self._context.enter_context(self._enter())
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users = max(self._users - 1, 0)
                if not self._users:
                    self._context.close()

    def _forget_users(self) -> None:
        self._lock, self._users = threading.Lock(), 0


@contextmanager
def _safe_path() -> Iterator[None]:
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    yield
    if before is None:
        del os.environ[SAFE_PATH]
    else:
        os.environ[SAFE_PATH] = before


safe_children = SharedSetting(_safe_path)
"""A block in which a Python process that is started leaves the working folder out of its import path."""

_filters = SharedSetting(warnings.catch_warnings)


@contextmanager
def ignored_warnings(category: type[Warning] = Warning) -> Iterator[None]:
    """Ignore warnings of a category in a block; in several threads, until the last of such blocks ends."""
    with _filters():
        warnings.simplefilter("ignore", category)
        yield
