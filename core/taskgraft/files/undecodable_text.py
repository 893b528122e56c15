"""Text that is not in the encoding that was named: which line, and how it reads in the encoding that it may have."""

import codecs
import io
import re
from contextlib import suppress
from pathlib import Path

from taskgraft.contract.rows import UnreadableFile
from taskgraft.files.open_file import EncodingSetting, open_plain_or_gzip

_CANDIDATES = ("utf-8", "cp1252")
"""UTF-8, and the encoding of Windows in Western Europe and America, by far the most frequent one after it."""

_ESCAPED = re.compile("[\udc80-\udcff]")
"""Bytes that could not be decoded, as the error handler ``surrogateescape`` leaves them."""

_UNLIKELY = re.compile("[À-ÿ]{3}")
"""Three letters with accents one after another: Cyrillic or Greek that was decoded as cp1252."""

_SHOWN = 60


def undecodable_text(path: Path, encoding: str, setting: EncodingSetting) -> UnreadableFile:
    """Describe the first line that is not text in an encoding, with advice that fits.

    Args:
        encoding: as Python names it.
        setting: writes the setting for another encoding.
    """
    name = codecs.lookup(encoding).name
    number, earlier, bad, raw = 0, "", None, b""
    with suppress(UnicodeError), open_plain_or_gzip(path) as file:
        text = io.TextIOWrapper(file, encoding, errors="surrogateescape")  # wide encodings raise nevertheless
        for number, line in enumerate(text, 1):
            if bad := _ESCAPED.search(line):
                raw = line.encode(encoding, "surrogateescape")
                break
            if not earlier and not line.isascii() and name.startswith("utf-8"):
                earlier = f"line {number:,} is ({_excerpt(line)!r})"
    if bad is None or not raw:
        advice = "It may be cut off, or UTF-8: then leave out the encoding."
        return UnreadableFile(str(path), f"the file is not {encoding.upper()} text throughout. {advice}")
    problem = f"line {number:,}: the byte {ord(bad[0]) - 0xDC00:#04x} is not {encoding.upper()}"
    if earlier:
        return UnreadableFile(str(path), f"{problem}, but {earlier}. Save all of the file in one encoding.")
    for candidate in _CANDIDATES:
        if candidate != name and (read := _decode(raw, candidate)) is not None:
            advice = f'As {candidate} the line reads "{read}": {setting(candidate)}.'
            return UnreadableFile(str(path), f"{problem}. {advice}")
    known = "cp1251 for Cyrillic, shift_jis for Japanese, gb18030 for Chinese"
    advice = f"If the file has another encoding ({known}, …), name it: {setting('…')}."
    return UnreadableFile(str(path), f"{problem}. {advice}")


def _decode(line: bytes, encoding: str) -> str | None:
    """Decode a line; None if it is no likely text in this encoding."""
    try:
        text = line.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if _UNLIKELY.search(text) else _excerpt(text)


def _excerpt(line: str) -> str:
    """Return a line without its line break, or the part of a long one around its first character beyond ASCII."""
    line = line.strip("\r\n")
    if len(line) <= _SHOWN:
        return line
    start = max(next(place for place, character in enumerate(line) if not character.isascii()) - _SHOWN // 2, 0)
    part = line[start : start + _SHOWN]
    return f"{'…' if start else ''}{part}{'…' if start + _SHOWN < len(line) else ''}"
