"""Rows of batches without padding: in memory, and beyond a stated size in files of a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from taskgraft.contract.batch import Batch, RowIndices, length_mask
from taskgraft.errors import TaskgraftError

MEMORY = 1 << 30
"""Bytes that one store keeps in memory; a larger one lies in files."""

INDEX, EXAMPLE, LENGTHS, ORDER = "index.safetensors", "example", "lengths", "order"
"""The file that says what lies in the others, and the first words of the names of its tensors."""


class RowSource(Protocol):
    """Prepared rows that can be gathered by their numbers.

    Attributes:
        bytes: what is kept of them.
        heavy: whether gathering takes so much work that worker processes are worth their while.
    """

    bytes: int
    heavy: bool

    def __len__(self) -> int: ...

    def sizes(self) -> list[int]:
        """The real positions of each row, summed over its padded axes; 1 for rows of a fixed shape."""

    def gather(self, rows: RowIndices) -> Batch:
        """Put some rows together, padded on the right with 0 to the longest of them."""


class TensorCache:
    """Batches appended in any order, gathered by row.

    A tensor is kept flat: the real positions of all rows one after another. Files are deleted with their folder, which
    belongs to the run.
    """

    def __init__(self, folder: Path, memory: int = MEMORY):
        self._folder = folder
        self._memory = memory
        self._pieces: dict[str, list[Tensor]] = {}
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
        """Keep a batch.

        Args:
            rows: the number under which each example will be asked for.
        """
        self._example = self._example or batch.select([0])
        self._order.append(np.asarray(rows, dtype=np.int64))
        self._count += len(rows)
        for axis, length in batch.lengths.items():
            self._lengths.setdefault(axis, []).append(length.cpu())
        for name in batch.tensors:
            flat = _flat(batch, name).cpu()
            self.bytes += flat.nbytes
            self._keep(name, flat)

    def finish(self) -> "TensorCache":
        """Close the files and make the rows ready to be gathered."""
        for file in self._files.values():
            file.close()
        self._files = {}
        self._lengths = {axis: [torch.cat(pieces)] for axis, pieces in self._lengths.items()}
        self._order = [np.concatenate(self._order)]
        self._ready()
        return self

    def write_index(self) -> None:
        """Write down what lies in the files, so that :meth:`kept` finds it. For a finished store with no memory at all."""
        assert self._example is not None
        tensors = {f"{EXAMPLE}.{name}": tensor.cpu().contiguous() for name, tensor in self._example.tensors.items()}
        tensors |= {f"{LENGTHS}.{axis}": pieces[0] for axis, pieces in self._lengths.items()}
        files = {name: path.name for name, path in self._paths.items()}  # in the order of the tensors
        about = json.dumps({"files": files, "axes": dict(self._example.axes), "bytes": self.bytes})
        save_file(tensors | {ORDER: torch.from_numpy(self._order[0])}, self._folder / INDEX, {"store": about})

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what was stored in a folder before. The rows stay in its files, which must stay as long as they are gathered."""
        with safe_open(folder / INDEX, framework="pt") as file:
            about = json.loads(file.metadata()["store"])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, no mapping
        store = cls(folder, memory=0)
        store._order = [tensors[ORDER].numpy()]
        store._count, store.bytes = len(store._order[0]), about["bytes"]
        axes = {name: tuple(some) for name, some in about["axes"].items()}
        store._lengths = {axis: [tensors[f"{LENGTHS}.{axis}"]] for some in axes.values() for axis in some}
        example = {name: tensors[f"{EXAMPLE}.{name}"] for name in about["files"]}
        store._example = Batch(example, axes, {axis: some[0][:1] for axis, some in store._lengths.items()})
        store._paths = {name: folder / file for name, file in about["files"].items()}
        store._ready()
        return store

    def __len__(self) -> int:
        return self._count

    def sizes(self) -> list[int]:
        """The real positions of each row, summed over its padded axes; 1 for rows of a fixed shape."""
        if not self._lengths:
            return [1] * len(self)
        return torch.stack([pieces[0] for pieces in self._lengths.values()]).sum(0)[self._slots].tolist()

    def gather(self, rows: RowIndices) -> Batch:
        """Put some rows together, padded on the right with 0 to the longest of them."""
        assert self._example is not None
        assert self._slots is not None, "finish the store before gathering"
        index = torch.as_tensor(rows)
        slots = index if self._in_order else self._slots[index]
        lengths = {axis: pieces[0][slots] for axis, pieces in self._lengths.items()}
        tensors = {}
        for name in self._example.tensors:
            axes = self._example.axes.get(name, ())
            flat, starts = self._taken(name, slots)
            if not axes:
                tensors[name] = flat.index_select(0, starts)
            else:
                tensors[name] = _padded(flat, starts, [lengths[axis] for axis in axes])
        return Batch(tensors, self._example.axes, lengths)

    def _keep(self, name: str, flat: Tensor) -> None:
        if name not in self._files:
            self._pieces.setdefault(name, []).append(flat)
            if self.bytes <= self._memory:
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            self._paths[name] = self._folder / f"{len(self._files)}.bin"
            self._files[name] = self._paths[name].open("wb")
            pieces = self._pieces.pop(name)
        else:
            pieces = [flat]
        for piece in pieces:
            self._files[name].write(piece.contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def _ready(self) -> None:
        for name in self._example.tensors if self._example else ():
            if name not in self._paths:
                self._flat[name] = torch.cat(self._pieces.pop(name))
            self._counts[name] = counts = self._count_positions(name)
            self._starts[name] = counts.cumsum(0) - counts
        order = torch.from_numpy(self._order[0])
        self._slots = order.argsort()
        self._in_order = bool((order == torch.arange(len(order))).all())

    def _taken(self, name: str, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Give a flat tensor that has the rows in some slots, and where in it each of them starts."""
        starts = self._starts[name][slots]
        if name not in self._paths:
            return self._flat[name], starts
        counts = self._counts[name][slots]
        return self._read(name, starts, counts), counts.cumsum(0) - counts

    def _read(self, name: str, starts: Tensor, counts: Tensor) -> Tensor:
        """Read rows from their file, one after another: a mapped file would count as memory of this process."""
        assert self._example is not None
        example = self._example[name]
        shape = example.shape[1 + len(self._example.axes.get(name, ())) :]
        flat = torch.empty(int(counts.sum()), *shape, dtype=example.dtype)
        space = flat.view(-1).view(torch.uint8).numpy().data
        size = len(space) // max(len(flat), 1)
        with self._paths[name].open("rb") as file:
            filled = 0
            for start, count in _runs(starts, counts):
                file.seek(start * size)
                if file.readinto(space[filled : filled + count * size]) < count * size:
                    raise TruncatedCache(self._paths[name])
                filled += count * size
        return flat

    def _count_positions(self, name: str) -> Tensor:
        """Flat positions per kept row."""
        assert self._example is not None
        counts = torch.ones(self._count, dtype=torch.int64)
        for axis in self._example.axes.get(name, ()):
            counts = counts * self._lengths[axis][0]
        return counts


@dataclass(eq=False)
class TruncatedCache(TaskgraftError):
    """A file of stored rows that ends before its rows do."""

    path: Path

    def __str__(self) -> str:
        return f"{self.path}, where rows were stored, has been cut short. Delete the folder that it lies in, and run again."


def _runs(starts: Tensor, counts: Tensor) -> Iterator[tuple[int, int]]:
    """Give stretches of a file, start and count, that hold rows in their order; rows that follow one another make one."""
    ends = starts + counts
    first = torch.cat([torch.tensor([True]), starts[1:] != ends[:-1]])
    last = torch.cat([first[1:], torch.tensor([True])])
    yield from zip(starts[first].tolist(), (ends[last] - starts[first]).tolist(), strict=True)


def _flat(batch: Batch, name: str) -> Tensor:
    axes, tensor = batch.axes.get(name, ()), batch[name]
    if not axes:
        return tensor
    real = length_mask(batch.lengths[axes[0]], tensor.shape[1])
    if len(axes) == 1:
        return tensor[real]
    other = length_mask(batch.lengths[axes[1]], tensor.shape[2])
    return tensor[real[:, :, None] & other[:, None, :]]


def _padded(flat: Tensor, starts: Tensor, lengths: list[Tensor]) -> Tensor:
    """Take rows out of a flat tensor. ``starts`` and each of ``lengths``: ``(batch,)`` int64."""
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
