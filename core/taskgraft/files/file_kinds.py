"""What a file is by its first bytes: the sentence for a file that is something else than the text its name promises."""

import codecs
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from taskgraft.errors import join_words
from taskgraft.files.regular_file import open_regular_file

HEAD = 4_096
"""Bytes that are looked at."""

_FRAME = "and pass the DataFrame"
_SHEET = f"Save the sheet as CSV, or read it with pandas.read_excel {_FRAME}."
_DECOMPRESS = "Decompress it; of compressed files only gzip is read."
_UNPACK = "Unpack it, and name a file in it."
_NO_ROWS = "It has no rows to read."

_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PAR1", "a Parquet file", "Let its name end in .parquet."),
    (
        0,
        b"ARROW1",
        "an Arrow file",
        "Save it as Parquet, or read it with pyarrow.feather.read_table and pass the table.",
    ),
    (0, b"ORC", "an ORC file", f"Save it as Parquet, or read it with pandas.read_orc {_FRAME}."),
    (0, b"Obj\x01", "an Avro file", "Save it as Parquet or JSON lines."),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"Read it with pandas.read_hdf {_FRAME}."),
    (0, b"\x93NUMPY", "a NumPy file", "Read it with numpy.load, and pass a dict of columns."),
    (0, b"<stata_dta>", "a Stata file", f"Read it with pandas.read_stata {_FRAME}."),
    (0, b"$FL2", "an SPSS file", f"Read it with pandas.read_spss {_FRAME}."),
    (0, b"SQLite format 3\0", "an SQLite database", f"Read a table of it with pandas.read_sql {_FRAME}."),
    (8, b"DUCK", "a DuckDB database", "Write a table of it to a Parquet file."),
    (
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an Excel workbook in the old format, or another Office document with a password",
        _SHEET,
    ),
    (4, b"1AY&SY", "compressed with bzip2", _DECOMPRESS),
    (0, b"\xfd7zXZ\0", "compressed with xz", _DECOMPRESS),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", _DECOMPRESS),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", _DECOMPRESS),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"%PDF-", "a PDF document", _NO_ROWS),
    (0, b"{\\rtf", "an RTF document", "Save it as plain text."),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG file", _NO_ROWS),
    (0, b"\xff\xd8\xff", "a JPEG file", _NO_ROWS),
    (0, b"GIF8", "a GIF file", _NO_ROWS),
    (8, b"WEBP", "a WebP file", _NO_ROWS),
    (0, b"MZ\x90", "a program", _NO_ROWS),
    (0, b"\x7fELF", "a program", _NO_ROWS),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the data themselves", "Fetch them with git lfs pull."),
    (0, b"/annex/objects/", "a git-annex pointer, not the data themselves", "Fetch them with git annex get."),
)
"""Offset and bytes → what the file is, and what to do."""

_LAST_RARE = 8
"""Bytes up to this one are in the head of every binary file, and not in text: a column may be named ORCID or PAR1."""

_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_WEB_PAGE = (b"<!doctype html", b"<html")


def recognize(path: Path, head: bytes) -> str | None:
    """Return a sentence on what a file is, and what to do; None for text, and for anything unknown.

    Args:
        head: its first bytes; those of the decompressed file if the name ends in ``.gz``.
    """
    if head.startswith(b"\x1f\x8b"):
        twice = path.name.lower().endswith(".gz")
        problem = "gzipped twice. Decompress it once." if twice else _unnamed_gzip(path)
        return f"the file is {problem}"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return f"the file is {_zip_content(path)}"
    for offset, signature, name, advice in _SIGNATURES:
        could_be_text = signature.isalnum() and min(head, default=0) > _LAST_RARE
        if head[offset : offset + len(signature)] == signature and not could_be_text:
            return f"the file is {name}. {advice}"
    if head.startswith(_PICKLE):
        return "the file is a pickle, which is never opened, since that can run code. Save the data as CSV or Parquet."
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_WEB_PAGE):
        return (
            "the file is a web page, perhaps a login or an error page saved under this name. Download the file again."
        )
    return None


def unread_file_problem(path: Path) -> str | None:
    """Return a sentence on a file whose suffix no reader takes; None where it cannot say more. Raises OSError."""
    with open_regular_file(path) as file:
        head = file.read(HEAD)
    if problem := recognize(path, head):
        return problem
    first = head.strip().partition(b"\n")[0].rstrip()
    for pattern, problem in _FIRST_LINES:
        if re.fullmatch(pattern, first):
            return problem
    if not head or _is_binary(head):
        return None
    return 'no reader takes files of this kind. If it is a table in text, name the reader: data.reader = "csv".'


_FIRST_LINES = (
    (rb"\{.*\}", 'the file has JSON objects in lines. Name the reader: data.reader = "json-lines".'),
    (rb"[{[].*", "the file is JSON. Write one object per line, into a file whose name ends in .jsonl."),
    (rb"<\?xml.*", f"the file is XML. Read it with pandas.read_xml {_FRAME}."),
)


def _unnamed_gzip(path: Path) -> str:
    return f"gzipped, but its name does not end in .gz. Rename it to {path.name}.gz."


def _zip_content(path: Path) -> str:
    """Say what is in a ZIP archive; Office documents are such archives."""
    try:
        with open_regular_file(path) as file, zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return f"a ZIP archive, or an incomplete one. {_UNPACK}"
    for member, content in _OFFICE.items():
        if any(name.endswith(member) for name in names):
            return content
    return f"a ZIP archive with {join_words(names, 3)}. {_UNPACK}"


_OFFICE = {
    "xl/workbook.xml": f"an Excel workbook. {_SHEET}",
    "xl/workbook.bin": f"an Excel workbook. {_SHEET}",
    "word/document.xml": "a Word document. Save its table as CSV.",
    "content.xml": f"an OpenDocument file. {_SHEET}",
    "data.pkl": "a checkpoint of PyTorch, not a table of rows. Name a file of rows.",
}
"""A file in a ZIP archive → what the archive is."""


# --- text

_LEAST_ASCII = 0.02
"""Share of ASCII characters (delimiters, line ends) in any table; a few bytes in a text that are 0 are fewer."""

_CONTROLS = frozenset({0, *range(4, 9), *range(0x0E, 0x1B)})
"""Control characters that no text has; the others are line ends, tabs and separators."""


def find_text_problem(path: Path, head: bytes, encoding: str, setting: Callable[[str], str] | None) -> str | None:
    """Return a sentence on a file whose first bytes are no text in an encoding; None if they may be.

    Args:
        encoding: as Python names it.
        setting: encoding → how a recipe names it; None for a reader of this encoding alone.
    """
    if problem := recognize(path, head):
        return problem
    found, named = _marked_encoding(head), codecs.lookup(encoding).name
    if found is None:
        begin = head[:8].hex(" ")
        binary = not named.startswith(("utf-16", "utf-32")) and _is_binary(head)
        return f"the file is not text: it begins with the bytes {begin}." if binary else None
    if named.split("-")[:2] == found.split("-")[:2]:
        return None
    advice = "Save it as UTF-8." if setting is None else f"Name the encoding: {setting(found)}."
    return f"the file is {found.upper()} text, not {encoding.upper()}. {advice}"


def _marked_encoding(head: bytes) -> str | None:
    """Return the encoding of text that begins with a byte order mark, or whose characters take two or four bytes."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return encoding
    if 0 not in head:
        return None
    shares = {name: _ascii_share(head, name) for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")}
    found = max(shares, key=shares.__getitem__)
    return found if shares[found] > _LEAST_ASCII else None


def _ascii_share(head: bytes, encoding: str) -> float:
    """Return the share of ASCII characters in the text that bytes are in an encoding; 0 if they are none."""
    whole = head[: len(head) // 4 * 4]
    try:
        text = whole.decode(encoding)
    except UnicodeDecodeError as error:
        if error.start < len(whole) - 2:  # else the head ends within a character
            return 0.0
        text = whole[: error.start].decode(encoding)
    if not all(character.isprintable() or character in "\t\r\n" for character in text):
        return 0.0
    return sum(character.isascii() for character in text) / max(len(text), 1)


def _is_binary(head: bytes) -> bool:
    """Tell whether bytes are no text in any encoding: more than one in twenty is a control character."""
    return sum(byte in _CONTROLS for byte in head) * 20 > len(head)
