"""Files of rows within limits: a small file that would take gigabytes or minutes is refused, with the limit and its setting."""

import gzip
import json
import time

import pytest
from attacks import forked

from taskgraft.contract.rows import UnreadableFile
from taskgraft.files.limits import InvalidLimit
from taskgraft.reading.read import read_file

pytestmark = pytest.mark.slow


def zeros(path, size, *, before=b"", after=b"", letter=b"x"):
    """Write a gzipped file with so many equal letters on one line."""
    with gzip.open(path, "wb", 9) as file:
        file.write(before)
        for _ in range(size >> 20):
            file.write(letter * (1 << 20))
        file.write(after)
    return path


def problem(path, reader=None):
    with pytest.raises(UnreadableFile) as caught:
        read_file(path, reader)
    return caught.value.problem


LINE = "has more than 50,000,000 bytes; TASKGRAFT_LINE_BYTES sets the limit."


@pytest.mark.parametrize(
    ("name", "before", "reader", "expected"),
    [
        ("one.jsonl.gz", b'{"a": 1}\n{"a": "', None, f"line 2 {LINE}"),
        ("one.csv.gz", b"a,b\n1,2\n1,", None, f"line 3 {LINE}"),
        ("one.csv.gz", b"", None, f"line 1 {LINE}"),
        ("one.txt.gz", b"a\n", "lines", f"line 2 {LINE}"),
        ("one.fasta.gz", b">a\nMK\n>b\n", None, f"line 4 {LINE}"),
    ],
)
def test_a_line_beyond_the_limit_is_not_read_whole(tmp_path, name, before, reader, expected):
    path = zeros(tmp_path / name, 120 << 20, before=before)
    assert path.stat().st_size < 200_000
    outcome = forked(lambda: print(problem(path, reader)))
    assert outcome.text == f"{expected}\n"
    assert outcome.memory < 200 << 20
    assert outcome.seconds < 5


def test_a_quoted_value_over_many_lines_has_the_same_limit(tmp_path):
    path = zeros(tmp_path / "one.csv.gz", 5 << 20, before=b'a\n"', letter=b"x" * 15 + b"\n")
    outcome = forked(lambda: print(problem(path)))
    assert outcome.text == (
        "line 2: a value has more than 50,000,000 characters; TASKGRAFT_LINE_BYTES sets the limit. Perhaps a quotation mark is "
        'never closed; if quotation marks are ordinary characters, set data.reader = {name = "csv", quoting = "none"}.\n'
    )
    assert outcome.memory < 300 << 20


def test_a_sequence_over_many_lines_has_the_same_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKGRAFT_LINE_BYTES", "1000")
    (tmp_path / "one.fasta").write_text(">a\nMK\n>b\n" + f"{'K' * 60}\n" * 20)
    assert problem(tmp_path / "one.fasta") == (
        "line 3: the sequence has more than 1,000 letters; TASKGRAFT_LINE_BYTES sets the limit."
    )


def test_a_text_of_10_megabytes_is_read(tmp_path):
    text = "word " * 2_000_000
    (tmp_path / "one.jsonl").write_text(json.dumps({"text": text}))
    (tmp_path / "one.csv").write_text(f'text\n"{text}"\n')
    for name in ("one.jsonl", "one.csv"):
        assert read_file(tmp_path / name).value("text", 0) == text


def test_a_gzipped_file_has_a_limit_when_decompressed(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKGRAFT_GZIP_BYTES", "1000000")
    path = zeros(tmp_path / "one.parquet.gz", 30 << 20, before=b"PAR1")
    most = 200 * path.stat().st_size
    assert problem(path) == f"the file decompresses to more than {most:,} bytes; TASKGRAFT_GZIP_BYTES sets the limit."


def test_a_table_of_too_many_columns_is_refused(tmp_path, monkeypatch):
    header = ",".join(f"x{number}" for number in range(50_001))
    (tmp_path / "one.csv").write_text(f"{header}\n")
    expected = "the table has 50,001 columns, more than 50,000; TASKGRAFT_COLUMNS sets the limit."
    assert problem(tmp_path / "one.csv") == f"line 1: {expected}"
    (tmp_path / "one.jsonl").write_text(json.dumps(dict.fromkeys(header.split(","), 1)))
    assert problem(tmp_path / "one.jsonl") == f"line 1: {expected}"
    monkeypatch.setenv("TASKGRAFT_COLUMNS", "many")
    with pytest.raises(
        InvalidLimit, match=r"^The environment variable TASKGRAFT_COLUMNS is 'many', not a whole number of at least 0"
    ):
        read_file(tmp_path / "one.csv")


def test_a_key_of_its_own_in_each_line_is_refused_early(tmp_path):
    with (tmp_path / "one.jsonl").open("w") as file:
        file.writelines(f'{{"id": {number}, "key {number}": 1}}\n' for number in range(100_000))
    start = time.monotonic()
    assert problem(tmp_path / "one.jsonl") == (
        "line 1,000: the lines up to here have 1,001 different keys, but none has more than 2 of them. Each key is a column: "
        "write what varies as a value of a key. TASKGRAFT_COLUMNS sets a limit of columns instead."
    )
    assert time.monotonic() - start < 3


def test_lines_of_few_keys_out_of_many_are_read_with_the_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKGRAFT_COLUMNS", "3000")
    with (tmp_path / "one.jsonl").open("w") as file:
        file.writelines(f'{{"key {number}": 1}}\n' for number in range(2_000))
    assert len(read_file(tmp_path / "one.jsonl").columns) == 2_000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": ' + "[" * 100_000, "it is nested deeper than 100 levels"),
        ('{"a": ' + "1" * 5_000 + "}", "it has a whole number of more than 4,300 digits"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        ('{"a": "\\ud800"}', "it has a lone surrogate (\\ud800), which is not a character"),
    ],
)
def test_a_line_of_json_beyond_a_limit_is_an_invalid_row(tmp_path, line, reason):
    (tmp_path / "one.jsonl").write_text(f'{{"a": "x"}}\n{line}\n')
    assert read_file(tmp_path / "one.jsonl").invalid == {1: f"the line is not JSON ({reason})"}


@pytest.mark.slow
def test_a_table_of_20000_columns_is_read_in_seconds(tmp_path):
    header = ",".join(f"x{number}" for number in range(20_000))
    (tmp_path / "one.csv").write_text(f"{header}\n" + f"{'1.5,' * 19_999}1.5\n" * 20)
    start = time.process_time()
    rows = read_file(tmp_path / "one.csv")
    assert sum(rows.value(column, 3) == "1.5" for column in rows.columns) == 20_000
    assert time.process_time() - start < 5
