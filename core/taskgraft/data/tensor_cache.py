"""A cache of ragged tensors: rows of batches without padding, in memory, or in files beyond a given size."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.config import Config
from taskgraft.data.flat_rows import flatten, pad_rows
from taskgraft.errors import error_reason
from taskgraft.files.regular_file import file_digest, open_regular_file
from taskgraft.files.temporary_folder import TemporaryFilesError, no_room
from taskgraft.reading.errors import DataError
from taskgraft.storage.documents import validate
from taskgraft.storage.fingerprints import tensor_bytes
from taskgraft.storage.verified_tensors import read_verified, write_verified

_INDEX, _EXAMPLE, _LENGTHS, _ORDER = "index.safetensors", "example", "lengths", "order"
"""The file that describes the other files, and the first words of its tensor names."""


class _Index(Config):
    """The document of the index: the name of each tensor, in order → its file; → its padded axes; file → its SHA-256."""

    files: dict[str, str]
    axes: dict[str, tuple[str, ...]]
    digests: dict[str, str]
    bytes: int


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

    A tensor is stored flat: the real positions of all rows one after another. Files are deleted with their folder.

    Args:
        folder: where files may be written.
        memory: bytes above which tensors are moved to files.
        lasting: whether :meth:`write_index` follows, so that files need digests.
    """

    def __init__(self, folder: Path, memory: int = 1 << 30, *, lasting: bool = False):
        self._folder = folder
        self._memory = memory
        self._lasting = lasting
        self._hashes: dict[str, Any] = {}
        self._digests: dict[str, str] = {}
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
            flat = flatten(batch, name).cpu()
            self.bytes += flat.nbytes
            with self._room():
                self._store(name, flat)

    def finish(self) -> "TensorCache":
        """Close the files; from now on rows can be gathered."""
        with self._room():
            for file in self._files.values():
                file.close()
        self._digests = {self._paths[name].name: digest.hexdigest() for name, digest in self._hashes.items()}
        self._files, self._hashes = {}, {}
        self._lengths = {axis: [torch.cat(chunks)] for axis, chunks in self._lengths.items()}
        self._order = [np.concatenate(self._order)]
        self._build_index()
        return self

    def write_index(self) -> None:
        """Describe the files in one more file, for :meth:`open`. For a finished, lasting cache with no tensor in memory."""
        assert self._lasting
        assert self._example is not None
        tensors = {f"{_EXAMPLE}.{name}": tensor.cpu().contiguous() for name, tensor in self._example.tensors.items()}
        tensors |= {f"{_LENGTHS}.{axis}": chunks[0] for axis, chunks in self._lengths.items()}
        files = {name: path.name for name, path in self._paths.items()}  # in the order of the tensors
        index = _Index(files=files, axes=dict(self._example.axes), digests=self._digests, bytes=self.bytes)
        tensors[_ORDER] = torch.from_numpy(self._order[0])
        write_verified(self._folder / _INDEX, index.model_dump(), tensors)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the cache that a folder holds. Its rows are read from the files, which must stay there meanwhile.

        Raises:
            OSError, ValueError: when a file is missing or damaged; the ValueError with a clause for a sentence.
        """
        document, tensors = read_verified(folder / _INDEX)
        _check_index(index := validate(_Index, document), tensors)
        cache = cls(folder, memory=0)
        cache._order = [tensors[_ORDER].numpy().copy()]
        cache._count, cache.bytes = len(cache._order[0]), index.bytes
        lengths = (name for name in tensors if name.startswith(f"{_LENGTHS}."))
        cache._lengths = {name.removeprefix(f"{_LENGTHS}."): [tensors[name].clone()] for name in lengths}
        example = {name: tensors[f"{_EXAMPLE}.{name}"].clone() for name in index.files}
        cache._example = Batch(example, index.axes, {axis: some[0][:1] for axis, some in cache._lengths.items()})
        cache._paths = {name: folder / file for name, file in index.files.items()}
        cache._build_index()
        for name, path in cache._paths.items():
            digest, size = file_digest(path), path.stat().st_size
            if size != int(cache._counts[name].sum()) * cache._row_size(name) or digest != index.digests.get(path.name):
                raise ValueError(f"{path.name} does not match its digest")
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
                tensors[name] = pad_rows(flat, starts, [lengths[axis] for axis in axes])
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
            if self._lasting:
                self._hashes[name] = hashlib.sha256()
            chunks = self._chunks.pop(name)
        else:
            chunks = [flat]
        for chunk in chunks:
            content = tensor_bytes(chunk).numpy().data
            self._files[name].write(content)
            if self._lasting:
                self._hashes[name].update(content)

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Raise TemporaryFilesError for a disk without room."""
        try:
            yield
        except OSError as error:
            for file in self._files.values():
                with suppress(OSError):  # what is buffered has no room either
                    file.close()
            raise TemporaryFilesError(no_room("cached rows", self._folder, error)) from None

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
        size, path, filled = self._row_size(name), self._paths[name], 0
        try:
            with open_regular_file(path) as file:
                for start, count in _runs(starts, counts):
                    file.seek(start * size)
                    if file.readinto(buffer[filled : filled + count * size]) < count * size:
                        raise OSError("it is truncated")
                    filled += count * size
        except OSError as error:
            advice = "Delete the folder that holds it, and run again"
            raise DataError(f"The cache file {path} cannot be read ({error_reason(error)}). {advice}.") from None
        return flat

    def _row_size(self, name: str) -> int:
        """Return the bytes of one position of a tensor."""
        assert self._example is not None
        example = self._example[name]
        return int(np.prod(example.shape[1 + len(self._example.axes.get(name, ())) :], initial=1)) * example.itemsize


def _check_index(index: _Index, tensors: Mapping[str, Tensor]) -> None:
    """Check that the parts of an index fit each other. Raises ValueError with a clause for a sentence."""
    examples = {f"{_EXAMPLE}.{name}": 1 + len(index.axes.get(name, ())) for name in index.files}
    lengths = {name for name in tensors if name.startswith(f"{_LENGTHS}.")}
    padded = {f"{_LENGTHS}.{axis}" for some in index.axes.values() for axis in some}
    names = {Path(name).name for name in index.files.values()}
    if tensors.keys() != {*examples, *lengths, _ORDER} or not padded <= lengths:
        raise ValueError("its index describes other tensors than it holds")
    if len(names) < len(index.files) or names != set(index.files.values()) or names != index.digests.keys():
        raise ValueError("its index does not name a file of the folder for each tensor")
    order = tensors[_ORDER]
    if order.dtype != torch.int64 or not torch.equal(order.sort().values, torch.arange(order.numel())):
        raise ValueError("its index does not number each row once")
    for name in lengths:
        length = tensors[name]
        if length.dtype != torch.int64 or length.shape != order.shape or bool((length < 0).any()):
            raise ValueError(f"its index has no valid {name}")
    if any(tensors[name].dim() < least or len(tensors[name]) != 1 for name, least in examples.items()):
        raise ValueError("its index has no valid example row")


def _runs(starts: Tensor, counts: Tensor) -> Iterator[tuple[int, int]]:
    """Yield (start, count) of the stretches of a file that hold the rows; adjacent rows make one stretch."""
    ends = starts + counts
    first = torch.cat([torch.tensor([True]), starts[1:] != ends[:-1]])
    last = torch.cat([first[1:], torch.tensor([True])])
    yield from zip(starts[first].tolist(), (ends[last] - starts[first]).tolist(), strict=True)
