import pyarrow as pa
import pytest

from taskgraft.builtin.splits import ColumnConfig, by_column
from taskgraft.contract.rows import InvalidRows, MissingColumn, Rows


def divided(values, **settings):
    rows = Rows(pa.table({"part": values}), "data.csv", list(range(2, 2 + len(values))))
    return by_column(rows, ["label"], ColumnConfig(column="part", **settings), 0)


def test_rows_are_assigned_by_the_column():
    assert divided(["train", "dev", "test", "train"]) == {"train": [0, 3], "validation": [1], "test": [2]}


def test_other_values_can_be_set():
    assert divided(["0", "1"], train=("0",), validation=("1",)) == {"train": [0], "validation": [1], "test": []}


def test_numbers_are_matched_by_their_text():
    assert divided([0, 1], train=("0",), validation=("1",))["validation"] == [1]


def test_a_test_value_can_be_used_for_validation():
    assert divided(["train", "test"], validation=("test",)) == {"train": [0], "validation": [1], "test": []}


def test_an_unknown_value_is_reported_with_its_line():
    with pytest.raises(InvalidRows) as caught:
        divided(["train", "tset", None])
    assert str(caught.value) == (
        "data.csv, line 3: the column 'part' is 'tset', none of dev, test, testing, train, training, val, valid, "
        "validation.\n"
        "data.csv, line 4: the column 'part' is None, none of dev, test, testing, train, training, val, valid, "
        "validation.\n"
        'Fix these rows, or name the values with data.split = {name = "column", …}.'
    )


def test_a_missing_column_is_named():
    with pytest.raises(MissingColumn) as caught:
        by_column(Rows(pa.table({"a": [1]}), "data.csv"), ["label"], ColumnConfig(column="part"), 0)
    assert str(caught.value) == "data.csv has no column 'part'. Columns: a."
