import csv
import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taskgraft.builtin.readers.configs import CsvConfig
from taskgraft.builtin.readers.csv import read_csv
from taskgraft.contract.config import ConfigError, parse_config
from taskgraft.contract.rows import InvalidRows, Rows, UnreadableFile
from taskgraft.reading.arrow_spool import ROWS_PER_WRITE


def rows_of(folder: Path, content: str | bytes, **settings: str) -> Rows:
    path = folder / "data.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(path, CsvConfig(**settings))


def problem_of(folder: Path, content: str | bytes) -> str:
    with pytest.raises(UnreadableFile) as caught:
        rows_of(folder, content)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'data.csv'}: ")
    return message.removeprefix(f"{folder / 'data.csv'}: ")


def test_a_number_keeps_its_leading_zeros(tmp_path):
    assert rows_of(tmp_path, "code\n007\n1.50\n").values("code") == ["007", "1.50"]


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "True", " "])
def test_no_text_means_missing(tmp_path, word):
    assert rows_of(tmp_path, f"a,b\n{word},x\n").values("a") == [word]


def test_an_empty_cell_stays_an_empty_text(tmp_path):
    assert rows_of(tmp_path, "a,b\n,x\n").values("a") == [""]


def test_quoted_values_may_contain_commas_quotes_and_line_breaks(tmp_path):
    rows = rows_of(tmp_path, 'a,b\n"one, ""two""\nthree",x\n')
    assert rows.values("a") == ['one, "two"\nthree']


def test_line_numbers_are_those_of_the_file(tmp_path):
    rows = rows_of(tmp_path, 'a,b\n"x\ny\nz",1\nlater,2\n\n\nlast,3\n')
    assert list(rows.lines) == [2, 5, 8]


def test_a_header_over_two_lines_shifts_the_line_numbers(tmp_path):
    rows = rows_of(tmp_path, '"a\nb",c\n1,2\n')
    assert rows.columns == ("a\nb", "c")
    assert list(rows.lines) == [3]


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    rows = rows_of(tmp_path, b"\xef\xbb\xbftext,label\r\none,x\r\ntwo,y\r\n")
    assert rows.columns == ("text", "label")
    assert rows.values("label") == ["x", "y"]
    assert list(rows.lines) == [2, 3]


def test_a_last_line_without_a_line_break_is_read(tmp_path):
    assert rows_of(tmp_path, "a,b\n1,2").values("b") == ["2"]


def test_another_delimiter_can_be_set(tmp_path):
    assert rows_of(tmp_path, "a;b\n1,5;2\n", delimiter=";").values("a") == ["1,5"]


def test_a_header_alone_gives_columns_without_rows(tmp_path):
    rows = rows_of(tmp_path, "a,b\n")
    assert rows.columns == ("a", "b")
    assert len(rows) == 0


def test_the_source_is_the_name_of_the_file(tmp_path):
    assert rows_of(tmp_path, "a\n1\n").source == "data.csv"


def test_a_very_long_value_is_read_whole(tmp_path):
    long = "x" * (csv.field_size_limit() + 1)
    before = csv.field_size_limit()
    assert rows_of(tmp_path, f"a,b\n{long},1\n").values("a") == [long]
    assert csv.field_size_limit() == before


def test_files_read_in_threads_do_not_change_a_limit_of_the_process(tmp_path):
    """The limit of Python's csv module was changed for each file: rows of another thread became invalid."""
    long, limits, ended = "x" * (csv.field_size_limit() + 1), set(), threading.Event()
    before = csv.field_size_limit()
    (tmp_path / "long.csv").write_text("a,b\n" + f"{long},1\n" * 20)

    def watch():
        while not ended.is_set():
            limits.add(csv.field_size_limit())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(6) as threads:
        read = [*threads.map(lambda _: read_csv(tmp_path / "long.csv", CsvConfig()), range(30))]
    ended.set()
    watcher.join()
    assert [(len(rows), dict(rows.invalid)) for rows in read] == [(20, {})] * 30
    assert limits == {before}


def test_a_limit_that_the_caller_set_does_not_hold_for_files(tmp_path):
    before = csv.field_size_limit(10)
    try:
        assert rows_of(tmp_path, f"a,b\n{'x' * 20},1\n").values("a") == ["x" * 20]
    finally:
        csv.field_size_limit(before)


def test_rows_of_another_length_are_invalid(tmp_path):
    rows = rows_of(tmp_path, 'a,b\n"x\ny",1\n1,2,3\n1,2\n3\n')
    assert str(InvalidRows(rows, rows.invalid)) == (
        "data.csv, line 4: the row has 3 values, but the header names 2 columns.\n"
        "data.csv, line 6: the row has 1 value, but the header names 2 columns.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )
    assert rows.values("a") == ["x\ny", None, "1", None]


def test_a_row_with_a_misplaced_quotation_mark_is_invalid(tmp_path):
    rows = rows_of(tmp_path, 'a,b\n"x"y,1\nz,2\n')
    assert rows.invalid == {
        0: "the row cannot be parsed (',' expected after '\"'); if quotation marks are ordinary characters, set "
        'data.reader = {name = "csv", quoting = "none"}'
    }
    assert rows.values("b") == [None, "2"]


def test_a_gzipped_file_is_read(tmp_path):
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert read_csv(tmp_path / "data.csv.gz", CsvConfig()).values("b") == ["2"]


def test_a_damaged_gzip_file_is_rejected(tmp_path):
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-9])
    with pytest.raises(UnreadableFile) as caught:
        read_csv(path, CsvConfig())
    assert str(caught.value) == (
        f"{path}: the file is not a complete gzip file (Compressed file ended before the end-of-stream marker was reached)."
    )


@pytest.mark.parametrize("name", ["data.tsv", "data.tsv.gz"])
def test_values_of_a_tsv_file_are_separated_by_tabs(tmp_path, name):
    content = b"a\tb\n1,5\t2\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read_csv(tmp_path / name, CsvConfig()).values("a") == ["1,5"]


@pytest.mark.parametrize(("mark", "written"), [(";", ";"), ("\t", "\\t"), ("|", "|")])
def test_another_delimiter_is_reported_and_not_guessed(tmp_path, mark, written):
    assert problem_of(tmp_path, f"text{mark}label\nx{mark}y\n") == (
        f"line 1 names a single column, {f'text{mark}label'!r}. If values are not separated by commas, name the delimiter: "
        f'data.reader = {{name = "csv", delimiter = "{written}"}}.'
    )


def test_a_column_with_a_semicolon_in_its_name_is_read_when_the_delimiter_is_set(tmp_path):
    assert rows_of(tmp_path, "a;b\n1\n", delimiter=",").columns == ("a;b",)


def test_another_encoding_can_be_set(tmp_path):
    assert rows_of(tmp_path, "a\ncafé\n".encode("latin-1"), encoding="latin-1").values("a") == ["café"]


def test_an_unknown_encoding_is_rejected():
    with pytest.raises(ConfigError) as caught:
        parse_config(CsvConfig, {"encoding": "utf-9"}, "reader 'csv'")
    assert str(caught.value) == "reader 'csv': the setting 'encoding' is 'utf-9': unknown encoding."


def test_rows_of_several_batches_are_in_order(tmp_path):
    rows = rows_of(tmp_path, "a\n" + "".join(f"{row}\n" for row in range(2 * ROWS_PER_WRITE + 1)))
    assert rows.values("a") == [str(row) for row in range(2 * ROWS_PER_WRITE + 1)]


def test_an_empty_file_is_rejected(tmp_path):
    assert problem_of(tmp_path, "") == ("the file is empty; a header line with the names of the columns is needed.")


def test_a_duplicate_column_is_rejected(tmp_path):
    assert problem_of(tmp_path, "a,b,a\n1,2,3\n") == "line 1: 'a' names more than one column."


def test_an_empty_header_is_rejected(tmp_path):
    assert problem_of(tmp_path, "\na,b\n") == "line 1 is empty; a header line with the names of the columns is needed."


def test_a_quoted_value_that_is_never_closed_is_rejected(tmp_path):
    assert problem_of(tmp_path, 'a,b\n"x,1\n') == (
        "line 2: a quoted value is never closed; if quotation marks are ordinary characters, set "
        'data.reader = {name = "csv", quoting = "none"}.'
    )


def test_a_missing_file_is_rejected(tmp_path):
    with pytest.raises(UnreadableFile) as caught:
        read_csv(tmp_path / "none.csv", CsvConfig())
    assert str(caught.value) == f"{tmp_path / 'none.csv'}: the file cannot be read (No such file or directory)."


def test_a_folder_is_rejected(tmp_path):
    with pytest.raises(UnreadableFile) as caught:
        read_csv(tmp_path, CsvConfig())
    assert str(caught.value) == f"{tmp_path}: the file cannot be read (it is a folder, not a regular file)."
