"""Only regular files are opened, and small ones up to a stated size."""

import os
import socket
from io import BufferedReader, FileIO, RawIOBase

import pytest

from taskgraft.files.regular_file import check_regular_file, open_regular_file, read_small_file


def pipe(folder):
    os.mkfifo(folder / "file")
    return folder / "file"


def listening(folder):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "file"))
    server.close()
    return folder / "file"


def link_to(target):
    def make(folder):
        (folder / "file").symlink_to(target)
        return folder / "file"

    return make


NOT_FILES = {
    "a folder": lambda folder: folder,
    "a pipe": pipe,
    "a socket": listening,
    "a device": link_to("/dev/zero"),
    "a file of the kernel": link_to("/proc/self/environ"),
}


@pytest.mark.parametrize("kind", NOT_FILES)
@pytest.mark.parametrize("opening", [open_regular_file, check_regular_file, lambda path: read_small_file(path, 10)])
def test_what_is_not_a_regular_file_is_not_opened(kind, opening, tmp_path):
    path = NOT_FILES[kind](tmp_path)
    with pytest.raises(OSError) as caught:
        opening(path)
    assert caught.value.filename in (str(path), path)
    assert caught.value.strerror in (f"it is {kind}, not a regular file", "No such device or address")


def test_a_regular_file_behind_a_link_is_opened(tmp_path):
    (tmp_path / "there").write_bytes(b"text")
    (tmp_path / "link").symlink_to("there")
    check_regular_file(tmp_path / "link")
    with open_regular_file(tmp_path / "link") as file:
        assert file.read() == b"text"


def test_a_sparse_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(40 * 2**30)
    with pytest.raises(OSError, match=r"it has 42,949,672,960 bytes, more than the limit of 1,000,000"):
        read_small_file(tmp_path / "large", 1_000_000)


def test_a_file_of_just_the_most_bytes_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_small_file(tmp_path / "file", 5) == b"12345"


def test_a_file_that_is_a_hole_is_not_opened(tmp_path):
    """It would be read for minutes: text, compressed or not, has no size of its own."""
    (tmp_path / "rows.csv").write_bytes(b"text,label\n")
    os.truncate(tmp_path / "rows.csv", 40 * 2**30)
    for opening in (open_regular_file, check_regular_file):
        with pytest.raises(OSError, match=r"it is sparse: [\d,]+ of its 42,949,672,960 bytes are stored"):
            opening(tmp_path / "rows.csv")


class ShortenedAtFirst(FileIO):
    """A file that becomes shorter just before it is read."""

    def readinto(self, buffer):
        os.ftruncate(self.fileno(), 50_000)
        return super().readinto(buffer)

    readall = RawIOBase.readall


def test_a_file_that_becomes_shorter_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: BufferedReader(ShortenedAtFirst(descriptor)))
    monkeypatch.setattr(os, "O_RDONLY", os.O_RDWR)
    with pytest.raises(OSError, match="it was truncated while it was being read"):
        read_small_file(tmp_path / "file", 200_000)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\0b", "embedded null byte"),
        ("x" * 5_000, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_names_that_lead_nowhere_have_a_reason(name, reason, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for opening in (open_regular_file, check_regular_file):
        with pytest.raises(OSError) as caught:
            opening(tmp_path / name)
        assert caught.value.strerror == reason


def test_a_name_that_is_not_utf_8_is_opened(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    with open(path, "wb") as file:
        file.write(b"text")
    assert read_small_file(path, 10) == b"text"
    assert read_small_file(os.fsdecode(path), 10) == b"text"
