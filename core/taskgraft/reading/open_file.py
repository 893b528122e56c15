"""Open plain or gzipped files for readers, with one sentence for whatever is wrong with the file."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from taskgraft.contract.rows import UnreadableFile


@contextmanager
def open_plain_or_gzip(path: Path) -> Iterator[BinaryIO]:
    """Open a file as bytes; decompress it if its name ends in ``.gz``.

    Raises:
        UnreadableFile: when it cannot be opened, or reading it fails half-way.
    """
    try:
        with path.open("rb") as file:
            if path.name.endswith(".gz"):
                with gzip.open(file) as plain:
                    yield cast(BinaryIO, plain)
            else:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableFile(str(path), f"the file is not a complete gzip file ({str(error).rstrip('.')}).") from None
    except OSError as error:
        raise UnreadableFile(str(path), f"the file cannot be read ({error.strerror}).") from None


def find_undecodable_line(path: Path, encoding: str) -> int:
    """Find the first line that is not valid text in an encoding, counted from 1."""
    number = 0
    with open_plain_or_gzip(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return number
    return number
