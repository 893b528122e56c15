"""Everything that is shown: messages, tables and progress. What they quote from files cannot steer the terminal.

Text is escaped (:func:`taskgraft.errors.printable`) where it is written, and what the encoding of the output cannot hold is
replaced, so that a terminal of any encoding works.
"""

import codecs
import sys
from collections.abc import Iterable
from io import TextIOBase, TextIOWrapper
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from taskgraft.errors import escape, message_text, printable

_PLAIN = {"×": "x", "…": "...", "–": "-", "—": "-", "−": "-", "→": "->", "±": "+/-", "≤": "<=", "≥": ">=", "’": "'"}
"""Signs of our own texts → what stands for them where the encoding lacks them."""

_REPLACE = "taskgraft.replace"
"""The name of the error handler that replaces what an encoding lacks."""


class SafeConsole(Console):
    """A console that shows text as it is: no markup, no control codes."""

    def __init__(self, *, stderr: bool = False, quiet: bool = False, width: int | None = None):
        super().__init__(stderr=stderr, quiet=quiet, width=width, markup=False, highlight=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


class _DataStream(TextIOBase):
    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        if self._stream.isatty():
            text = printable(text)
        return self._stream.write(escape_missing(text, self._stream))

    def flush(self) -> None:
        self._stream.flush()


def data_stream(stream: TextIO) -> TextIO:
    """Open a stream for data. What its encoding lacks is escaped as in JSON, at a terminal also what would steer it."""
    return cast(TextIO, _DataStream(stream))


def write_line(text: str, stream: TextIO | None = None) -> None:
    """Write a message, to standard error by default."""
    stream = sys.stderr if stream is None else stream
    stream.write(f"{message_text(text)}\n")
    stream.flush()


def escape_missing(text: str, stream: TextIO) -> str:
    """Escape the characters that the encoding of a stream lacks, as in JSON."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(letter if _has(encoding, letter) else escape(letter) for letter in text)
    return text


def prepare_output() -> None:
    """Let standard output and standard error replace what their encoding lacks, instead of failing."""
    codecs.register_error(_REPLACE, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_REPLACE)


def replace_unencodable(text: str, encoding: str) -> str:
    """Replace what an encoding lacks, as is done on the way to standard output."""
    codecs.register_error(_REPLACE, _replace)
    return text.encode(encoding, _REPLACE).decode(encoding)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or escape(letter) for letter in missing), error.end


def _has(encoding: str, letter: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
