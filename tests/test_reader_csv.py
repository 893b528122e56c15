import csv
from pathlib import Path

import pytest

from taskgraft.readers.csv import read_csv
from taskgraft.readers.settings import CsvConfig
from taskgraft.rows import Rows, UnreadableFile


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
def test_no_word_means_missing(tmp_path, word):
    assert rows_of(tmp_path, f"a,b\n{word},x\n").values("a") == [word]


def test_an_empty_cell_stays_an_empty_text(tmp_path):
    assert rows_of(tmp_path, "a,b\n,x\n").values("a") == [""]


def test_quoted_values_may_hold_commas_quotes_and_line_breaks(tmp_path):
    rows = rows_of(tmp_path, 'a,b\n"one, ""two""\nthree",x\n')
    assert rows.values("a") == ['one, "two"\nthree']


def test_lines_are_counted_as_the_file_has_them(tmp_path):
    rows = rows_of(tmp_path, 'a,b\n"x\ny\nz",1\nlater,2\n\n\nlast,3\n')
    assert rows.lines == [2, 5, 8]


def test_a_header_over_two_lines_moves_the_rows_down(tmp_path):
    rows = rows_of(tmp_path, '"a\nb",c\n1,2\n')
    assert rows.columns == ("a\nb", "c")
    assert rows.lines == [3]


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    rows = rows_of(tmp_path, b"\xef\xbb\xbftext,label\r\none,x\r\ntwo,y\r\n")
    assert rows.columns == ("text", "label")
    assert rows.values("label") == ["x", "y"]
    assert rows.lines == [2, 3]


def test_a_last_line_without_its_end_is_read(tmp_path):
    assert rows_of(tmp_path, "a,b\n1,2").values("b") == ["2"]


def test_another_delimiter_can_be_set(tmp_path):
    assert rows_of(tmp_path, "a;b\n1,5;2\n", delimiter=";").values("a") == ["1,5"]


def test_a_header_alone_gives_columns_without_rows(tmp_path):
    rows = rows_of(tmp_path, "a,b\n")
    assert rows.columns == ("a", "b")
    assert len(rows) == 0


def test_the_source_is_called_by_the_name_of_the_file(tmp_path):
    assert rows_of(tmp_path, "a\n1\n").source == "data.csv"


def test_a_very_long_value_is_read_whole(tmp_path):
    long = "x" * (csv.field_size_limit() + 1)
    before = csv.field_size_limit()
    assert rows_of(tmp_path, f"a,b\n{long},1\n").values("a") == [long]
    assert csv.field_size_limit() == before


def test_a_row_with_too_many_values_is_named_by_its_line(tmp_path):
    said = problem_of(tmp_path, 'a,b\n"x\ny",1\n1,2,3\n')
    assert said == "line 4 has 3 values, but the header names 2 columns."


def test_a_row_with_too_few_values_is_named_by_its_line(tmp_path):
    assert problem_of(tmp_path, "a,b\n1,2\n3\n") == "line 3 has 1 values, but the header names 2 columns."


def test_an_empty_file_is_refused(tmp_path):
    assert problem_of(tmp_path, "") == ("the file is empty; a header line with the names of the columns is needed.")


def test_a_column_named_twice_is_refused(tmp_path):
    assert problem_of(tmp_path, "a,b,a\n1,2,3\n") == "line 1: 'a' names more than one column."


def test_another_encoding_is_refused(tmp_path):
    assert problem_of(tmp_path, "a,b\ncafé,1\n".encode("latin-1")) == "the file is not UTF-8 (byte 0xe9)."


def test_a_quote_that_never_ends_is_refused(tmp_path):
    assert problem_of(tmp_path, 'a,b\n"x,1\n') == "line 2: unexpected end of data."


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UnreadableFile) as caught:
        read_csv(tmp_path / "none.csv", CsvConfig())
    assert str(caught.value) == f"{tmp_path / 'none.csv'}: the file cannot be read (No such file or directory)."


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UnreadableFile) as caught:
        read_csv(tmp_path, CsvConfig())
    assert str(caught.value) == f"{tmp_path}: the file cannot be read (Is a directory)."
