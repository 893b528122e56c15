"""Texts that are UTF-8 which was read as another encoding and saved again: "cafÃ©" for "café"."""

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.contract.rows import Rows

_SECOND_BYTES = "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xC0))
"""The bytes that follow the first one of a character of UTF-8, read as cp1252; the five that it lacks as in Latin-1."""

_IN_TEXTS = "‘’“”…–—«»"  # they may follow a capital letter

_UNLIKELY = "".join(character for character in _SECOND_BYTES if character not in _IN_TEXTS)

_PATTERN = f"Ã[{_UNLIKELY}]|Â[\u00a0-¿]|â€|ï»¿|([ÐÑØÙ][{_SECOND_BYTES}]){{2}}"
"""Letters of Western Europe, signs, dashes and quotation marks, a byte order mark, Cyrillic and Arabic letters."""

_WORD = re.compile(rf"\S*(?:{_PATTERN})\S*")


def with_mojibake_remark(rows: Rows) -> Rows:
    """Return the rows with a remark, and an example, on those whose texts were read as cp1252 although they are UTF-8."""
    found = np.zeros(len(rows), dtype=np.bool_)
    example = None
    for column in rows.columns:
        texts = rows.column(column)
        if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
            continue
        matches = pc.fill_null(pc.match_substring_regex(texts, _PATTERN), False).to_numpy()
        if matches.any():
            example = example or _example(texts[int(matches.argmax())].as_py())
            found |= matches
    if example is None:
        return rows
    wrong, right = example
    remark = f"the text looks like UTF-8 that was read as cp1252 ({wrong!r:.60} for {right!r:.60})"
    return replace(rows, remarks={**rows.remarks, remark: np.flatnonzero(found).tolist()})


def _example(text: str) -> tuple[str, str]:
    """Return the first such word of a text, and what it was."""
    match = _WORD.search(text)
    word = match[0] if match else text
    raw = b"".join(_byte(character) for character in word)
    return word, raw.decode("utf-8", "replace")


def _byte(character: str) -> bytes:
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1", "replace")
