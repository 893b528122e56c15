import pyarrow as pa
import pytest

from taskgraft.composition.resolve import ResolvedComponent
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.contract.specs import SplitSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.reading.errors import DataError
from taskgraft.reading.splitting import InvalidSplit, read_train_and_validation, split_rows
from taskgraft.recipe import DataConfig

TABLE = {"text": [f"row {row}" for row in range(20)], "label": ["a", "b"] * 10}
ROWS = Rows(pa.table(TABLE), "train.csv", list(range(2, 22)))


def read(train, validation=None, **data):
    return read_train_and_validation(train, validation, DataConfig(target=("label",), **data), 0, catalog())


def split_into(parts):
    spec = SplitSpec(name="planted", summary="a planted split", config=EmptyConfig, split=lambda *_: parts)
    return split_rows(
        ROWS, ["label"], ResolvedComponent(spec, PluginSource("acme-splits", "2.0", "main", "acme"), EmptyConfig()), 0
    )


def test_rows_alone_hold_nothing_out():
    rows, held = read(TABLE)
    assert (len(rows), held) == (20, None)


def test_validation_rows_can_be_given():
    rows, held = read(TABLE, {"text": ["x"], "label": ["a"]})
    assert (len(rows), len(held), held.source) == (20, 1, "the validation data")


def test_a_fraction_can_be_held_out():
    rows, held = read(TABLE, split="fraction:0.2")
    assert (len(rows), len(held)) == (16, 4)
    assert set(rows.values("text")).isdisjoint(held.values("text"))
    assert held.source == "the training data (validation)"


def test_rows_can_be_split_by_a_column():
    rows, held = read(TABLE | {"part": ["train"] * 18 + ["dev", "test"]}, split="column:part")
    assert (len(rows), held.values("text")) == (18, ["row 18"])


def test_held_out_rows_keep_their_lines():
    _, held = split_into({"train": list(range(19)), "validation": [19]})
    assert list(held.lines) == [21]


def test_rows_that_cannot_be_read_are_skipped_where_that_is_asked(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,x\nb\nc,y\n")
    with pytest.raises(InvalidRows) as caught:
        read(tmp_path / "train.csv")
    assert str(caught.value) == (
        "train.csv, line 3: the row has 1 value, but the header names 2 columns.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )
    rows, _ = read(tmp_path / "train.csv", on_bad_row="skip")
    assert rows.values("text") == ["a", "c"]
    assert rows.skipped == {"skipped, since the row has 1 value, but the header names 2 columns": 1}


def test_rows_that_a_split_reports_as_invalid_are_skipped_where_that_is_asked():
    table = TABLE | {"part": ["train", "valid", "?", "train", "valid"] * 4}
    with pytest.raises(InvalidRows):
        read(table, split="column:part")
    rows, held = read(table, split="column:part", on_bad_row="skip")
    assert (len(rows), len(held)) == (8, 8)
    (note,) = rows.notes.items()
    assert note[0].startswith("skipped, since the column 'part' is '?', none of ")
    assert note[1] == 4


def test_rows_are_not_skipped_when_a_split_reports_all_as_invalid():
    with pytest.raises(InvalidRows):
        read(TABLE | {"part": ["?"] * 20}, split="column:part", on_bad_row="skip")


def test_a_validation_file_that_is_the_training_file_is_rejected():
    with pytest.raises(DataError) as caught:
        read("train.csv", "./train.csv")
    assert str(caught.value) == (
        "The validation data are the training data (train.csv), so they would say nothing about new rows. "
        'Name other rows, or hold some out with data.split = "fraction:0.1".'
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"train": [0, 1], "validation": [1]}, "puts line 3 into 'train' and into 'validation'"),
        ({"train": [0, 0], "validation": [1]}, "puts line 2 into 'train' twice"),
        ({"train": [0], "validation": [20]}, "puts row 20 into 'validation', but there are 20 rows"),
        ({"train": [-1], "validation": [1]}, "puts row -1 into 'train', but there are 20 rows"),
        ({"train": [0], "validation": []}, "leaves no row for 'validation' (train 1, validation 0)"),
        ({"train": [0], "test": [1]}, "leaves no row for 'validation' (train 1, test 1)"),
        ({"validation": [0]}, "leaves no row for 'train' (validation 1)"),
        ({}, "leaves no row for 'train' (nothing)"),
    ],
)
def test_an_invalid_split_is_rejected_with_its_source(parts, said):
    with pytest.raises(InvalidSplit) as caught:
        split_into(parts)
    assert str(caught.value) == (
        f"The split 'planted' (from acme-splits 2.0) {said}. Choose another split, or change its settings."
    )


def test_rows_of_neither_training_nor_validation_are_left_out():
    rows, held = split_into({"train": [3, 1], "validation": [2], "test": [0]})
    assert (rows.values("text"), held.values("text")) == (["row 1", "row 3"], ["row 2"])
