"""The one place where temporary folders are made, so that those of killed processes are found and removed.

A folder is locked while its process lives; the kernel releases the lock however the process ends. Before its first folder, a
process removes the unlocked ones of its user. Process numbers are not compared: they repeat in containers that share a folder.
Where folders cannot be locked (Windows, NFS), nothing is removed but what a process removes itself.

A nameless file (``tempfile.TemporaryFile``) leaves nothing behind, and needs no folder.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from uuid import uuid4

from taskgraft.errors import MachineError, error_reason

_PREFIX = "taskgraft-work-"

_OTHER_BOOT_SECONDS = 86_400.0
"""Age after which the folder of another start of the system is removed. A virtual machine that shares the disk may not see the
locks of this one; its folders are of another start."""


class TemporaryFilesError(MachineError):
    """Temporary files that cannot be written."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty temporary folder, and remove it at the end.

    Raises:
        TemporaryFilesError: when none can be made.
    """
    try:
        root = Path(tempfile.gettempdir())
    except OSError as error:
        raise TemporaryFilesError(f"{error.strerror}. Set TMPDIR to a folder that can be written.") from None
    _remove_left_folders_once(root, os.getpid())
    with ExitStack() as stack:
        try:
            new = locked_folder(lambda: root / f"{_PREFIX}{_boot()}-{uuid4().hex}", 0o700)
            folder = stack.enter_context(new)
        except OSError as error:
            raise TemporaryFilesError(no_room("temporary files", root / _PREFIX, error)) from None
        yield folder


@contextmanager
def locked_folder(new_path: Callable[[], Path], mode: int = 0o777) -> Iterator[Path]:
    """Make a folder, locked while it is used, if folders can be locked here, and remove it at the end. Raises OSError.

    Args:
        new_path: returns a path where nothing is.
        mode: permissions of the folder.
    """
    folder, lock = new_path(), None
    try:  # before it is made: an interruption leaves nothing
        while lock is None:
            folder.mkdir(mode)
            try:
                lock = lock_folder(folder)
            except (BlockingIOError, FileNotFoundError):  # a process takes it for abandoned, and removes it
                folder = new_path()
            except OSError:
                break
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def no_room(what: str, path: Path, error: OSError) -> str:
    """Write the sentence for files that cannot be written, to the folder of temporary files or another one."""
    root = Path(tempfile.gettempdir())
    if root not in path.parents:
        return f"The {what} cannot be written to {path}: {error_reason(error)}. Make room there."
    where, other = f"the temporary folder, {root}", "set the environment variable TMPDIR to another folder"
    return f"The {what} cannot be written to {where}: {error_reason(error)}. Make room there, or {other}."


def lock_folder(folder: Path) -> int:
    """Lock a folder until the handle that this returns is closed, or the process ends.

    Raises:
        BlockingIOError: when a living process holds it.
        FileNotFoundError: when it is gone.
        OSError: when folders cannot be locked here.
    """
    if sys.platform == "win32":
        raise OSError("folders cannot be locked on Windows")
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), os.stat(folder)):
            raise FileNotFoundError(folder)
    except OSError:
        os.close(handle)
        raise
    return handle


def remove_left_folders(root: Path) -> None:
    """Remove the temporary folders in ``root`` that killed processes of this user left there."""
    with suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _may_be_removed(entry):
                with suppress(OSError):  # a living process holds it, or another one removes it
                    lock = lock_folder(Path(entry))
                    shutil.rmtree(entry, ignore_errors=True)
                    os.close(lock)


@cache
def _remove_left_folders_once(root: Path, process: int) -> None:
    """Remove them once per process: a fork starts with the cache of its parent."""
    remove_left_folders(root)


def _may_be_removed(entry: os.DirEntry[str]) -> bool:
    """Tell whether a folder belongs to this user, and is old enough if its lock may not be visible here."""
    with suppress(OSError):
        status = entry.stat(follow_symlinks=False)
        known = entry.name.startswith(f"{_PREFIX}{_boot()}-") or time.time() - status.st_mtime > _OTHER_BOOT_SECONDS
        return known and status.st_uid == os.geteuid() and entry.is_dir(follow_symlinks=False)
    return False


@cache
def _boot() -> str:
    """Identify this start of the system. Containers of one kernel have the same."""
    with suppress(OSError):
        return hashlib.sha256(Path("/proc/sys/kernel/random/boot_id").read_bytes()).hexdigest()[:8]
    return "unknown"
