"""Which columns are inputs: an index that pandas saved and excluded columns are not."""

import pandas as pd
import pyarrow as pa
import pytest

from taskgraft.contract.descriptions import BackboneDescription, InputField, vector
from taskgraft.contract.rows import Rows
from taskgraft.data.column_matching import index_note, match_columns, saved_index
from taskgraft.discovery.catalog import catalog
from taskgraft.reading.errors import DataError
from taskgraft.reading.read import read_rows

ONE = BackboneDescription((InputField("text"),), (vector(4),), ())
ANY = BackboneDescription((), (vector(4),), ())
TABLE = pd.DataFrame({"amount": [1.5, 2.5, 9.0], "day": ["mo", "tu", "we"], "label": ["a", "b", "a"]}, index=[4, 0, 2])


def rows_of(**columns):
    return Rows(pa.table(columns), "train.csv")


def saved(how, folder):
    """Save a table with its index, and read it as a user would."""
    if how == "csv":
        TABLE.to_csv(folder / "train.csv")
    elif how == "csv twice":
        TABLE.to_csv(folder / "once.csv")
        pd.read_csv(folder / "once.csv").to_csv(folder / "train.csv", index=False)
    elif how == "csv three times":
        TABLE.to_csv(folder / "once.csv")
        pd.read_csv(folder / "once.csv").to_csv(folder / "twice.csv")
        pd.read_csv(folder / "twice.csv").to_csv(folder / "train.csv", index=False)
    elif how == "reset":
        TABLE.reset_index().to_csv(folder / "train.csv", index=False)
    elif how == "parquet":
        TABLE.to_parquet(folder / "train.parquet")
        return read_rows(folder / "train.parquet", catalog(), "the data")
    elif how == "frame":
        return read_rows(TABLE.reset_index(), catalog(), "the data")
    elif how == "frame without a name":
        return read_rows(TABLE.reset_index().rename(columns={"index": None}), catalog(), "the data")
    return read_rows(folder / "train.csv", catalog(), "the data")


@pytest.mark.parametrize(
    ("how", "index"),
    [
        ("csv", [""]),
        ("csv twice", ["Unnamed: 0"]),
        ("csv three times", ["Unnamed: 0.1", "Unnamed: 0"]),
        ("reset", ["index"]),
        ("parquet", ["__index_level_0__"]),
        ("frame", ["index"]),
        ("frame without a name", [""]),
    ],
)
def test_an_index_that_pandas_saved_is_not_an_input(how, index, tmp_path):
    rows = saved(how, tmp_path)
    assert sorted(saved_index(rows)) == sorted(index)
    assert match_columns(None, ANY, rows, ("label",)) == {"amount": "amount", "day": "day"}


def test_an_index_is_used_if_the_user_lists_it(tmp_path):
    rows = saved("csv twice", tmp_path)
    named = match_columns(["Unnamed: 0", "amount"], ANY, rows, ("label",))
    assert named == {"Unnamed: 0": "Unnamed: 0", "amount": "amount"}


@pytest.mark.parametrize(
    "values",
    [[0, 1, 1], [1.5, 2.5, 3.5], [-1, 0, 1], ["a", "b", "c"], ["1", "2", ""], [None, 1, 2]],
    ids=["repeated", "fractions", "negative", "texts", "empty text", "missing"],
)
def test_a_column_called_index_that_does_not_count_rows_is_an_input(values):
    assert match_columns(None, ANY, rows_of(index=values, other=[1, 2, 3]), ()) == {"index": "index", "other": "other"}


@pytest.mark.parametrize("name", ["Unnamed: 3", "id", "row", "Index", "index_1", "Unnamed: 0 price"])
def test_other_names_are_inputs(name):
    assert list(match_columns(None, ANY, rows_of(**{name: [0, 1, 2]}), ())) == [name]


def test_an_index_is_read_by_a_backbone_that_names_its_inputs():
    rows = rows_of(index=["0", "1"], text=["a", "b"])
    assert match_columns("index", ONE, rows, ()) == {"text": "index"}


def test_what_was_left_out_is_said_with_the_setting_to_write():
    rows = rows_of(**{"Unnamed: 0": [0, 1], "amount": [1, 2], "label": ["a", "b"]})
    assert index_note(rows, ["amount"], ["label"]) == (
        "Not used as input, since pandas saves the index of a table like this: 'Unnamed: 0'. "
        "To use it all the same, list all inputs in data.inputs."
    )


def test_several_index_columns_are_said_together():
    rows = rows_of(**{"": [0, 1], "Unnamed: 0": [0, 1], "amount": [1, 2]})
    assert index_note(rows, ["amount"], []) == (
        "Not used as input, since pandas saves the index of a table like this: the column without a name, 'Unnamed: 0'. "
        "To use them all the same, list all inputs in data.inputs."
    )


def test_nothing_is_said_if_the_user_chose_the_inputs():
    rows = rows_of(**{"": [0, 1], "day": ["a", "b"], "amount": [1, 2]})
    assert index_note(rows, ["amount"], []) == ""
    assert index_note(rows, ["", "amount"], []) == ""


# --- excluded columns

ROWS = rows_of(id=[7, 8], amount=[1, 2], label=["a", "b"])


def test_an_excluded_column_is_not_an_input():
    assert match_columns(None, ANY, ROWS, ("label",), ("id",)) == {"amount": "amount"}
    assert match_columns(["amount"], ANY, ROWS, ("label",), ("id",)) == {"amount": "amount"}


def test_an_excluded_column_is_not_matched_by_name():
    with pytest.raises(DataError, match="no column was named for 'text'"):
        match_columns(None, ONE, rows_of(text=["a"], other=["b"]), (), ("text",))


@pytest.mark.parametrize(
    ("inputs", "exclude", "said"),
    [
        (
            None,
            ["idd"],
            "data.exclude names 'idd', which train.csv does not have. Did you mean 'id'? Columns: id, amount, label.",
        ),
        (None, ["when"], "data.exclude names 'when', which train.csv does not have. Columns: id, amount, label."),
        (None, ["id", "label"], "data.exclude names 'label', which is the target. Take it out of data.exclude."),
        (["id", "amount"], ["id"], "'id' is in data.inputs and in data.exclude. Take it out of one of them."),
        ({"id": "id"}, ["id"], "'id' is in data.inputs and in data.exclude. Take it out of one of them."),
    ],
)
def test_excluded_columns_that_cannot_be_are_refused(inputs, exclude, said):
    with pytest.raises(DataError) as caught:
        match_columns(inputs, ANY, ROWS, ("label",), exclude)
    assert str(caught.value) == said
