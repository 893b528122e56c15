"""Open plain or gzipped files for readers, with one sentence for whatever is wrong with the file."""

import errno
import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, cast

from taskgraft.contract.rows import UnreadableFile
from taskgraft.errors import error_reason
from taskgraft.files.file_kinds import HEAD, find_text_problem, recognize
from taskgraft.files.limited_stream import LimitedStream
from taskgraft.files.regular_file import PIPE_ADVICE, SHORTENED, open_regular_file

_BUFFER = 1 << 17

EncodingSetting = Callable[[str], str]
"""Encoding → how a recipe names it for a reader."""


@contextmanager
def open_plain_or_gzip(
    path: Path, encoding: str | None = None, setting: EncodingSetting | None = None
) -> Iterator[BinaryIO]:
    """Open a file as bytes; decompress it if its name ends in ``.gz``.

    Args:
        encoding: of the text that the file must be, as Python names it; None for any content.
        setting: writes the setting for another encoding, for a reader that has one.

    Raises:
        UnreadableFile: when it cannot be opened, reading it fails half-way, or its first bytes are no text in this encoding: it
            is a workbook, an archive, a web page, UTF-16, …
    """
    try:
        with open_regular_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if is_gzip_name(path):
                _check_gzip(path, file.peek(2))
                with gzip.open(file) as plain:
                    stream = LimitedStream(path, cast(BinaryIO, plain), lines=encoding is not None, compressed=size)
                    limited = BufferedReader(stream, _BUFFER)
                    _check_text(path, _first_bytes(limited), encoding, setting)
                    yield limited
            elif encoding is not None:
                limited = BufferedReader(LimitedStream(path, file, lines=True, compressed=None), _BUFFER)
                _check_text(path, _first_bytes(limited), encoding, setting)
                yield limited
            else:
                yield file
            if os.fstat(file.fileno()).st_size < size:
                raise OSError(errno.EIO, SHORTENED)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableFile(str(path), f"the file is not a complete gzip file ({str(error).rstrip('.')}).") from None
    except OSError as error:
        raise UnreadableFile(str(path), cannot_be_read(error)) from None


def cannot_be_read(error: OSError) -> str:
    """Return the sentence on a file of rows that cannot be opened or read."""
    advice = f" {PIPE_ADVICE}" if error.errno == errno.ESPIPE else ""
    return f"the file cannot be read ({error_reason(error)}).{advice}"


def check_magic(path: Path, file: BinaryIO, magic: bytes, kind: str) -> None:
    """Reject a file that does not begin with the bytes of its kind, and say what it is. An empty file passes.

    Args:
        file: from :func:`open_plain_or_gzip`, at its start.
        kind: what messages call a file that begins with these bytes.
    """
    head = _first_bytes(file)
    if head and not head.startswith(magic):
        begin = head[:16].decode("ascii", "backslashreplace")
        problem = recognize(path, head) or f"the file is not {kind}: it begins with {begin!r}."
        raise UnreadableFile(str(path), problem)


def is_gzip_name(path: Path) -> bool:
    """Tell by its name whether a file is compressed."""
    return path.name.lower().endswith(".gz")


def _check_gzip(path: Path, head: bytes) -> None:
    if head and not head.startswith(b"\x1f\x8b"):
        plain = path.name[: -len(".gz")]
        raise UnreadableFile(
            str(path), f"its name ends in .gz, but the file is not gzipped. If it is plain, rename it to {plain}."
        )


def _first_bytes(file: Any) -> bytes:
    """Look at the first bytes without reading them; at least those of the magic number, if the file has so many."""
    return bytes(file.peek(HEAD)[:HEAD])


def _check_text(path: Path, head: bytes, encoding: str | None, setting: EncodingSetting | None) -> None:
    problem = None if encoding is None else find_text_problem(path, head, encoding, setting)
    if problem is not None:
        raise UnreadableFile(str(path), problem)
