"""A cache of frozen features that the runs of one comparison share, keyed by content."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.engine.memory import peak_memory
from taskgraft.storage.atomic_write import atomic_folder
from taskgraft.storage.fingerprints import combined_digest

COST_FILE = "note.json"
"""In the folder of a cache entry: what computing it cost."""


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
        self, key: Mapping[str, Any], compute: Callable[[Path], TensorCache], *, resumed: bool
    ) -> TensorCache:
        """Return the entry of a key (everything that decides its content, as plain JSON), computed if it is not there.

        Args:
            compute: fills a cache in an empty folder, with all tensors in files.
            resumed: whether this run was charged for the entry before it was interrupted.
        """
        entry = self.folder / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        if entry.is_dir():
            cost = json.loads((entry / COST_FILE).read_text("utf-8"))
            self.seconds += 0.0 if resumed else cost["seconds"]
            self.memory = max(self.memory, cost["memory"])
            return TensorCache.open(entry)
        with atomic_folder(entry, replace=False) as temporary:
            start = time.monotonic()
            compute(temporary).write_index()
            cost = {"seconds": time.monotonic() - start, "memory": peak_memory()}
            (temporary / COST_FILE).write_text(json.dumps(cost), "utf-8")
        return TensorCache.open(entry)


@dataclass(frozen=True)
class SharedCacheKeys:
    """A shared cache, and for ``training`` and ``validation`` everything that decides the inputs, as plain JSON."""

    cache: SharedCache
    keys: Mapping[str, Mapping[str, Any]]


def frozen_digest(backbone: Backbone, cut: int | None) -> str:
    """Return the SHA-256, in hexadecimal, of the weights that decide the state at a cut, or (None) the features."""
    parts = backbone.description.parts[:cut]
    part_of = backbone.description.part_of
    return combined_digest(
        {name: tensor for name, tensor in named_tensors(backbone).items() if part_of(name) in parts}, {}
    )
