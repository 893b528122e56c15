"""A cache of ragged tensors: rows of batches without padding, in memory, or in files beyond a given size."""

import json
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from taskgraft.contract.batch import Batch, RowIndices, length_mask
from taskgraft.reading.errors import DataError
from taskgraft.storage.fingerprints import tensor_bytes

_INDEX, _EXAMPLE, _LENGTHS, _ORDER = "index.safetensors", "example", "lengths", "order"
"""The file that describes the other files, and the first words of its tensor names."""


class RowSource(Protocol):
    """Processed rows that can be gathered by index.

    Attributes:
        bytes: what is cached of them.
        heavy: whether gathering is slow enough for worker processes to pay.
    """

    bytes: int
    heavy: bool

    def __len__(self) -> int: ...

    def sizes(self) -> list[int]:
        """Return the real positions of each row, summed over its padded axes; 1 for rows of a fixed shape."""

    def gather(self, rows: RowIndices) -> Batch:
        """Return some rows as a batch, padded on the right with 0 to the longest of them."""


class TensorCache:
    """Takes batches in any order, returns rows by index.

    A tensor is stored flat: the real positions of all rows one after another. Files are deleted with their folder, which
    belongs to the run.

    Args:
        folder: where files may be written.
        memory: bytes above which tensors are moved to files.
    """

    def __init__(self, folder: Path, memory: int = 1 << 30):
        self._folder = folder
        self._memory = memory
        self._chunks: dict[str, list[Tensor]] = {}
        self._files: dict[str, BinaryIO] = {}
        self._paths: dict[str, Path] = {}
        self._lengths: dict[str, list[Tensor]] = {}
        self._order: list[NDArray[np.int64]] = []
        self._count = 0
        self._example: Batch | None = None
        self._flat: dict[str, Tensor] = {}
        self._starts: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}
        self._slots: Tensor | None = None
        self._in_order = False
        self.bytes = 0
        self.heavy = False

    def append(self, rows: RowIndices, batch: Batch) -> None:
        """Add a batch.

        Args:
            rows: the index of each example, by which it is gathered.
        """
        self._example = self._example or batch.select([0])
        self._order.append(np.asarray(rows, dtype=np.int64))
        self._count += len(rows)
        for axis, length in batch.lengths.items():
            self._lengths.setdefault(axis, []).append(length.cpu())
        for name in batch.tensors:
            flat = _flatten(batch, name).cpu()
            self.bytes += flat.nbytes
            self._store(name, flat)

    def finish(self) -> "TensorCache":
        """Close the files; from now on rows can be gathered."""
        for file in self._files.values():
            file.close()
        self._files = {}
        self._lengths = {axis: [torch.cat(chunks)] for axis, chunks in self._lengths.items()}
        self._order = [np.concatenate(self._order)]
        self._build_index()
        return self

    def write_index(self) -> None:
        """Describe the files in one more file, for :meth:`open`. For a finished cache with no tensor in memory."""
        assert self._example is not None
        tensors = {f"{_EXAMPLE}.{name}": tensor.cpu().contiguous() for name, tensor in self._example.tensors.items()}
        tensors |= {f"{_LENGTHS}.{axis}": chunks[0] for axis, chunks in self._lengths.items()}
        files = {name: path.name for name, path in self._paths.items()}  # in the order of the tensors
        header = json.dumps({"files": files, "axes": dict(self._example.axes), "bytes": self.bytes})
        save_file(tensors | {_ORDER: torch.from_numpy(self._order[0])}, self._folder / _INDEX, {"store": header})

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the cache that a folder holds. Its rows are read from the files, which must stay there meanwhile."""
        with safe_open(folder / _INDEX, framework="pt") as file:
            header = json.loads(file.metadata()["store"])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, not a mapping
        cache = cls(folder, memory=0)
        cache._order = [tensors[_ORDER].numpy()]
        cache._count, cache.bytes = len(cache._order[0]), header["bytes"]
        axes = {name: tuple(some) for name, some in header["axes"].items()}
        cache._lengths = {axis: [tensors[f"{_LENGTHS}.{axis}"]] for some in axes.values() for axis in some}
        example = {name: tensors[f"{_EXAMPLE}.{name}"] for name in header["files"]}
        cache._example = Batch(example, axes, {axis: some[0][:1] for axis, some in cache._lengths.items()})
        cache._paths = {name: folder / file for name, file in header["files"].items()}
        cache._build_index()
        return cache

    def __len__(self) -> int:
        return self._count

    def sizes(self) -> list[int]:
        """Return the real positions of each row, summed over its padded axes; 1 for rows of a fixed shape."""
        if not self._lengths:
            return [1] * len(self)
        return torch.stack([chunks[0] for chunks in self._lengths.values()]).sum(0)[self._slots].tolist()

    def gather(self, rows: RowIndices) -> Batch:
        """Return some rows as a batch, padded on the right with 0 to the longest of them."""
        assert self._example is not None
        assert self._slots is not None, "finish the cache before gathering"
        index = torch.as_tensor(rows)
        slots = index if self._in_order else self._slots[index]
        lengths = {axis: chunks[0][slots] for axis, chunks in self._lengths.items()}
        tensors = {}
        for name in self._example.tensors:
            axes = self._example.axes.get(name, ())
            flat, starts = self._read_slots(name, slots)
            if not axes:
                tensors[name] = flat.index_select(0, starts)
            else:
                tensors[name] = _pad(flat, starts, [lengths[axis] for axis in axes])
        return Batch(tensors, self._example.axes, lengths)

    def take(self, rows: RowIndices) -> Self:
        """Return a view of some rows of a finished cache, numbered in the order given."""
        assert self._slots is not None, "finish the cache before taking rows"
        view = copy(self)
        view._slots, view._in_order, view._count = self._slots[torch.as_tensor(rows)], False, len(rows)
        return view

    def _store(self, name: str, flat: Tensor) -> None:
        if name not in self._files:
            self._chunks.setdefault(name, []).append(flat)
            if self.bytes <= self._memory:
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            self._paths[name] = self._folder / f"{len(self._files)}.bin"
            self._files[name] = self._paths[name].open("wb")
            chunks = self._chunks.pop(name)
        else:
            chunks = [flat]
        for chunk in chunks:
            self._files[name].write(tensor_bytes(chunk).numpy().data)

    def _build_index(self) -> None:
        for name in self._example.tensors if self._example else ():
            if name not in self._paths:
                self._flat[name] = torch.cat(self._chunks.pop(name))
            counts = torch.ones(self._count, dtype=torch.int64)
            for axis in self._example.axes.get(name, ()) if self._example else ():
                counts = counts * self._lengths[axis][0]
            self._counts[name], self._starts[name] = counts, counts.cumsum(0) - counts
        order = torch.from_numpy(self._order[0])
        self._slots = order.argsort()
        self._in_order = bool((order == torch.arange(len(order))).all())

    def _read_slots(self, name: str, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Return a flat tensor with the rows in some slots, and where in it each of them starts."""
        starts = self._starts[name][slots]
        if name not in self._paths:
            return self._flat[name], starts
        counts = self._counts[name][slots]
        return self._read_file(name, starts, counts), counts.cumsum(0) - counts

    def _read_file(self, name: str, starts: Tensor, counts: Tensor) -> Tensor:
        """Read rows from their file. It is not mapped: mapped pages would count as memory of this process."""
        assert self._example is not None
        example = self._example[name]
        shape = example.shape[1 + len(self._example.axes.get(name, ())) :]
        flat = torch.empty(int(counts.sum()), *shape, dtype=example.dtype)
        buffer = flat.view(-1).view(torch.uint8).numpy().data
        size = len(buffer) // max(len(flat), 1)
        path = self._paths[name]
        with path.open("rb") as file:
            filled = 0
            for start, count in _runs(starts, counts):
                file.seek(start * size)
                if file.readinto(buffer[filled : filled + count * size]) < count * size:
                    raise DataError(
                        f"The cache file {path} is truncated. Delete the folder that holds it, and run again."
                    )
                filled += count * size
        return flat


def _runs(starts: Tensor, counts: Tensor) -> Iterator[tuple[int, int]]:
    """Yield (start, count) of the stretches of a file that hold the rows; adjacent rows make one stretch."""
    ends = starts + counts
    first = torch.cat([torch.tensor([True]), starts[1:] != ends[:-1]])
    last = torch.cat([first[1:], torch.tensor([True])])
    yield from zip(starts[first].tolist(), (ends[last] - starts[first]).tolist(), strict=True)


def _flatten(batch: Batch, name: str) -> Tensor:
    axes, tensor = batch.axes.get(name, ()), batch[name]
    if not axes:
        return tensor
    real = length_mask(batch.lengths[axes[0]], tensor.shape[1])
    if len(axes) == 1:
        return tensor[real]
    other = length_mask(batch.lengths[axes[1]], tensor.shape[2])
    return tensor[real[:, :, None] & other[:, None, :]]


def _pad(flat: Tensor, starts: Tensor, lengths: list[Tensor]) -> Tensor:
    """Gather rows of a flat tensor into a padded one. ``starts`` and each of ``lengths``: ``(batch,)`` int64."""
    sizes = [int(length.max()) for length in lengths]
    within, real = torch.arange(sizes[0])[None, :], length_mask(lengths[0], sizes[0])
    if len(lengths) == 2:
        within = within[:, :, None] * lengths[1][:, None, None] + torch.arange(sizes[1])[None, None, :]
        real = real[:, :, None] & length_mask(lengths[1], sizes[1])[:, None, :]
        starts = starts[:, None]
    index = (starts[:, None] + within)[real]
    padded = flat.new_zeros(*real.shape, *flat.shape[1:])
    padded[real] = flat[index]
    return padded
