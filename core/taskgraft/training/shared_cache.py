"""Where the runs of one comparison share what stays frozen, so that it is computed once."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.engine.memory import peak_memory
from taskgraft.storage.fingerprints import combined_digest

NOTE = "note.json"
"""Beside a store: what computing it took."""


@dataclass
class SharedCache:
    """A folder of stores, each under a digest of all that it was computed from.

    Attributes:
        seconds: what computing those stores took that others had put there and this run read: it would have taken it too.
        memory: the most bytes of main memory that a process held when it had computed one of them.
    """

    folder: Path
    seconds: float = field(default=0.0, init=False)
    memory: int = field(default=0, init=False)

    def store(self, made_of: Mapping[str, Any], compute: Callable[[Path], TensorCache], *, again: bool) -> TensorCache:
        """Give a store, computed only if it is not there.

        Args:
            made_of: all that decides what is in it, as plain JSON.
            compute: makes the store in a folder that is empty, all of it in files.
            again: whether this run paid for it before it was interrupted.
        """
        place = self.folder / hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        if place.is_dir():
            note = json.loads((place / NOTE).read_text("utf-8"))
            self.seconds += 0.0 if again else note["seconds"]
            self.memory = max(self.memory, note["memory"])
            return TensorCache.open(place)
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".", dir=self.folder))
        try:
            began = time.monotonic()
            compute(fresh).write_index()
            note = {"seconds": time.monotonic() - began, "memory": peak_memory()}
            (fresh / NOTE).write_text(json.dumps(note), "utf-8")
            fresh.rename(place)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        return TensorCache.open(place)


@dataclass(frozen=True)
class SharedCacheKeys:
    """What stays frozen, shared with other runs.

    Attributes:
        made_of: part of the data (``training``, ``validation``) → all that decides what is stored of it, but for what
            the loop knows: the weights, the cut, the layout and the rows per pass. Plain JSON.
    """

    shelf: SharedCache
    made_of: Mapping[str, Mapping[str, Any]]


def frozen_digest(backbone: Backbone, cut: int | None) -> str:
    """Digest the weights that decide what lies at a cut, or (None) the features. SHA-256, in hexadecimal."""
    description = backbone.description
    parts = description.parts[:cut]
    found = {
        name: tensor for name, tensor in named_tensors(backbone).items() if description.part_of(name) in parts
    }
    return combined_digest(found, {})
