"""The one place where files are opened for reading: regular files only, small ones up to a stated size.

Opening a named pipe may wait for ever, a device may have no end, and files of the kernel (/proc) contain what nobody stored.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_KERNEL_FOLDERS = ("/proc", "/sys")

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_regular_file(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file as bytes. Symbolic links are followed.

    Raises:
        OSError: when it cannot be opened, or is a folder, named pipe, device, socket or file of the kernel. ``strerror`` is the
            reason for a message.
    """
    # O_NONBLOCK: opening a named pipe for reading would wait for its writer. On a regular file it does nothing.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular_file(path: str | os.PathLike[str]) -> None:
    """Check a file that a library opens by its path. Raises OSError as :func:`open_regular_file` does."""
    _check(os.stat(path), path)


def read_small_file(path: str | os.PathLike[str], most: int) -> bytes:
    """Read a whole regular file of at most ``most`` bytes.

    Raises:
        OSError: as :func:`open_regular_file` does, and with EFBIG for a larger file, before it is read.
    """
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise OSError(errno.EFBIG, f"it has {size:,} bytes, and at most {most:,} are read", os.fspath(path))
    return content


def _check(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None and status.st_dev in _kernel_devices():
        kind = "a file of the kernel"
    if kind is not None:
        code = errno.EISDIR if kind == "a folder" else errno.EINVAL
        raise OSError(code, f"it is {kind}, not a regular file", os.fspath(path))


def _kernel_devices() -> set[int]:
    """Return the devices of the file systems that the kernel makes up; both are mounted on every Linux."""
    return {os.stat(folder).st_dev for folder in _KERNEL_FOLDERS if Path(folder).is_mount()}
