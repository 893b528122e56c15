"""Files that a person asked for, written whole or not at all: beside their place, and renamed when all went well."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from taskgraft.errors import TaskgraftError, join_words


def check_output_path(path: Path, suffixes: Iterable[str], what: str, *, overwrite: bool) -> None:
    """Refuse a file that could not be written in the end, before any work is done.

    Args:
        suffixes: endings of the files that can be written, in lower case.
        what: what is to be written ("predictions").

    Raises:
        OutputError: saying why.
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(str(path), f"files that end in {join_words(suffixes)} can be written", what)
    if path.is_dir():
        raise OutputError(str(path), "it is a folder", what)
    if path.exists() and not overwrite:
        raise OutputError(
            str(path), "something is there already; name another file, or say that it is to be overwritten", what
        )
    if not path.parent.is_dir():
        raise OutputError(str(path), f"there is no folder {path.parent}", what)


@contextmanager
def atomic_file(path: Path, what: str) -> Iterator[Path]:
    """Give a place beside a file; what was written there takes the file's place if all went well.

    Raises:
        OutputError: when it cannot be written.
    """
    fresh = path.with_name(f".{path.name}-{uuid4().hex[:8]}")
    try:
        yield fresh
        fresh.replace(path)
    except OSError as error:
        raise OutputError(str(path), str(error.strerror or error), what) from None
    finally:
        fresh.unlink(missing_ok=True)


def move_into(folder: Path, write: Callable[[Path], Sequence[Path]], what: str) -> list[Path]:
    """Let something write files, and move them into a folder, which is made, when all of them are whole.

    Args:
        write: is given an empty folder, and answers with the files that it wrote there.

    Returns:
        where they are now, in place of files of the same names.

    Raises:
        OutputError: when they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".taskgraft-", dir=folder) as fresh:
            return [path.replace(folder / path.name) for path in write(Path(fresh))]
    except OSError as error:
        raise OutputError(str(folder), str(error.strerror or error), what) from None


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside a place; what was written there takes that place if all went well.

    Killed in between, what was there lies beside it as ``.<name>-old-…``.

    Raises:
        OSError: when it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield fresh
        fresh.chmod(0o755)
        _replace(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _replace(fresh: Path, path: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
    try:
        if path.exists():
            path.rename(aside)
        fresh.rename(path)
    except OSError:
        if not path.exists() and any(aside.iterdir()):
            aside.rename(path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@dataclass(eq=False)
class OutputError(TaskgraftError):
    """A file that cannot be written."""

    path: str
    problem: str
    what: str

    def __str__(self) -> str:
        return f"The {self.what} cannot be written to {self.path}: {self.problem}."
