"""A stream of bytes that ends with an error where a line, or all of it, is beyond a limit."""

import io
from pathlib import Path
from typing import BinaryIO

from taskgraft.contract.rows import UnreadableFile
from taskgraft.files.limits import (
    GZIP_VARIABLE,
    LINE_VARIABLE,
    MAX_GZIP_BYTES,
    MAX_GZIP_RATIO,
    MAX_LINE_BYTES,
    limit,
)


class LimitedStream(io.RawIOBase):
    """Passes bytes on, and counts them. Wrap it in a :class:`io.BufferedReader`.

    Args:
        lines: whether lines have a limit, as in text.
        compressed: size of the gzipped file that the bytes are from; None for a plain one, which has no limit.
    """

    def __init__(self, path: Path, source: BinaryIO, *, lines: bool, compressed: int | None):
        self._path, self._source = path, source
        self._line = limit(LINE_VARIABLE, MAX_LINE_BYTES) if lines else None
        free = limit(GZIP_VARIABLE, MAX_GZIP_BYTES)
        self._total = None if compressed is None else max(free, MAX_GZIP_RATIO * compressed)
        self._read = self._in_line = self._lines = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        block = self._source.read(len(buffer))
        buffer[: len(block)] = block
        self._count(block)
        return len(block)

    def _count(self, block: bytes) -> None:
        self._read += len(block)
        if self._total is not None and self._read > self._total:
            raise UnreadableFile(
                str(self._path),
                f"the file decompresses to more than {self._total:,} bytes; {GZIP_VARIABLE} sets the limit.",
            )
        if self._line is None:
            return
        # A carriage return alone ends the lines of old Macs, and of some readers.
        end = max(block.rfind(b"\n"), block.rfind(b"\r"))
        first = len(block) if end < 0 else min(at for at in (block.find(b"\n"), block.find(b"\r")) if at >= 0)
        if self._in_line + first > self._line:
            number = self._lines + 1
            raise UnreadableFile(
                str(self._path),
                f"line {number:,} has more than {self._line:,} bytes; {LINE_VARIABLE} sets the limit.",
            )
        self._lines += block.count(b"\n")
        self._in_line = self._in_line + len(block) if end < 0 else len(block) - 1 - end
