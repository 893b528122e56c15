"""Inputs that are named by a text: a file or folder of rows, one input file or many, a pattern; or the text is the input."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

import pyarrow as pa

from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.contract.specs import ReaderSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import join_words
from taskgraft.inputs.input_request import InputRequest
from taskgraft.reading.errors import DataError
from taskgraft.reading.read import has_reader, read_file

TEXT_ADVICE = "To predict for the text itself, put it in a list (--text on the command line)."
"""Ends the message on a text that was taken for a path."""

_PATH_ENDING = re.compile(r"\.[A-Za-z]\w{0,7}$")


@dataclass(frozen=True)
class InputFiles:
    """Several files or patterns, as a command line names them."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class InputTexts:
    """Texts that are inputs themselves, whatever they look like."""

    texts: tuple[str, ...]


def read_location(request: InputRequest, data: str | Path) -> Rows:
    """Read what a text or path names. A text that names nothing, and does not look like a path, is an input itself.

    Raises:
        UnreadableFile: for a file or folder that is missing, or that cannot be read.
        DataError: for an empty text, or a pattern that no file matches.
    """
    text = str(data)
    if not text.strip():
        raise DataError(f"An empty text was given. {request.accepted_forms}")
    if os.path.exists(text) or catalog().has_scheme(text):
        return _read_existing(request, text, is_text=isinstance(data, str))
    is_path = isinstance(data, Path) or request.text_role is None or looks_like_path(text)
    if is_path and has_magic(text):
        return _read_all(request, _matches(request, text), text)
    if is_path:
        is_rows = isinstance(data, Path) or request.text_role is None or text.endswith(_row_suffixes())
        advice = "" if is_rows else f" {TEXT_ADVICE}"
        raise UnreadableFile(text[:200], f"there is no such file.{advice}")
    assert request.text_role is not None
    return Rows(pa.table({request.columns[request.text_role]: [text]}), "the text")


def read_locations(request: InputRequest, files: InputFiles) -> Rows:
    """Read several files, each of which is an input.

    Raises:
        UnreadableFile: for a file that is missing.
        DataError: for a pattern that no file matches, files of rows, or an input that is not a file.
    """
    paths: list[str] = []
    for name in files.names:
        if os.path.exists(name):
            paths.append(name)
        elif has_magic(name) and request.file_role is not None:
            paths += _matches(request, name)
        elif request.text_role is not None and not looks_like_path(name):
            words = join_words(files.names, 4)
            raise DataError(
                f"Several arguments were given: {words}. Put quotation marks around a text of several words, and give several "
                "texts with --text, once for each."
            )
        else:
            raise UnreadableFile(name[:200], "there is no such file.")
    return _read_all(request, paths, "the files")


def read_texts(request: InputRequest, texts: InputTexts) -> Rows:
    """Return texts as rows. Raises DataError for a model that does not read single texts."""
    if request.text_role is None:
        raise DataError(f"The model does not read single texts. {request.accepted_forms}")
    column = pa.array(texts.texts, pa.large_string())
    return Rows(pa.table({request.columns[request.text_role]: column}), "the texts")


def file_column(request: InputRequest, data: object, rows: Rows) -> str | None:
    """Return the column that names the file of each row, if the rows are input files that were found in a folder or by name."""
    role = request.file_role
    if role is None or not isinstance(data, str | Path | InputFiles):
        return None
    if isinstance(data, str | Path) and os.path.isfile(data) and has_reader(Path(data), request.reader):
        return None
    column = request.columns[role]
    if column not in rows.columns or not _is_text(rows.table.schema.field(column).type):
        return None
    return column


def looks_like_path(text: str) -> bool:
    """Return whether a text looks like the path of a file or folder, and not like an input itself."""
    if text.endswith(_row_suffixes()):
        return True
    return not re.search(r"\s", text) and bool("/" in text or os.sep in text or _PATH_ENDING.search(text))


def _row_suffixes() -> tuple[str, ...]:
    """Return the endings of files of rows."""
    return tuple(suffix for spec, _ in catalog().specs(ReaderSpec) for suffix in spec.suffixes if suffix)


def _read_existing(request: InputRequest, text: str, *, is_text: bool) -> Rows:
    path = Path(text)
    is_input = request.file_role is not None and path.is_file() and not request.any_file
    if is_input and not has_reader(path, request.reader):
        return _input_files(request, [text], path.name)
    try:
        return read_file(text, request.reader, columns=request.needed, any_file=request.any_file)
    except UnreadableFile as error:
        if not is_text or request.text_role is None or not error.problem.startswith("no reader takes"):
            raise
        advice = "For one text per line, name the reader: lines (--reader lines)." if path.is_file() else TEXT_ADVICE
        raise UnreadableFile(error.path, f"{error.problem} {advice}") from None


def _matches(request: InputRequest, pattern: str) -> list[str]:
    paths = sorted(glob(pattern, recursive=True))
    if not paths:
        advice = f" {TEXT_ADVICE}" if request.text_role is not None else ""
        raise DataError(f"No file matches {pattern}.{advice}")
    return paths


def _read_all(request: InputRequest, paths: Sequence[str], source: str) -> Rows:
    if len(paths) == 1:
        return _read_existing(request, paths[0], is_text=False)
    if folders := [path for path in paths if os.path.isdir(path)]:
        raise DataError(f"{folders[0]} is a folder. Name it alone, or the files in it: {folders[0].rstrip('/')}/*")
    if request.file_role is None or any(has_reader(Path(path)) for path in paths):
        raise DataError(
            f"{len(paths):,} files were given: {join_words(paths, 4)}. Predict for one file of rows at a time, or join them."
        )
    return _input_files(request, paths, source)


def _input_files(request: InputRequest, paths: Sequence[str], source: str) -> Rows:
    assert request.file_role is not None
    return Rows(pa.table({request.columns[request.file_role]: pa.array(paths, pa.large_string())}), source)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
