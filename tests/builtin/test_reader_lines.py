import gzip

import pytest

from taskgraft.contract.rows import UnreadableFile
from taskgraft.discovery.catalog import catalog
from taskgraft.reading.read import read_file, read_rows


def test_each_line_is_a_row_as_it_is_in_the_file(tmp_path):
    (tmp_path / "texts.txt").write_bytes('\ufeff a, "b"\r\n\r\n007\u2028x\nlast'.encode())
    rows = read_file(tmp_path / "texts.txt", "lines")
    assert rows.table.to_pydict() == {"text": [' a, "b"', "", "007\u2028x", "last"]}
    assert list(rows.lines) == [1, 2, 3, 4]


def test_the_column_is_named_by_the_settings_or_by_the_only_one_that_is_needed(tmp_path):
    (tmp_path / "texts.txt").write_text("a\n")
    assert read_file(tmp_path / "texts.txt", "lines:message").columns == ("message",)
    assert read_file(tmp_path / "texts.txt", "lines", columns={"sentence"}).columns == ("sentence",)
    assert read_file(tmp_path / "texts.txt", "lines:message", columns={"sentence"}).columns == ("message",)
    assert read_file(tmp_path / "texts.txt", "lines", columns={"sentence", "id"}).columns == ("text",)


def test_any_file_is_read_if_the_reader_is_named_for_it(tmp_path):
    (tmp_path / "texts.csv.gz").write_bytes(gzip.compress(b"a,b\n"))
    assert read_rows(tmp_path / "texts.csv.gz", catalog(), "it", reader="lines").values("text") == ["a,b"]


def test_a_line_that_is_not_utf_8_is_invalid(tmp_path):
    (tmp_path / "texts.txt").write_bytes(b"a\ncaf\xe9\nb\n")
    rows = read_file(tmp_path / "texts.txt", "lines")
    assert (rows.values("text"), rows.invalid) == (["a", None, "b"], {1: "the byte 0xe9 is not UTF-8"})


def test_an_empty_file_is_rejected(tmp_path):
    (tmp_path / "texts.txt").write_bytes(b"")
    with pytest.raises(UnreadableFile) as caught:
        read_file(tmp_path / "texts.txt", "lines")
    assert str(caught.value) == f"{tmp_path}/texts.txt: the file is empty; one text per line is needed."
