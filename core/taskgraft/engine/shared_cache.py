"""A cache of frozen features that the runs of one comparison share, keyed by content."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import NonNegativeInt

from taskgraft.contract.config import Config
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.engine.memory import peak_memory
from taskgraft.errors import error_reason
from taskgraft.storage.atomic_write import atomic_folder
from taskgraft.storage.documents import read_document, write_document

COST_FILE = "note.json"
"""In the folder of a cache entry: what computing it cost."""

LOCKS = "locks"
"""The folder in the cache for the lock of each entry."""

_SAY_AFTER_SECONDS = 2.0

_FORMAT = 2
"""Of the entries. Those of format 1 had no digests."""


class EntryCost(Config):
    """Wall-clock seconds, and the peak memory in bytes of the process that computed an entry."""

    seconds: float
    memory: NonNegativeInt


@dataclass
class SharedCache:
    """A folder of tensor caches, each under a digest of everything that it was computed from.

    Attributes:
        seconds: time that other runs spent on entries that this run reused.
        memory: the largest peak memory, in bytes, of a process that had computed one of those entries.
    """

    folder: Path
    seconds: float = field(default=0.0, init=False)
    memory: int = field(default=0, init=False)

    def get_or_compute(
        self,
        key: Mapping[str, Any],
        compute: Callable[[TensorCache], TensorCache],
        say: Callable[[str], None],
        *,
        resumed: bool,
    ) -> TensorCache:
        """Return the entry of a key (everything that decides its content, as plain JSON), computed if it is not there.

        Args:
            compute: fills an empty cache, and finishes it.
            say: is called with a sentence about an entry that is damaged, and so computed again.
            resumed: whether this run was charged for the entry before it was interrupted.
        """
        content = json.dumps({"format": _FORMAT, **key}, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
        with self._locked(digest, say):  # of several processes one computes, the others reuse it
            return self._get_or_compute(self.folder / digest, compute, say, resumed=resumed)

    def _get_or_compute(
        self, entry: Path, compute: Callable[[TensorCache], TensorCache], say: Callable[[str], None], *, resumed: bool
    ) -> TensorCache:
        if entry.exists():
            try:
                cache, cost = _open(entry)
            except (OSError, ValueError) as error:
                problem = f"Cached frozen features in {entry} are damaged ({error_reason(error)})"
                say(f"{problem}, so they are computed again.")
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
            else:
                self.seconds += 0.0 if resumed else cost.seconds
                self.memory = max(self.memory, cost.memory)
                return cache
        with atomic_folder(entry, replace=False) as temporary:
            start = time.monotonic()
            compute(TensorCache(temporary, memory=0, lasting=True)).write_index()
            cost = EntryCost(seconds=time.monotonic() - start, memory=peak_memory())
            write_document(temporary / COST_FILE, cost, "cost of a cache entry")
        return _open(entry)[0]

    @contextmanager
    def _locked(self, digest: str, say: Callable[[str], None]) -> Iterator[None]:
        """Wait for other processes and threads that compute the same entry. The kernel releases the lock of a killed one."""
        folder = self.folder / LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / digest)
        try:
            lock.acquire(timeout=_SAY_AFTER_SECONDS)
        except Timeout:
            say("Another process computes the same frozen features. This one waits for them.")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _open(entry: Path) -> tuple[TensorCache, EntryCost]:
    cost = read_document(entry / COST_FILE, EntryCost)
    if cost is None:
        raise ValueError(f"it has no {COST_FILE}")
    return TensorCache.open(entry), cost


@dataclass(frozen=True)
class SharedCacheKeys:
    """A shared cache, and for ``training`` and ``validation`` everything that decides the inputs, as plain JSON."""

    cache: SharedCache
    keys: Mapping[str, Mapping[str, Any]]
