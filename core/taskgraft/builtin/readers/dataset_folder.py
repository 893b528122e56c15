"""Data sets in a folder, as ``Dataset.save_to_disk`` of Hugging Face's library writes them: validated, then memory-mapped.

That library maps the files without validation: a damaged one ends the process. Damage that leaves valid data with another value
is not detected, since such a folder has no checksums.
"""

import json
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.errors import join_words, shorten
from taskgraft.files.json_text import parse_json
from taskgraft.files.regular_file import open_regular_file, read_small_file
from taskgraft.reading.arrow_checks import arrow_problem, check_batch

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"

MAX_DESCRIPTION = 32_000_000
"""Bytes of a JSON file of the folder. The names of 100,000 classes take about three million."""

_END = b"\xff\xff\xff\xff\0\0\0\0"
"""The end of an Arrow stream. A stream that was cut between two batches lacks it."""


def read_dataset_folder(path: Path, config: EmptyConfig) -> Rows:
    """Read what ``Dataset.save_to_disk`` wrote. The rows stay in its files, memory-mapped: do not change them meanwhile.

    Raises:
        UnreadableFile: for a damaged folder, one that names files outside of it, or one that contains several splits.
    """
    try:
        if not (path / STATE).exists() and (path / SPLITS).exists():
            splits = _read_json(path, SPLITS, "splits", list)
            first = path / str(next(iter(splits), "…"))
            raise UnreadableFile(str(path), f"the folder contains the splits {join_words(splits)}. Name one: {first}.")
        files = [_file_name(path, entry) for entry in _read_json(path, STATE, "_data_files", list)]
        if not files:
            raise ValueError(f"{STATE} names no file of rows")
        features = _read_json(path, INFO, "features", dict)
        expected = _expected_schema(features)
        table = pa.concat_tables([_read_stream(path / name) for name in files])
        _compare(table.schema, expected)
        metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
        return Rows(table.replace_schema_metadata(metadata), path.name)
    except OSError as error:
        named = f"{Path(os.fsdecode(error.filename)).name:.80}: " if error.filename else ""
        problem = f"{named}{error.strerror or arrow_problem(error)}"
    except (ValueError, pa.ArrowException) as error:
        problem = arrow_problem(error)
    raise UnreadableFile(str(path), f"the dataset cannot be loaded ({problem}).")


def _read_json(folder: Path, name: str, key: str, kind: type[Any]) -> Any:
    try:
        document = parse_json(read_small_file(folder / name, MAX_DESCRIPTION))
    except ValueError as error:
        raise ValueError(f"{name}: {arrow_problem(error)}") from None
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, kind):
        raise ValueError(f"{name} has no '{key}'")
    return value


def _file_name(folder: Path, entry: object) -> str:
    """Return the name of a file of rows. Raises ValueError for one outside of the folder."""
    name = entry.get("filename") if isinstance(entry, Mapping) else None
    if not isinstance(name, str) or not name:
        raise ValueError(f"{STATE} has a file of rows without a name")
    outside = f"{STATE} names {shorten(name)!r}, which is not a file in the folder"
    if "\0" in name or Path(name).name != name:
        raise ValueError(outside)
    home, target = folder.resolve(), Path(os.path.realpath(folder / name, strict=True))
    # The cache of the hub links the files of a snapshot to a folder beside it.
    blobs = next((parent.parent / "blobs" for parent in home.parents if parent.name == "snapshots"), home)
    if target.parent not in (home, blobs):
        raise ValueError(f"{outside}, but a link to {target}")
    return name


def _read_stream(path: Path) -> pa.Table:
    """Validate an Arrow stream batch by batch, then map it."""
    with open_regular_file(path) as file:
        try:
            with pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    check_batch(batch)
        except (ValueError, MemoryError) as error:
            raise ValueError(f"{path.name}: {arrow_problem(error)}") from None
        size = os.fstat(file.fileno()).st_size
        read = file.tell()
        file.seek(max(read - len(_END), 0))
        if read != size or file.read() != _END:
            raise ValueError(f"{path.name} is not complete: its end is at byte {read:,} of {size:,}")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_stream(pa.BufferReader(pa.py_buffer(content))).read_all()


def _expected_schema(features: Mapping[str, Any]) -> pa.Schema:
    """Return the schema that features describe. The import lets Arrow read the library's own types, in the files too."""
    from datasets import Features

    try:
        return Features.from_dict(dict(features)).arrow_schema
    except Exception as error:  # hostile or from a newer library: any kind of error
        raise ValueError(f"{INFO}: {arrow_problem(error)}") from None


def _compare(schema: pa.Schema, expected: pa.Schema) -> None:
    """Raise ValueError if the columns are not those of the description, with its types."""
    names, described = schema.names, expected.names
    if sorted(names) != sorted(described):
        raise ValueError(
            f"{INFO} describes the columns {join_words(described, 6)}, but there are {join_words(names, 6)}"
        )
    for field in schema:
        if field.type != expected.field(field.name).type:
            kind = shorten(str(expected.field(field.name).type))
            raise ValueError(f"{INFO} describes '{field.name}' as {kind}, but it is {shorten(str(field.type))}")
