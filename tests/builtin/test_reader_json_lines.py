import gzip
from pathlib import Path

import pytest

from taskgraft.builtin.readers.json_lines import read_json_lines
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import InvalidRows, Rows, UnreadableFile
from taskgraft.reading.arrow_spool import ROWS_PER_WRITE


def rows_of(folder: Path, content: str | bytes) -> Rows:
    path = folder / "data.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_json_lines(path, EmptyConfig())


def problem_of(folder: Path, content: str) -> str:
    with pytest.raises(UnreadableFile) as caught:
        rows_of(folder, content)
    return str(caught.value).removeprefix(f"{folder / 'data.jsonl'}: ")


def test_values_keep_the_types_of_the_file(tmp_path):
    rows = rows_of(tmp_path, '{"text": "007", "price": 1.5, "tags": ["a"], "count": 3, "known": true}\n')
    assert {name: rows.values(name) for name in rows.columns} == {
        "text": ["007"],
        "price": [1.5],
        "tags": [["a"]],
        "count": [3],
        "known": [True],
    }


def test_a_key_absent_from_a_line_is_missing(tmp_path):
    rows = rows_of(tmp_path, '{"a": 1}\n{"b": "x"}\n')
    assert (rows.values("a"), rows.values("b")) == ([1, None], [None, "x"])


def test_line_numbers_are_those_of_the_file(tmp_path):
    assert list(rows_of(tmp_path, '\n{"a": 1}\n\n{"a": 2}').lines) == [2, 4]


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_line_ends_of_other_systems_are_read(tmp_path, end):
    rows = rows_of(tmp_path, end.join(['{"a": "x\\ry"}', "", '{"a": "z"}', ""]))
    assert (rows.values("a"), list(rows.lines)) == (["x\ry", "z"], [1, 3])


def test_numbers_among_texts_become_texts(tmp_path):
    assert rows_of(tmp_path, '{"a": 7}\n{"a": "007"}\n{"a": null}\n{"a": 1.5}\n').values("a") == [
        "7",
        "007",
        None,
        "1.5",
    ]


def test_numbers_and_texts_in_different_batches_become_texts(tmp_path):
    rows = rows_of(tmp_path, '{"a": 7}\n' * ROWS_PER_WRITE + '{"a": "x"}\n')
    assert rows.values("a", ROWS_PER_WRITE - 1) == ["7", "x"]


def test_a_column_that_starts_late_is_missing_before(tmp_path):
    rows = rows_of(tmp_path, '{"a": 7}\n' * ROWS_PER_WRITE + '{"a": 1.5, "b": "x"}\n')
    assert rows.values("b", ROWS_PER_WRITE - 1) == [None, "x"]
    assert rows.values("a", ROWS_PER_WRITE - 1) == [7.0, 1.5]


def test_a_gzipped_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbf{"a": "x"}\r\n'))
    assert read_json_lines(path, EmptyConfig()).values("a") == ["x"]


def test_each_line_without_an_object_is_reported_with_its_reason(tmp_path):
    lines = ['{"a": 1}', "[1]", "{bad}", '{"a": 1, "a": 2}', '"x"']
    rows = rows_of(tmp_path, "\n".join(lines).encode() + b'\n{"a": "\xe9"}\n' + b"[" * 100_000)
    assert str(InvalidRows(rows, rows.invalid)) == (
        "data.jsonl, line 2: the line contains a JSON list, not an object.\n"
        "data.jsonl, line 3: the line is not JSON (Expecting property name enclosed in double quotes).\n"
        "data.jsonl, line 4: the line is not JSON (the key 'a' is used twice in one object).\n"
        "data.jsonl, line 5: the line contains a JSON str, not an object.\n"
        "data.jsonl, line 6: the byte 0xe9 is not UTF-8.\n"
        "Further reasons: 1.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )
    assert rows.invalid[6] == "the line is not JSON (it is nested deeper than 100 levels)"


@pytest.mark.parametrize("content", ["", "\n\n", "[1]\n"])
def test_a_file_without_objects_is_rejected(tmp_path, content):
    assert problem_of(tmp_path, content) == "the file contains no JSON object; one per line is needed."


@pytest.mark.parametrize(
    "content", ['{"a": [1]}\n{"a": "x"}\n', '{"a": [1]}\n' * ROWS_PER_WRITE + '{"a": "x"}\n'], ids=["near", "far apart"]
)
def test_lists_mixed_with_texts_are_rejected(tmp_path, content):
    assert problem_of(tmp_path, content) == (
        "the column 'a' mixes lists or objects with other values; use one type for the whole column."
    )
