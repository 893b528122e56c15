"""Rows from standard input: JSON lines, a table with a header, one text per line, or what a named reader reads."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from taskgraft.composition.resolve import ComponentReference
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.errors import closest_match
from taskgraft.files.csv_parser import csv_reader
from taskgraft.files.regular_file import open_regular_file
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.inputs.input_request import InputRequest
from taskgraft.progress import ProgressReporter
from taskgraft.reading.errors import DataError
from taskgraft.reading.read import read_file


@dataclass(frozen=True)
class StandardInput:
    """Standard input, or another stream of bytes, as the data; ``reporter`` says how it is read."""

    stream: BinaryIO
    reporter: ProgressReporter


NAME = "standard input"

_LINES = "lines"
"""The built-in reader of one text per line."""

_SNIFFED_BYTES = 65_536


def read_standard_input(request: InputRequest, data: StandardInput) -> Rows:
    """Read all of a stream. Without a named reader, the first line decides how, and that is reported.

    Raises:
        DataError: when the stream is empty or not text.
        UnreadableFile: when its reader rejects it.
    """
    with temporary_folder() as folder:
        path = folder / NAME
        with path.open("wb") as file:
            shutil.copyfileobj(data.stream, file)
        reader = request.reader if request.any_file else _find_reader(path, request)
        if isinstance(reader, Mapping) and reader["name"] == _LINES:
            what = "path" if request.file_role is not None else request.only_role
            data.reporter.message(f"Standard input is read as one {what} per line. Name another reader with --reader.")
        try:
            rows = read_file(path, reader, columns=request.needed, any_file=True)
        except UnreadableFile as error:
            raise UnreadableFile(NAME, error.problem) from None
    return replace(rows, source=NAME, folder=None)  # relative paths start at the working directory


def _find_reader(path: Path, request: InputRequest) -> ComponentReference:
    """Choose the reader by the first line."""
    with open_regular_file(path) as file:
        beginning = file.read(_SNIFFED_BYTES)
    if not beginning.strip():
        raise DataError("Standard input is empty. Pipe rows, JSON lines or texts into the command, one per line.")
    line = _first_line(beginning)
    if line is None:
        raise DataError("Standard input is not text. Name its reader (--reader parquet), or name the file itself.")
    if line.startswith("{"):
        return "json-lines"
    if request.reader is not None:
        return request.reader
    known = {*request.columns.values(), *request.targets, *request.keep}
    for delimiter in (",", "\t", ";"):
        if _is_header(next(csv_reader([line], delimiter=delimiter), []), known):
            return {"name": "csv", "delimiter": delimiter}
    if request.only_role is None or request.only_role not in request.roles:
        return "csv"
    return {"name": _LINES, "column": request.columns[request.only_role]}


def _first_line(beginning: bytes) -> str | None:
    """Return the first line with something in it; None if it is not UTF-8 text."""
    line, *others = beginning.lstrip().splitlines()
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if others or error.start < len(line) - 4:  # a longer line may be cut within a character
            return None
        text = line[: error.start].decode()
    return None if "\0" in text else text.strip()


def _is_header(names: list[str], known: Collection[str]) -> bool:
    """Return whether a line is a header: it has a known column, or among several names one that is nearly such."""
    names = [name.strip() for name in names]
    if any(name in known for name in names):
        return True
    return len(names) > 1 and any(closest_match(name, known) is not None for name in names)
