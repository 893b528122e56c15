import pyarrow as pa
import pytest

from taskgraft.rows import BadRows, ColumnMissing, Rows, UnreadableFile

IN_MEMORY = Rows(pa.table({"text": ["a", "b", "c"], "label": [1, 2, None]}), "the DataFrame")
IN_FILE = Rows(IN_MEMORY.table, "intents.csv", [2, 5, 1_006])


def test_rows_are_counted():
    assert len(IN_MEMORY) == 3


def test_values_come_as_the_source_holds_them():
    assert IN_MEMORY.values("label") == [1, 2, None]


def test_values_of_some_rows_can_be_taken():
    assert IN_MEMORY.values("text", 1) == ["b", "c"]
    assert IN_MEMORY.values("text", 1, 2) == ["b"]
    assert IN_MEMORY.values("text", 1, 99) == ["b", "c"]


def test_pieces_cover_all_rows_under_the_names_asked_for():
    assert list(IN_MEMORY.chunks({"input": "text"}, 2)) == [(0, {"input": ["a", "b"]}), (2, {"input": ["c"]})]


def test_taken_rows_keep_their_order_and_lines():
    taken = IN_FILE.take([2, 0])
    assert taken.values("text") == ["c", "a"]
    assert taken.lines == [1_006, 2]


def test_no_rows_can_be_taken():
    assert len(IN_FILE.take([])) == 0


def test_a_row_of_a_file_is_placed_by_its_line():
    assert IN_FILE.place(2) == "line 1,006"
    assert IN_MEMORY.place(2) == "row 2"


def test_a_missing_column_is_named_with_the_nearest_one():
    with pytest.raises(ColumnMissing) as caught:
        IN_FILE.values("lable")
    assert str(caught.value) == "intents.csv has no column 'lable'. Did you mean 'label'? Columns: text, label."


def test_a_missing_column_like_no_other_is_named_with_all_columns():
    with pytest.raises(ColumnMissing) as caught:
        IN_MEMORY.values("zzz")
    assert str(caught.value) == "the DataFrame has no column 'zzz'. Columns: text, label."


def test_one_bad_row_is_placed_by_its_line():
    error = BadRows(IN_FILE, {1: "the text is empty"})
    assert str(error) == "intents.csv, line 5: the text is empty.\nMend these rows or take them out."


def test_bad_rows_of_one_reason_are_told_together():
    error = BadRows(IN_FILE, {2: "the text is empty", 0: "the text is empty"})
    assert str(error) == (
        "intents.csv, line 2: the text is empty. 2 of 3 rows are like this (lines 2, 1,006).\n"
        "Mend these rows or take them out."
    )


def test_bad_rows_without_a_file_are_placed_by_their_number():
    error = BadRows(IN_MEMORY, {0: "the text is empty", 1: "the text is empty"})
    assert str(error) == (
        "the DataFrame, row 0: the text is empty. 2 of 3 rows are like this (rows 0, 1).\n"
        "Mend these rows or take them out."
    )


def test_many_reasons_are_cut_and_the_cut_is_said():
    rows = Rows(pa.table({"a": list(range(9))}), "a.csv", list(range(2, 11)))
    lines = str(BadRows(rows, {row: f"reason {row}" for row in range(7)})).splitlines()
    assert lines == [f"a.csv, line {row + 2}: reason {row}." for row in range(5)] + [
        "… and 2 more reasons.",
        "Mend these rows or take them out.",
    ]


def test_many_bad_rows_of_one_reason_are_cut_and_the_cut_is_said():
    rows = Rows(pa.table({"a": list(range(9))}), "a.csv", list(range(2, 11)))
    assert str(BadRows(rows, dict.fromkeys(range(8), "no"))) == (
        "a.csv, line 2: no. 8 of 9 rows are like this (lines 2, 3, 4, 5, 6 and 3 more).\n"
        "Mend these rows or take them out."
    )


def test_an_unreadable_file_is_named_with_its_problem():
    assert str(UnreadableFile("a/b.csv", "there is no such file.")) == "a/b.csv: there is no such file."
