"""Atomic and durable writes: output goes to a temporary folder beside its path, and is renamed once it is complete.

What is renamed was synced before, and the folder around it is synced after. So a power cut leaves the previous output or the
new one, whole, and the caller may then delete what it replaces. File systems that cannot sync work too, without this promise.

Files and folders get the permissions that the umask allows (666 and 777 without its bits), also where the library that wrote
them chose others.

A killed process, or a power cut, leaves its temporary folder. The next write to the same path removes it, unless a living
process holds it: the folder is locked while in use. (Not on Windows, or where folders cannot be locked; there it stays.)
"""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EACCES, EBADF, EINVAL, EISDIR, ENOSYS, ENOTSUP, EPERM
from pathlib import Path
from uuid import uuid4

from safetensors import SafetensorError

from taskgraft.errors import MachineError, error_reason, join_words
from taskgraft.files.temporary_folder import lock_folder, locked_folder

_NEW, _OLD = ".taskgraft-new", ".taskgraft-old"
"""The suffixes of temporary folders: what is being written, and what is being replaced."""

_TEMPORARY = re.compile(rf"\.(.+)-[0-9a-f]{{8}}({re.escape(_NEW)}|{re.escape(_OLD)})", re.DOTALL)

_CANNOT_SYNC = frozenset({EACCES, EBADF, EINVAL, EISDIR, ENOSYS, ENOTSUP, EPERM})
"""The errors of file systems that cannot sync a folder, or a file. Others mean that the data did not reach the disk."""


def check_output_path(path: Path, suffixes: Iterable[str], what: str, *, overwrite: bool) -> None:
    """Check before any work is done that an output file can be written. Raises OutputError.

    Args:
        suffixes: supported file endings, in lower case.
        what: what the file will contain ("predictions").
    """
    if "\0" in str(path):
        raise OutputError(str(path), "its name has a null character", what)
    if path.suffix.lower() not in suffixes:
        raise OutputError(str(path), f"supported file endings are {join_words(suffixes)}", what)
    if path.is_dir():
        raise OutputError(str(path), "it is a folder", what)
    if path.exists() and not overwrite:
        raise OutputError(str(path), "the file exists; choose another one, or pass overwrite (--overwrite)", what)
    if not path.parent.is_dir():
        raise OutputError(str(path), f"there is no folder {path.parent}", what)


@contextmanager
def atomic_file(path: Path, what: str, destination: Callable[[], Path] | None = None) -> Iterator[Path]:
    """Do as :func:`replaced_file` does, and raise OutputError when the file cannot be written.

    Args:
        destination: returns the path in the same folder to move the file to instead, once it is complete.
    """
    try:
        with replaced_file(path, destination) as temporary:
            yield temporary
    except (OSError, SafetensorError) as error:
        raise OutputError(str(path), write_problem(error), what) from None


@contextmanager
def replaced_file(path: Path, destination: Callable[[], Path] | None = None) -> Iterator[Path]:
    """Yield a temporary path; on success, move the file there to ``path``, or its ``destination``. Raises OSError."""
    with _temporary_folder(path) as folder:
        yield folder / path.name
        _move(folder / path.name, path if destination is None else destination())


def move_into(folder: Path, write: Callable[[Path], Sequence[Path]], what: str) -> list[Path]:
    """Write files into a folder, created if needed, and return their paths; they are moved there once all are complete.

    Existing files of the same names are replaced. Raises OutputError when they cannot be written.

    Args:
        write: called with an empty temporary folder; returns the files that it wrote there.
    """
    try:
        make_folder(folder)
        with _temporary_folder(folder / what) as temporary:
            return [_move(path, folder / path.name) for path in write(temporary)]
    except (OSError, SafetensorError) as error:
        raise OutputError(str(folder), write_problem(error), what) from None


@contextmanager
def atomic_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it becomes ``path``, created with its parents. Raises OSError.

    If the process is killed between the two renames of a swap, the previous folder comes back with :func:`remove_leftovers`.

    Args:
        replace: whether what is there is replaced; otherwise a folder with files in it is an OSError.
    """
    make_folder(path.parent)
    with _temporary_folder(path) as temporary:
        yield temporary
        if replace and path.exists():
            _swap(temporary, path)
        else:
            _move(temporary, path)


def make_folder(path: Path) -> None:
    """Create a folder and its parents, if needed, so that they survive a power cut. Raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left beside an output path. A previous folder that was being replaced comes back."""
    _remove_leftovers(path.parent, path.name)


def remove_leftovers_in(folder: Path) -> None:
    """Remove what killed processes left beside any output path in a folder."""
    _remove_leftovers(folder, None)


def interrupted_swaps(path: Path) -> list[Path]:
    """Find the previous folders of a path that interrupted swaps moved away."""
    return [found for found, _ in _leftovers(path.parent, path.name) if found.suffix == _OLD]


def write_problem(error: OSError | SafetensorError) -> str:
    """Return what is wrong with a write as the system says it ("No space left on device"), in a clause for a sentence."""
    found = re.search(r"I/O error: (.*?)(?: \(os error \d+\))?$", str(error))
    return found[1] if found else error_reason(error)


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk. Raises OSError when they cannot be written."""
    try:
        handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _remove_leftovers(folder: Path, name: str | None) -> None:
    with suppress(OSError):  # a folder that cannot be listed or changed fails later, with a reason
        for found, path in _leftovers(folder, name):
            if (lock := _lock(found)) is not None:
                if found.suffix == _OLD and not path.exists():
                    found.rename(path)
                shutil.rmtree(found, ignore_errors=True)
                os.close(lock)


def _leftovers(folder: Path, name: str | None) -> list[tuple[Path, Path]]:
    """Find the temporary folders in a folder, those of one name or all, each with the path that it is for."""
    found = ((path, _TEMPORARY.fullmatch(path.name)) for path in sorted(folder.iterdir()))
    return [(path, folder / match[1]) for path, match in found if match and name in (None, match[1])]


def _move(source: Path, path: Path) -> Path:
    """Rename what a temporary folder holds, or such a folder, with everything in it on the disk before and after."""
    folder = source if source.is_dir() else source.parent
    _settle(source, folder.stat().st_mode)
    moved = source.replace(path)
    sync(path.parent)
    return moved


def _swap(new: Path, path: Path) -> None:
    """Put a temporary folder in the place of another one, which is deleted once the new one is on the disk."""
    _settle(new, new.stat().st_mode)
    backup = path.with_name(f".{path.name}-{uuid4().hex[:8]}{_OLD}")
    lock = _lock(path)
    try:
        path.rename(backup)
        _move(new, path)
    except BaseException:
        if not path.exists() and backup.exists():
            backup.rename(path)
        raise
    finally:
        if lock is not None:
            os.close(lock)
    shutil.rmtree(backup, ignore_errors=True)


def _settle(path: Path, mode: int) -> None:
    """Give files and folders the permissions of a new folder, and sync them."""
    if path.is_symlink():
        return
    is_folder = path.is_dir()
    for inside in path.iterdir() if is_folder else ():
        _settle(inside, mode)
    wanted = mode & (0o777 if is_folder else 0o666)
    if path.stat().st_mode & 0o777 != wanted:
        with suppress(PermissionError):  # file systems without permissions
            path.chmod(wanted)
    sync(path)


@contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside a path, locked while this process uses it, and remove it at the end."""
    remove_leftovers(path)
    with locked_folder(lambda: path.with_name(f".{path.name}-{uuid4().hex[:8]}{_NEW}")) as folder:
        yield folder


def _lock(folder: Path) -> int | None:
    """Lock a folder until the handle returned is closed, or this process ends. None if that is not possible."""
    with suppress(OSError):
        return lock_folder(folder)
    return None


@dataclass(eq=False)
class OutputError(MachineError):
    """An output that cannot be written."""

    path: str
    problem: str
    what: str

    def __str__(self) -> str:
        return f"The {self.what} cannot be written to {self.path}: {self.problem}."
