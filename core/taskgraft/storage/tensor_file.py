"""Safetensors files read in pieces, not mapped: memory does not grow with the file, and one that shrinks meanwhile is an error.

The library maps such files. A mapped file that becomes shorter, or whose disk fails, ends the process.
"""

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from taskgraft.files.json_text import parse_json
from taskgraft.files.regular_file import SHORTENED, open_regular_file

_PIECE = 1 << 20
"""Bytes read at a time for a digest."""

_MAX_HEADER = 100_000_000
"""Bytes of the header, as in the library."""

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "I64": torch.int64,
    "U64": torch.uint64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}
"""Name of a dtype in a file → dtype."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file; its bytes are those from ``start`` to before ``stop``."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


class TensorFile:
    """An open safetensors file.

    Attributes:
        tensors: name → where and what it is, in the order in which they are stored.
        metadata: the texts in its header.

    Raises:
        OSError: when it cannot be opened, or is not a regular file.
        ValueError: when it is not a complete safetensors file. The message is a clause for a sentence.
    """

    def __init__(self, path: Path):
        self._file = open_regular_file(path)
        try:
            self.tensors = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def digest(self, name: str) -> str:
        """Digest a tensor as :func:`taskgraft.storage.fingerprints.tensor_digest` does. Raises OSError."""
        stored = self.tensors[name]
        digest = hashlib.sha256(digest_start(stored.dtype, stored.shape))
        self._file.seek(stored.start)
        for start in range(stored.start, stored.stop, _PIECE):
            digest.update(self._read(min(_PIECE, stored.stop - start)))
        return digest.hexdigest()

    def read(self, name: str) -> Tensor:
        """Read a tensor into memory. Raises OSError."""
        stored = self.tensors[name]
        values = torch.empty(stored.shape, dtype=stored.dtype)
        if stored.stop > stored.start:
            self._file.seek(stored.start)
            buffer = _bytes(values)
            if self._file.readinto(buffer) < len(buffer):
                raise OSError(SHORTENED)
        return values

    def read_all(self) -> tuple[dict[str, Tensor], str]:
        """Read all tensors once; also return the SHA-256 of the whole file, in hexadecimal. Raises OSError."""
        self._file.seek(0)
        digest = hashlib.sha256(self._read(min((one.start for one in self.tensors.values()), default=self._size)))
        tensors = {}
        for name in self.tensors:
            tensors[name] = self.read(name)
            digest.update(_bytes(tensors[name]))
        return tensors, digest.hexdigest()

    def _read_header(self) -> dict[str, StoredTensor]:
        self._size = size = os.fstat(self._file.fileno()).st_size
        length = int.from_bytes(self._file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _MAX_HEADER):
            raise ValueError(f"it has no header of a safetensors file in its {size:,} bytes")
        header = parse_json(self._read(length))
        if not isinstance(header, dict):
            raise ValueError("its header is not a JSON object")
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("the metadata in its header are not texts")
        self.metadata: dict[str, str] = metadata
        tensors = {name: _parse_record(name, record, 8 + length) for name, record in header.items()}
        tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)))
        end = 8 + length
        for name, stored in tensors.items():
            if stored.start != end:
                raise ValueError(f"the tensor '{name:.80}' does not begin where the one before it ends")
            end = stored.stop
        if end != size:
            raise ValueError(f"its tensors end at byte {end:,} of {size:,}")
        return tensors

    def _read(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) < count:
            raise OSError(SHORTENED)
        return content


def digest_start(dtype: torch.dtype, shape: tuple[int, ...]) -> bytes:
    """Return what the digest of a tensor covers before its bytes."""
    return f"{dtype} {tuple(shape)}\n".encode()


def _bytes(values: Tensor) -> memoryview:
    """View a contiguous tensor on the CPU as bytes."""
    return values.reshape(-1).view(torch.uint8).numpy().data


def _parse_record(name: str, record: Any, data: int) -> StoredTensor:
    """Parse one entry of the header. Offsets in it count from byte ``data`` of the file."""
    problem = f"its header is damaged at the tensor '{name:.80}'"
    if not isinstance(record, dict):
        raise ValueError(problem)
    shape: Any = record.get("shape")
    offsets: Any = record.get("data_offsets")
    dtype = _DTYPES.get(str(record.get("dtype")))
    if dtype is None:
        raise ValueError(f"the tensor '{name:.80}' has the unknown dtype {record.get('dtype')!r:.40}")
    lists = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2
    if not lists or not all(type(number) is int and number >= 0 for number in (*shape, *offsets)):
        raise ValueError(problem)
    start, stop = offsets
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the tensor '{name:.80}' has {stop - start:,} bytes, which do not fit its shape")
    return StoredTensor(dtype, tuple(shape), data + start, data + stop)
