"""The one place where files are opened for reading: regular files only, small ones up to a stated size.

Opening a named pipe may wait for ever, a device may have no end, and files of the kernel (/proc) are not stored data.
"""

import errno
import hashlib
import os
import stat
from functools import cache
from io import BufferedReader
from pathlib import Path

_KERNEL_FOLDERS = ("/proc", "/sys")

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}

_MAX_SPARSE = 1 << 30
"""Bytes of a file that may have been stored as next to nothing. One of 40 GB is made in no time, but takes minutes to read."""

SHORTENED = "it was truncated while it was being read"

_CODES = {"a folder": errno.EISDIR, "a pipe": errno.ESPIPE}

PIPE_ADVICE = "Write its output to a file; or, for predict and evaluate, pipe it in and pass - in place of the file."
"""For data from a pipe, such as ``<(zcat rows.csv.gz)``: only standard input is read as one."""


def open_regular_file(path: str | os.PathLike[str], most: int | None = None) -> BufferedReader:
    """Open a regular file as bytes. Symbolic links are followed.

    Args:
        most: the bytes it may have.

    Raises:
        OSError: when it cannot be opened, or is a folder (EISDIR), pipe (ESPIPE), device, socket, file of the kernel, too large
            (EFBIG) or a hole. ``strerror`` is the reason for a message.
    """
    check_regular_file(path, most)  # opening a device may do something
    # O_NONBLOCK: opening a pipe that took the file's place would wait for its writer. On a regular file it does nothing.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check(os.fstat(descriptor), most, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular_file(path: str | os.PathLike[str], most: int | None = None) -> None:
    """Check a file that a library opens by its path. Raises OSError as :func:`open_regular_file` does."""
    try:
        status = os.stat(path)
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from None
    _check(status, most, path)


def read_small_file(path: str | os.PathLike[str], most: int) -> bytes:
    """Read a whole regular file of at most ``most`` bytes.

    Raises:
        OSError: as :func:`open_regular_file` does, and with EIO for a file that became shorter meanwhile.
    """
    with open_regular_file(path, most) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1)
    _check_size(len(content), most, path)
    if len(content) < size:
        raise OSError(errno.EIO, SHORTENED, os.fspath(path))
    return content


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a regular file of any size, in hexadecimal. Raises OSError as :func:`open_regular_file` does."""
    with open_regular_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(status: os.stat_result, most: int | None, path: str | os.PathLike[str]) -> None:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None and status.st_dev in _kernel_devices():
        kind = "a file of the kernel"
    if kind is not None:
        raise OSError(_CODES.get(kind, errno.EINVAL), f"it is {kind}, not a regular file", os.fspath(path))
    size, stored = status.st_size, getattr(status, "st_blocks", 0) * 512
    _check_size(size, most, path)
    if size > _MAX_SPARSE and 0 < stored < size // 1_000:  # 0 where a file system does not say
        raise OSError(errno.EINVAL, f"it is sparse: {stored:,} of its {size:,} bytes are stored", os.fspath(path))


def _check_size(size: int, most: int | None, path: str | os.PathLike[str]) -> None:
    if most is not None and size > most:
        raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than the limit of {most:,}", os.fspath(path))


@cache
def _kernel_devices() -> set[int]:
    """Return the devices of the file systems that the kernel makes up; both are mounted on every Linux."""
    return {os.stat(folder).st_dev for folder in _KERNEL_FOLDERS if Path(folder).is_mount()}
