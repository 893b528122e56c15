"""Laws of a reader: the same rows each time, which a user can locate in the file, and files left unchanged."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from taskgraft.contract.config import Config
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.contract.specs import ReaderSpec
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.testing.check import InsufficientExamples, Law, law_check

_GARBAGE = bytes(range(256)) * 4


@law_check("Read only the path; keep no state, and write no file.")
def check_reading_is_repeatable(law: Law, spec: ReaderSpec, path: Path, config: Config) -> None:
    """Reading twice gives the same rows, and changes nothing on disk.

    Raises:
        InsufficientExamples: when the file has fewer than two rows.
    """
    before = _files(path)
    rows = _read(law, spec, path, config)
    if len(rows) < 2:
        raise InsufficientExamples(law.who, f"there are {len(rows)} rows; give two or more")
    if rows.digest() != _read(law, spec, path, config).digest():
        raise law.violation("reading twice gives different rows")
    if changed := sorted(str(name) for name, _ in before ^ _files(path)):
        raise law.violation(f"reading changes {changed[0]}")


@law_check("Sort the files of a folder by name: sorted(folder.iterdir()).")
def check_files_are_read_in_order(law: Law, spec: ReaderSpec, path: Path, config: Config) -> None:
    """Rows of a folder do not depend on the order in which the disk lists its files. A reader of single files passes."""
    if not path.is_dir():
        return
    rows = _read(law, spec, path, config)
    with _listed_backwards():
        other = _read(law, spec, path, config)
    if rows.digest() != other.digest():
        raise law.violation("when the disk lists files in another order, the rows are in another order")


@law_check("Give Rows the line on which each row starts, or no lines at all.")
def check_rows_can_be_located(law: Law, spec: ReaderSpec, path: Path, config: Config) -> None:
    """Either every row has a line number, or none has; invalid rows and rows with remarks are rows of the table."""
    rows = _read(law, spec, path, config)
    if not rows.source:
        raise law.violation("the source is empty, so no message can name it", "Name the file: path.name.")
    if rows.lines is not None:
        lines = list(rows.lines)
        if len(lines) != len(rows):
            raise law.violation(f"there are {len(lines)} line numbers for {len(rows)} rows")
        if lines != sorted(lines) or lines[:1] < [1]:
            raise law.violation(f"the line numbers do not rise from 1: {lines[:5]} …")
    for row, reason in rows.invalid.items():
        if not 0 <= row < len(rows):
            raise law.violation(
                f"row {row} is invalid, but there are {len(rows)} rows", "Keep an invalid row in the table."
            )
        if not reason.strip() or reason.endswith("."):
            raise law.violation(
                f"the reason of row {row} is {reason!r}", "Write a clause without a full stop; the message adds it."
            )
    for members in rows.remarks.values():
        for row in members:
            if not 0 <= row < len(rows):
                raise law.violation(
                    f"row {row} has a remark, but there are {len(rows)} rows", "Remark only on rows of the table."
                )


@law_check("Keep an invalid row in the table, with missing values, and give its reason in 'invalid'.")
def check_no_row_is_lost(law: Law, spec: ReaderSpec, path: Path, config: Config, count: int) -> None:
    """All rows of the file are in the table, invalid ones too.

    Args:
        count: the number of rows of the file, from the author of the test.
    """
    if (rows := len(_read(law, spec, path, config))) != count:
        raise law.violation(f"{path.name} has {count} rows, but {rows} are read")


@law_check("Give the same rows; leave out only what other columns need.")
def check_columns_are_the_same_alone(law: Law, spec: ReaderSpec, path: Path, config: Config) -> None:
    """Reading one column alone, if the spec can, gives the same rows with the same values in it."""
    if spec.read_columns is None:
        return
    rows = _read(law, spec, path, config)
    for column in rows.columns:
        with law.must_succeed(f"reading the column '{column}' alone"):
            alone = spec.read_columns(path, config, frozenset({column}))
        if len(alone) != len(rows):
            raise law.violation(f"there are {len(rows)} rows, but {len(alone)} if only '{column}' is read")
        valid = [row for row in range(len(rows)) if row not in rows.invalid and row not in alone.invalid]
        if column not in alone.columns or [rows.value(column, row) for row in valid] != [
            alone.value(column, row) for row in valid
        ]:
            raise law.violation(f"the column '{column}' has other values when it is read alone")


@law_check('Write suffixes as (".csv",), and patterns as ("*/*.jpg",).')
def check_suffixes_are_valid(law: Law, spec: ReaderSpec) -> None:
    """A suffix begins with a dot, or is empty and fits every file; a folder pattern is relative."""
    for suffix in spec.suffixes:
        if suffix and not suffix.startswith("."):
            raise law.violation(f"the suffix {suffix!r} does not begin with a dot")
    for pattern in spec.folder_patterns:
        if not pattern or Path(pattern).is_absolute():
            raise law.violation(f"the pattern {pattern!r} is not a relative path")


@law_check("Raise UnreadableFile with the path and the reason.")
def check_unreadable_files_are_reported(law: Law, spec: ReaderSpec, config: Config) -> None:
    """A missing, empty or random file, or folder, gives rows or UnreadableFile, nothing else."""
    with temporary_folder() as folder:
        for what, path in (("a missing folder", folder / "gone"), ("an empty folder", folder / "empty")):
            if what == "an empty folder":
                path.mkdir()
            if spec.folder_patterns:
                _read_or_report(law, spec, path, config, what)
        if not spec.suffixes:
            return
        path = folder / f"file{spec.suffixes[0]}"
        for what, content in (("a missing file", None), ("an empty file", b""), ("random bytes", _GARBAGE)):
            if content is not None:
                path.write_bytes(content)
            _read_or_report(law, spec, path, config, what)


def _read_or_report(law: Law, spec: ReaderSpec, path: Path, config: Config, what: str) -> None:
    """Read something that may be unreadable."""
    try:
        with law.must_succeed(f"reading {what}"):
            spec.read(path, config)
    except UnreadableFile as error:
        if str(path) not in str(error):
            raise law.violation(f"the message about {what} does not name it: {error}") from None


@contextmanager
def _listed_backwards() -> Iterator[None]:
    """Let the disk list files in reverse order of their names."""
    listdir, scandir = os.listdir, os.scandir

    def list_backwards(folder: Any = ".") -> list[Any]:
        return sorted(listdir(folder), reverse=True)

    @contextmanager
    def scan_backwards(folder: Any = ".") -> Iterator[Iterator[Any]]:
        with scandir(folder) as entries:
            yield iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    os.listdir, os.scandir = list_backwards, scan_backwards  # type: ignore[assignment]
    try:
        yield
    finally:
        os.listdir, os.scandir = listdir, scandir


def _read(law: Law, spec: ReaderSpec, path: Path, config: Config) -> Rows:
    with law.must_succeed(f"reading {path.name}"):
        return spec.read(path, config)


def _files(path: Path) -> set[tuple[Path, bytes]]:
    """Return the files that reading could change, with their content."""
    folder = path if path.is_dir() else path.parent
    return {(file.relative_to(folder), file.read_bytes()) for file in folder.rglob("*") if file.is_file()}
