"""Send results with tensors between processes, without the shared memory of ``/dev/shm``.

A container has 64 MB of it by default, and torch's own way waits for ever when they are full. On Linux the bytes of tensors go
through a nameless file in memory (``memfd_create``), which has no limit of its own and is gone with its processes; elsewhere,
or where that fails, through the pipe.
"""

import os
import pickle
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskgraft.storage.fingerprints import tensor_bytes

_ALIGNMENT = 64
"""Each tensor starts at a multiple of so many bytes."""

_SMALL = 1 << 16
"""Bytes that go through the pipe, since that is faster."""


@dataclass(frozen=True)
class _Message:
    """A pickle, and the bytes of its tensors; ``buffers`` is None if they follow in a file of ``bytes`` bytes."""

    pickle: bytes
    sizes: Sequence[int]
    bytes: int
    buffers: bytearray | None


@dataclass(frozen=True)
class Channel:
    """One end of a connection between two processes."""

    connection: "Connection[Any, Any]"
    files: socket.socket

    @classmethod
    def pair(cls) -> "tuple[Channel, Channel]":
        """Open a channel and return both ends."""
        connections, sockets = Pipe(), socket.socketpair()
        return cls(connections[0], sockets[0]), cls(connections[1], sockets[1])

    def close(self) -> None:
        """Close this end."""
        self.connection.close()
        self.files.close()

    def send(self, value: object) -> None:
        """Send a value. Raises what pickling it raises, before anything is sent; OSError when the other end is closed."""
        stream, buffers = BytesIO(), list[pickle.PickleBuffer]()
        _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
        views = [buffer.raw() for buffer in buffers]
        sizes = [len(view) for view in views]
        total = sum(map(_aligned, sizes))
        handle = _write_file(views) if total > _SMALL else None
        if handle is None:
            content = bytearray(total)
            _copy(views, content)
            self.connection.send(_Message(stream.getvalue(), sizes, total, content))
            return
        try:
            self.connection.send(_Message(stream.getvalue(), sizes, total, None))
            socket.send_fds(self.files, [b"f"], [handle])
        finally:
            os.close(handle)

    def receive(self, timeout: float) -> Any:
        """Return what the other end sent. Its tensors are in ordinary memory of this process.

        Raises:
            TimeoutError: when nothing comes within ``timeout`` seconds.
            EOFError, OSError: when the other end is closed.
        """
        if not self.connection.poll(timeout):
            raise TimeoutError
        self.files.settimeout(timeout)
        message = self.connection.recv()
        content = memoryview(self._read_file(message.bytes) if message.buffers is None else message.buffers)
        starts = np.cumsum([0, *map(_aligned, message.sizes)]).tolist()
        views = [content[start : start + size] for start, size in zip(starts, message.sizes, strict=False)]
        return pickle.loads(message.pickle, buffers=views)  # noqa: S301, from a child of this process

    def _read_file(self, size: int) -> memoryview:
        _, handles, _, _ = socket.recv_fds(self.files, 1, 1)
        if not handles:
            raise EOFError
        with os.fdopen(handles[0], "rb", buffering=0) as file:
            content = torch.empty(size, dtype=torch.uint8).numpy().data
            filled = 0
            while filled < size and (count := file.readinto(content[filled:])):
                filled += count
        if filled < size:
            raise EOFError
        return content


class _Pickler(pickle.Pickler):
    """Leaves the bytes of tensors out of the pickle, as pickle does with those of arrays."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or value.device.type != "cpu" or value.layout != torch.strided:
            return NotImplemented
        if value.requires_grad or value.is_quantized or value.is_conj() or value.is_neg():
            return NotImplemented
        if not value.numel() or not value.is_contiguous():
            return value.clone().__reduce_ex__(5)  # not all of the storage that it is a view of; its strides stay
        return _tensor, (pickle.PickleBuffer(tensor_bytes(value).numpy().data), value.dtype, tuple(value.shape))


def _tensor(buffer: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return torch.frombuffer(buffer, dtype=torch.uint8).view(dtype).reshape(shape)


def _write_file(views: Sequence[memoryview]) -> int | None:
    """Write bytes to a nameless file in memory, and return its handle at the start; None where there is no such file."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        handle = os.memfd_create("taskgraft")
    except OSError:  # not allowed here, or too many open files
        return None
    try:
        for view in views:
            _write(handle, view)
            _write(handle, memoryview(bytes(_aligned(len(view)) - len(view))))
        os.lseek(handle, 0, os.SEEK_SET)
    except OSError:
        os.close(handle)
        return None
    return handle


def _write(handle: int, content: memoryview) -> None:
    while content:  # a single write has at most 2 GB
        content = content[os.write(handle, content) :]


def _copy(views: Sequence[memoryview], content: bytearray) -> None:
    start = 0
    for view in views:
        content[start : start + len(view)] = view
        start += _aligned(len(view))


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
