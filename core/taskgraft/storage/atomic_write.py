"""Atomic writes: output goes to a temporary path in the same folder, and is renamed once it is complete."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from taskgraft.errors import TaskgraftError, join_words


def check_output_path(path: Path, suffixes: Iterable[str], what: str, *, overwrite: bool) -> None:
    """Check before any work is done that an output file can be written. Raises OutputError.

    Args:
        suffixes: supported file endings, in lower case.
        what: what the file will contain ("predictions").
    """
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
    """Yield a temporary path in the same folder; on success, move the file to ``path``. Raises OutputError when it cannot.

    Args:
        destination: returns the path to move the file to instead, once it is complete.
    """
    temporary = path.with_name(f".{path.name}-{uuid4().hex[:8]}")
    try:
        yield temporary
        temporary.replace(path if destination is None else destination())
    except OSError as error:
        raise OutputError(str(path), str(error.strerror or error), what) from None
    finally:
        temporary.unlink(missing_ok=True)


def move_into(folder: Path, write: Callable[[Path], Sequence[Path]], what: str) -> list[Path]:
    """Write files into a folder, created if needed, and return their paths; they are moved there once all are complete.

    Existing files of the same names are replaced. Raises OutputError when they cannot be written.

    Args:
        write: called with an empty temporary folder; returns the files that it wrote there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".taskgraft-", dir=folder) as temporary:
            return [path.replace(folder / path.name) for path in write(Path(temporary))]
    except OSError as error:
        raise OutputError(str(folder), str(error.strerror or error), what) from None


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder next to ``path``; on success it replaces ``path``.

    If the process is killed during the swap, the previous folder is left next to it as ``.<name>-old-…``. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        _replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    backup = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
    try:
        if path.exists():
            path.rename(backup)
        new.rename(path)
    except OSError:
        if not path.exists() and any(backup.iterdir()):
            backup.rename(path)
        raise
    finally:
        shutil.rmtree(backup, ignore_errors=True)


@dataclass(eq=False)
class OutputError(TaskgraftError):
    """An output that cannot be written."""

    path: str
    problem: str
    what: str

    def __str__(self) -> str:
        return f"The {self.what} cannot be written to {self.path}: {self.problem}."
