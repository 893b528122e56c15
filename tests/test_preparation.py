from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from backbones import PAIRS, TABLE, WordsProcessor
from taskgraft.catalog import catalog
from taskgraft.description import BackboneDescription, InputRole, vector
from taskgraft.preparation import BadInputs, UnreadableData, check_elements, columns_for, prepare, read
from taskgraft.rows import BadRows, ColumnMissing, Rows, UnreadableFile

WANTED = {"text": ["one", "two"], "label": ["a", "b"]}


def rows_of(data: object) -> Rows:
    return read(data, catalog(), "the training data")


def described(*roles: InputRole) -> BackboneDescription:
    return BackboneDescription(roles, (vector(4),), ())


ONE = described(InputRole("text"))
TWO = described(InputRole("text"), InputRole("second", required=False))
ANY = described()
ROWS = Rows(pa.table({"text": ["a"], "second": ["b"], "label": ["x"]}), "train.csv")


# --- sources


@pytest.mark.parametrize(
    "data",
    [
        WANTED,
        [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}],
        ({"text": "one", "label": "a"}, {"text": "two", "label": "b"}),
        pa.table(WANTED),
        pd.DataFrame(WANTED),
        pd.DataFrame(WANTED, index=[7, 3]),
    ],
    ids=["columns", "list of dicts", "tuple of dicts", "Arrow table", "DataFrame", "DataFrame with an index"],
)
def test_every_kind_of_data_gives_the_same_rows(data):
    rows = rows_of(data)
    assert {name: rows.values(name) for name in rows.columns} == WANTED
    assert rows.source == "the training data"
    assert rows.lines is None


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_read_by_the_reader_of_its_suffix(tmp_path, kind):
    (tmp_path / "train.csv").write_text("text,label\none,a\ntwo,b\n")
    rows = rows_of(kind(tmp_path / "train.csv"))
    assert {name: rows.values(name) for name in rows.columns} == WANTED
    assert rows.source == "train.csv"
    assert rows.lines == [2, 3]


def test_rows_are_taken_as_they_are():
    assert rows_of(ROWS) is ROWS


def test_a_missing_value_of_a_dataframe_is_missing():
    assert rows_of(pd.DataFrame({"price": [1.5, None], "text": ["a", None]})).values("price") == [1.5, None]


def test_a_key_that_only_a_later_dict_has_is_a_column():
    rows = rows_of([{"a": 1}, {"a": 2, "b": 3}])
    assert rows.values("b") == [None, 3]


def test_lists_in_cells_stay_lists():
    assert rows_of({"tags": [["a"], []]}).values("tags") == [["a"], []]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (5, "the training data are of the type int"),
        (None, "the training data are of the type NoneType"),
        (["a text"], "the training data cannot be made into columns ('str' object has no attribute 'keys')"),
        (
            {"a": [1], "b": [1, 2]},
            "the training data cannot be made into columns (Column 1 named b expected length 1 but got length 2)",
        ),
        (
            {"a": [1, "x"]},
            "the training data cannot be made into columns "
            "(column 'a': Could not convert 'x' with type str: tried to convert to int64)",
        ),
        ({"a": 5}, "the training data cannot be made into columns (column 'a': 'int' object is not iterable)"),
    ],
)
def test_what_is_no_data_is_refused(data, said):
    with pytest.raises(UnreadableData) as caught:
        rows_of(data)
    assert str(caught.value) == (
        f"{said}. Give a path, a DataFrame, an Arrow table, a list of dicts or a dict of columns."
    )


def test_a_file_that_is_missing_is_told_before_its_kind():
    with pytest.raises(UnreadableFile) as caught:
        rows_of("none.docx")
    assert str(caught.value) == "none.docx: there is no such file."


def test_a_file_that_no_reader_takes_is_refused(tmp_path):
    (tmp_path / "train.docx").write_text("")
    with pytest.raises(UnreadableFile) as caught:
        rows_of(tmp_path / "train.docx")
    path, _, problem = str(caught.value).partition(": ")
    assert path == str(tmp_path / "train.docx")
    assert problem.startswith("no reader takes files of this kind. Readers take ")
    assert ".csv" in problem


# --- columns


@pytest.mark.parametrize(
    ("inputs", "description", "wanted"),
    [
        (None, ONE, {"text": "text"}),
        ("second", ONE, {"text": "second"}),
        (["second"], ONE, {"text": "second"}),
        ({"text": "second"}, ONE, {"text": "second"}),
        (None, TWO, {"text": "text", "second": "second"}),
        ("text", TWO, {"text": "text"}),
        (["second", "text"], TWO, {"text": "second", "second": "text"}),
        (None, ANY, {"text": "text", "second": "second"}),
        (["second"], ANY, {"second": "second"}),
        ("second", ANY, {"second": "second"}),
    ],
)
def test_columns_feed_the_inputs(inputs, description, wanted):
    assert columns_for(inputs, description, ROWS, ("label",)) == wanted


def test_the_target_is_never_an_input_unasked():
    assert columns_for(None, ANY, ROWS, ("second", "label")) == {"text": "text"}


@pytest.mark.parametrize(
    ("inputs", "description", "said"),
    [
        (
            None,
            described(InputRole("image")),
            "The backbone reads image, but no column was named for 'image', and train.csv has text, second, label. "
            "Say which columns to read with inputs=….",
        ),
        (
            ["text", "second"],
            ONE,
            "The backbone reads text, but 2 columns were named: text, second. Say which columns to read with inputs=….",
        ),
        (
            {"txt": "text"},
            ONE,
            "The backbone reads text, but there is no input 'txt'. Say which columns to read with inputs=….",
        ),
        (
            {"second": "text"},
            TWO,
            "The backbone reads text, second, but no column was named for 'text', and train.csv has text, second, label. "
            "Say which columns to read with inputs=….",
        ),
    ],
)
def test_inputs_that_cannot_be_filled_are_refused(inputs, description, said):
    with pytest.raises(BadInputs) as caught:
        columns_for(inputs, description, ROWS, ("label",))
    assert str(caught.value) == said


@pytest.mark.parametrize("description", [ONE, ANY])
def test_a_column_that_is_missing_is_refused(description):
    with pytest.raises(ColumnMissing) as caught:
        columns_for(["txt"], description, ROWS, ("label",))
    assert str(caught.value) == "train.csv has no column 'txt'. Did you mean 'text'? Columns: text, second, label."


# --- inputs


def test_inputs_are_prepared_in_pieces_and_kept_by_row(tmp_path):
    rows = Rows(pa.table({"words": [" ".join(["w"] * (1 + row % 5)) for row in range(2_500)]}), "the data")
    made = prepare(rows, {"text": "words"}, WordsProcessor(), tmp_path, 1 << 20)
    assert len(made.store) == 2_500
    assert made.elements == [1 + row % 5 for row in range(2_500)]
    assert made.store.gather([2_499, 0]).lengths["element"].tolist() == [5, 1]


def test_a_backbone_of_any_columns_reads_them_by_name(tmp_path):
    rows = rows_of([dict(zip(TABLE.inputs, row, strict=True)) for row in zip([1, 2], [3, 4], [5, 6], strict=True)])
    names = columns_for(None, TABLE.spec.describe(TABLE.config), rows, ())
    made = prepare(rows, names, TABLE.build().processor, tmp_path, 1 << 20)
    assert len(made.store) == 2
    assert made.elements is None


def test_refused_rows_are_told_with_their_lines_over_all_pieces(tmp_path):
    texts = ["some"] * 1_500
    texts[3] = texts[1_400] = ""
    rows = Rows(pa.table({"text": texts}), "train.csv", list(range(2, 1_502)))
    with pytest.raises(BadRows) as caught:
        prepare(rows, {"text": "text"}, WordsProcessor(), tmp_path, 1 << 20)
    assert str(caught.value) == (
        "train.csv, line 5: the text is empty. 2 of 1,500 rows are like this (lines 5, 1,402).\n"
        "Mend these rows or take them out."
    )


@pytest.mark.parametrize("labels", [["O B", "O"], [["O", "B"], ["O"]]])
def test_as_many_labels_as_elements_pass(labels):
    check_elements(ROWS, [2, 1], {"tags": labels})


def test_rows_with_too_few_or_many_labels_are_refused():
    rows = Rows(pa.table({"text": ["a b", "c", "d"]}), "train.csv", [2, 3, 4])
    with pytest.raises(BadRows) as caught:
        check_elements(rows, [2, 1, 1], {"tags": ["O", "O O", "O"]})
    assert str(caught.value) == (
        "train.csv, line 2: 'tags' has 1 labels for 2 elements.\n"
        "train.csv, line 3: 'tags' has 2 labels for 1 elements.\n"
        "Mend these rows or take them out."
    )


def test_labels_are_not_counted_where_the_input_does_not_decide_the_elements():
    check_elements(ROWS, None, {"tags": ["O B"]})


def test_letters_are_elements_too(tmp_path):
    rows = rows_of({"letters": list(PAIRS.inputs["letters"])})
    made = prepare(rows, {"letters": "letters"}, PAIRS.build().processor, tmp_path, 1 << 20)
    assert made.elements == [len(word) for word in PAIRS.inputs["letters"]]


# --- what cannot be data or columns


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame([["a", "b"]], columns=["text", "text"]),
        pa.table([["a"], ["b"]], names=["text", "text"]),
    ],
    ids=["DataFrame", "Arrow table"],
)
def test_two_columns_of_one_name_are_refused(data):
    with pytest.raises(UnreadableData) as caught:
        rows_of(data)
    assert "text" in str(caught.value)
    assert str(caught.value).endswith("Give a path, a DataFrame, an Arrow table, a list of dicts or a dict of columns.")


@pytest.mark.parametrize("value", [1 << 80, "\ud800"], ids=["a number too large", "half a character"])
def test_a_value_that_arrow_cannot_hold_is_refused(value):
    with pytest.raises(UnreadableData) as caught:
        rows_of({"text": [value]})
    assert str(caught.value).startswith("the training data cannot be made into columns (")


def test_a_path_too_long_to_look_at_is_refused():
    with pytest.raises(UnreadableFile) as caught:
        rows_of("x" * 5_000 + ".csv")
    assert str(caught.value).endswith("it cannot be looked at (File name too long).")


def test_a_column_is_not_read_and_predicted_at_once():
    with pytest.raises(BadInputs) as caught:
        columns_for("label", ONE, ROWS, ["label"])
    assert str(caught.value) == (
        "The backbone reads text, but the column 'label' is to be predicted, so it cannot be read as well. "
        "Say which columns to read with inputs=…."
    )


def test_inputs_that_name_nothing_are_refused():
    with pytest.raises(BadInputs) as caught:
        columns_for(5, ONE, ROWS, ["label"])
    assert str(caught.value) == (
        "The backbone reads text, but inputs is 5, which names no columns. Say which columns to read with inputs=…."
    )


def test_a_column_named_by_no_text_is_refused():
    with pytest.raises(ColumnMissing) as caught:
        columns_for([None], ONE, ROWS, ["label"])
    assert str(caught.value) == "train.csv has no column 'None'. Columns: text, second, label."


def test_a_gap_among_texts_is_missing_in_a_list_of_dicts_as_in_a_dataframe():
    rows = rows_of(pd.DataFrame({"text": ["a", None, "b"]}).astype(object).to_dict("records"))
    gap = rows_of([{"text": "a"}, {"text": float("nan")}])
    assert (rows.values("text"), gap.values("text")) == (["a", None, "b"], ["a", None])
