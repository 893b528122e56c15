from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from taskgraft.contract.rows import InvalidRows, MissingColumn, Rows, UnreadableFile

ADVICE = 'Fix these rows, or drop them with data.on_bad_row = "skip".'
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


def test_selected_rows_have_their_order_and_lines():
    taken = IN_FILE.take([2, 0])
    assert taken.values("text") == ["c", "a"]
    assert list(taken.lines) == [1_006, 2]


def test_no_rows_can_be_taken():
    assert len(IN_FILE.take([])) == 0


def test_a_row_of_a_file_is_located_by_its_line():
    assert IN_FILE.location(2) == "line 1,006"
    assert IN_MEMORY.location(2) == "row 2"


def test_a_file_that_a_value_names_is_relative_to_the_folder_of_the_data():
    rows = replace(IN_FILE, folder=Path("/data"))

    assert [rows.resolve_path(value) for value in ("a/1.png", "/b/2.png", "", None, 7)] == [
        "/data/a/1.png",
        "/b/2.png",
        "",
        None,
        7,
    ]
    assert IN_FILE.resolve_path("a/1.png") == "a/1.png"


def test_a_missing_column_is_named_with_the_nearest_one():
    with pytest.raises(MissingColumn) as caught:
        IN_FILE.values("lable")
    assert str(caught.value) == "intents.csv has no column 'lable'. Did you mean 'label'? Columns: text, label."


def test_a_missing_column_like_no_other_is_named_with_all_columns():
    with pytest.raises(MissingColumn) as caught:
        IN_MEMORY.values("zzz")
    assert str(caught.value) == "the DataFrame has no column 'zzz'. Columns: text, label."


def test_an_invalid_row_is_located_by_its_line():
    error = InvalidRows(IN_FILE, {1: "the text is empty"})
    assert str(error) == "intents.csv, line 5: the text is empty.\n" + ADVICE


def test_invalid_rows_of_one_reason_are_reported_together():
    error = InvalidRows(IN_FILE, {2: "the text is empty", 0: "the text is empty"})
    assert str(error) == (
        "intents.csv, line 2: the text is empty. 2 of 3 rows are like this (lines 2, 1,006).\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_invalid_rows_without_a_file_are_located_by_their_number():
    error = InvalidRows(IN_MEMORY, {0: "the text is empty", 1: "the text is empty"})
    assert str(error) == (
        "the DataFrame, row 0: the text is empty. 2 of 3 rows are like this (rows 0, 1).\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_many_reasons_are_shortened_to_a_count():
    rows = Rows(pa.table({"a": list(range(9))}), "a.csv", list(range(2, 11)))
    lines = str(InvalidRows(rows, {row: f"reason {row}" for row in range(7)})).splitlines()
    assert lines == [f"a.csv, line {row + 2}: reason {row}." for row in range(5)] + [
        "Further reasons: 2.",
        'Fix these rows, or drop them with data.on_bad_row = "skip".',
    ]


def test_many_invalid_rows_of_one_reason_are_shortened_to_a_count():
    rows = Rows(pa.table({"a": list(range(9))}), "a.csv", list(range(2, 11)))
    assert str(InvalidRows(rows, dict.fromkeys(range(8), "no"))) == (
        "a.csv, line 2: no. 8 of 9 rows are like this (lines 2, 3, 4, 5, 6 and 3 more).\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_an_unreadable_file_is_named_with_its_problem():
    assert str(UnreadableFile("a/b.csv", "there is no such file.")) == "a/b.csv: there is no such file."


def test_rows_left_out_are_counted_by_their_reasons():
    rest = IN_FILE.drop({0: "it is empty", 2: "it is empty"}).drop({0: "it is odd"})
    assert len(rest) == 0
    assert rest.skipped == {"skipped, since it is empty": 2, "skipped, since it is odd": 1}


def test_remaining_rows_have_their_lines():
    rest = IN_FILE.drop({1: "it is empty"})
    assert rest.values("text") == ["a", "c"]
    assert list(rest.lines) == [2, 1_006]


def test_a_note_follows_its_rows():
    noted = replace(IN_FILE, remarks={"the customer is new": [0, 2], "the shop is new": [1]})
    assert noted.notes == {"the customer is new": 2, "the shop is new": 1}
    assert noted.take([2, 0]).remarks == {"the customer is new": [0, 1], "the shop is new": []}
    assert noted.drop({2: "it is empty"}).notes == {
        "skipped, since it is empty": 1,
        "the customer is new": 1,
        "the shop is new": 1,
    }


def test_many_reasons_for_leaving_rows_out_are_counted_together():
    rows = Rows(pa.table({"a": list(range(9))}), "a.csv")
    skipped = rows.drop({row: f"reason {row}" for row in range(9)}).skipped
    assert skipped == {f"skipped, since reason {row}": 1 for row in range(5)} | {"skipped for other reasons": 4}


def test_equal_rows_have_one_digest_however_they_came():
    apart = pa.concat_tables([IN_MEMORY.table.slice(0, 1), IN_MEMORY.table.slice(1)])
    assert Rows(apart, "b.csv", [7, 8, 9]).digest() == IN_MEMORY.digest()


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"text": ["a", "b", "C"], "label": [1, 2, None]}),
        pa.table({"text": ["a", "b"], "label": [1, 2]}),
        pa.table({"text": ["a", "b", "c"], "other": [1, 2, None]}),
        pa.table({"text": ["b", "a", "c"], "label": [1, 2, None]}),
    ],
    ids=["a value", "a row fewer", "a name", "the order"],
)
def test_a_change_changes_the_digest(other):
    assert Rows(other, "a.csv").digest() != IN_MEMORY.digest()
