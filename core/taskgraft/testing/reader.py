"""Laws of a reader: the same rows each time, places that a person finds again, and files left as they are."""

from pathlib import Path
from tempfile import TemporaryDirectory

from taskgraft.contract.config import Config
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.contract.specs import ReaderSpec
from taskgraft.testing.check import Check, InsufficientExamples

_GARBAGE = bytes(range(256)) * 4


def check_reading_is_repeatable(spec: ReaderSpec, path: Path, config: Config) -> None:
    """Reading twice gives the same rows, and changes nothing on the disk.

    Raises:
        InsufficientExamples: when the file holds fewer than two rows.
    """
    law = _law(spec, "reading changes nothing", "Read the path alone; keep no state and write beside no file.")
    before = _files(path)
    rows = _read(law, spec, path, config)
    if len(rows) < 2:
        raise InsufficientExamples(f"reader '{spec.name}'", f"there are {len(rows)} rows; give two or more")
    if rows.digest() != _read(law, spec, path, config).digest():
        raise law.broken("reading twice gives different rows")
    if changed := sorted(str(name) for name, _ in before ^ _files(path)):
        raise law.broken(f"{changed[0]} is changed by reading")


def check_rows_can_be_located(spec: ReaderSpec, path: Path, config: Config) -> None:
    """Each row has a line of the file, or none has; a row that is refused or noted is one of the rows, with a reason."""
    law = _law(spec, "a row can be found again", "Give Rows the line on which each row starts, or no lines at all.")
    rows = _read(law, spec, path, config)
    if not rows.source:
        raise law.broken("the source is empty, so a message could not name it", "Name the file: path.name.")
    if rows.lines is not None:
        lines = list(rows.lines)
        if len(lines) != len(rows):
            raise law.broken(f"there are {len(lines)} lines for {len(rows)} rows")
        if lines != sorted(lines) or lines[:1] < [1]:
            raise law.broken(f"the lines do not rise from 1: {lines[:5]} …")
    for row, reason in rows.invalid.items():
        if not 0 <= row < len(rows):
            raise law.broken(
                f"row {row} is refused, but there are {len(rows)} rows", "Keep a refused row in the table."
            )
        if not reason.strip() or reason.endswith("."):
            raise law.broken(
                f"the reason of row {row} is {reason!r}", "Write a clause without a full stop; a message ends it."
            )
    for members in rows.remarks.values():
        for row in members:
            if not 0 <= row < len(rows):
                raise law.broken(f"row {row} is noted, but there are {len(rows)} rows", "Note rows of the table alone.")


def check_no_row_is_lost(spec: ReaderSpec, path: Path, config: Config, count: int) -> None:
    """All rows of the file are in the table, those that cannot be used too.

    Args:
        count: how many rows the file has, told by whoever wrote it.
    """
    law = _law(
        spec,
        "no row is lost",
        "Keep a row that cannot be used in the table, with missing values, and give its reason in 'refused'.",
    )
    if (found := len(_read(law, spec, path, config))) != count:
        raise law.broken(f"{path.name} has {count} rows, but {found} are read")


def check_suffixes_are_valid(spec: ReaderSpec) -> None:
    """A suffix begins with a point, or is empty and fits every file; a pattern of a folder is relative."""
    law = _law(spec, "a claim can be met", 'Write suffixes as (".csv",), and patterns as ("*/*.jpg",).')
    for suffix in spec.suffixes:
        if suffix and not suffix.startswith("."):
            raise law.broken(f"the suffix {suffix!r} does not begin with a point")
    for pattern in spec.folder_patterns:
        if not pattern or Path(pattern).is_absolute():
            raise law.broken(f"the pattern {pattern!r} finds nothing in a folder")


def check_unreadable_files_are_reported(spec: ReaderSpec, config: Config) -> None:
    """A missing file, an empty one and one of random bytes give rows or UnreadableFile, nothing else."""
    law = _law(
        spec, "a file that cannot be read is told", "Raise taskgraft.contract.rows.UnreadableFile with path and reason."
    )
    if not spec.suffixes:
        return
    with TemporaryDirectory(prefix="taskgraft-") as folder:
        path = Path(folder) / f"file{spec.suffixes[0]}"
        for what, content in (("a missing file", None), ("an empty file", b""), ("random bytes", _GARBAGE)):
            if content is not None:
                path.write_bytes(content)
            try:
                with law.runs(f"reading {what}"):
                    spec.read(path, config)
            except UnreadableFile as error:
                if str(path) not in str(error):
                    raise law.broken(f"what is said of {what} does not name it: {error}") from None


def _read(law: Check, spec: ReaderSpec, path: Path, config: Config) -> Rows:
    with law.runs(f"reading {path.name}"):
        return spec.read(path, config)


def _law(spec: ReaderSpec, law: str, advice: str) -> Check:
    return Check(f"reader '{spec.name}'", law, advice)


def _files(path: Path) -> set[tuple[Path, bytes]]:
    """Give the files that reading could change, with what they hold."""
    folder = path if path.is_dir() else path.parent
    return {(file.relative_to(folder), file.read_bytes()) for file in folder.rglob("*") if file.is_file()}
