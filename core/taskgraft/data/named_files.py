"""The files that rows name, such as images: their contents belong to the data."""

import hashlib
from collections.abc import Mapping, Sequence

from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.rows import LazyColumn, Rows
from taskgraft.files.regular_file import file_digest
from taskgraft.progress import ProgressReporter


def file_columns(
    backbone: BackboneDescription, head: HeadDescription, inputs: Mapping[str, str], target: Sequence[str]
) -> list[str]:
    """List the columns whose texts name files.

    Args:
        inputs: input role → column.
    """
    roles = [inputs[role.name] for role in backbone.inputs if role.files and role.name in inputs]
    return [*roles, *(target if head.files else ())]


def digest_named_files(
    datasets: Mapping[str, Rows | None], columns: Sequence[str], reporter: ProgressReporter
) -> dict[str, str]:
    """Digest the contents of all files that some columns name, in the order of the rows.

    Args:
        datasets: kind (``training``) → rows; None if there are none of this kind.

    Returns:
        ``training files`` → SHA-256, in hexadecimal, and so on; empty without columns.
    """
    return {
        f"{kind} files": _digest_files(rows, columns, reporter, f"reading the files of the {kind} rows")
        for kind, rows in datasets.items()
        if columns and rows is not None
    }


def _digest_files(rows: Rows, columns: Sequence[str], reporter: ProgressReporter, action: str) -> str:
    digest = hashlib.sha256()
    for column in columns:
        values = LazyColumn(rows.column(column))
        for value in reporter.track(values, action, len(values)):
            digest.update(_digest(rows.resolve_path(value)))
    return digest.hexdigest()


def _digest(path: object) -> bytes:
    """Digest the file that a value names; empty for a missing file, which another step reports."""
    if not isinstance(path, str):
        return b""
    try:
        return bytes.fromhex(file_digest(path))
    except (OSError, ValueError):
        return b""
