"""Integers of Hugging Face's ClassLabel become the names of the classes, from every source."""

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from taskgraft.discovery.catalog import catalog
from taskgraft.reading.errors import DataError
from taskgraft.reading.read import read_rows

FEATURES = Features(
    {
        "text": Value("string"),
        "label": ClassLabel(names=["ham", "spam"]),
        "tags": Sequence(ClassLabel(names=["O", "B"])),
        "pair": Sequence(ClassLabel(names=["u", "v"]), length=2),
        "inside": {"x": ClassLabel(names=["p", "q"])},
        "listed": [{"y": ClassLabel(names=["r", "s"])}],
        "number": Value("int64"),
    }
)
NUMBERS = {
    "text": ["a", "b", "c"],
    "label": [1, -1, None],
    "tags": [[0, 1], [1, -1], None],
    "pair": [[0, 1], [1, 1], [0, 0]],
    "inside": [{"x": 0}, {"x": 1}, None],
    "listed": [[{"y": 0}], [], [{"y": 1}, {"y": 1}]],
    "number": [0, 1, -1],
}
NAMES = {
    **NUMBERS,
    "label": ["spam", None, None],
    "tags": [["O", "B"], ["B", None], None],
    "pair": [["u", "v"], ["v", "v"], ["u", "u"]],
    "inside": [{"x": "p"}, {"x": "q"}, None],
    "listed": [[{"y": "r"}], [], [{"y": "s"}, {"y": "s"}]],
}


def dataset() -> Dataset:
    return Dataset.from_dict(NUMBERS, features=FEATURES)


def from_memory(folder):
    return dataset()


def from_arrow(folder):
    return dataset().with_format("arrow")[:]


def from_parquet(folder):
    dataset().to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def from_folder(folder):
    dataset().save_to_disk(folder / "saved")
    return folder / "saved"


def from_hub(folder):
    dataset().to_parquet(folder / "train.parquet")
    return f"hub:{folder}"


def read(data):
    rows = read_rows(data, catalog(), "the data")
    return {column: rows.values(column) for column in rows.columns}


@pytest.mark.parametrize("source", [from_memory, from_arrow, from_parquet, from_folder, from_hub])
def test_class_labels_are_names_from_every_source(source, tmp_path):
    assert read(source(tmp_path)) == NAMES


def test_rows_that_were_selected_keep_their_names():
    assert read(dataset().select([2, 0])) == {name: [values[2], values[0]] for name, values in NAMES.items()}


def test_a_slice_of_a_table_keeps_its_names():
    assert read(from_arrow(None).slice(1)) == {name: values[1:] for name, values in NAMES.items()}


def test_texts_in_a_column_that_was_a_class_label_stay_as_they_are():
    table = from_arrow(None)
    table = table.set_column(1, "label", pa.array(["x", "y", "z"]))
    assert read(table)["label"] == ["x", "y", "z"]


def test_a_number_without_a_name_is_rejected():
    table = from_arrow(None)
    table = table.set_column(1, "label", pa.array([0, 5, 1]))
    with pytest.raises(DataError) as caught:
        read(table)
    assert str(caught.value) == (
        "the data: the column 'label' is a ClassLabel of 2 names, but holds 5. Use numbers from 0, or -1 for none."
    )


def test_metadata_of_something_else_are_ignored():
    table = pa.table({"label": [0, 1]}).replace_schema_metadata({"huggingface": "not json"})
    assert read(table) == {"label": [0, 1]}
