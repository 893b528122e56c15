import json
import os
from contextlib import suppress

import pytest

from taskgraft.contract.config import Config
from taskgraft.storage.atomic_write import OutputError
from taskgraft.storage.documents import read_document, write_document


class Note(Config):
    text: str
    count: int = 0


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "note.json"
    write_document(path, Note(text="é", count=3), "note")
    return path


def problem(path):
    with pytest.raises(ValueError) as raised:
        read_document(path, Note)
    return str(raised.value)


def test_a_document_comes_back(file):
    assert read_document(file, Note) == Note(text="é", count=3)
    assert json.loads(file.read_text()).keys() == {"text", "count", "sha256"}


def test_no_file_is_no_document(tmp_path):
    assert read_document(tmp_path / "none.json", Note) is None


def test_a_flip_of_any_byte_is_detected_or_changes_nothing(file):
    whole = file.read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 7
        file.write_bytes(content)
        with suppress(ValueError):
            assert read_document(file, Note) == Note(text="é", count=3)  # white space changed


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"text": "a", "count": 3}', '{"sha256": 3}'])
def test_a_document_without_its_digest_is_rejected(file, content):
    file.write_text(content)
    assert problem(file) == "its content does not match its digest"


def test_a_document_of_another_schema_is_rejected(file):
    write_document(file, Config(), "nothing")
    assert problem(file) == "it is invalid at 'text': field required"


def test_a_pipe_is_rejected(tmp_path):
    os.mkfifo(tmp_path / "note.json")
    assert problem(tmp_path / "note.json") == "it is a pipe, not a regular file"


def test_a_document_that_cannot_be_written_says_what_it_is(tmp_path):
    with pytest.raises(OutputError) as raised:
        write_document(tmp_path / "none" / "note.json", Note(text="a"), "note")
    assert str(raised.value) == (
        f"The note cannot be written to {tmp_path / 'none' / 'note.json'}: No such file or directory."
    )
