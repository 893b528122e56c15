from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pytest

from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import InvalidRows, Rows, UnreadableFile
from taskgraft.contract.specs import ReaderSpec
from taskgraft.discovery.catalog import Catalog, catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.loader import CatalogEntry
from taskgraft.reading.read import DataError, read_file, read_rows

WANTED = {"text": ["one", "two"], "label": ["a", "b"]}
ROWS = Rows(pa.table({"text": ["a"], "second": ["b"], "label": ["x"]}), "train.csv")


def rows_of(data: object, **how: object) -> Rows:
    return read_rows(data, catalog(), "the training data", **how)


@pytest.mark.parametrize(
    "data",
    [
        WANTED,
        [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}],
        ({"text": "one", "label": "a"}, {"text": "two", "label": "b"}),
        pa.table(WANTED),
        datasets.Dataset.from_dict(WANTED),
        pd.DataFrame(WANTED),
        pd.DataFrame(WANTED, index=[7, 3]),
    ],
    ids=[
        "columns",
        "list of dicts",
        "tuple of dicts",
        "Arrow table",
        "Dataset",
        "DataFrame",
        "DataFrame with an index",
    ],
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
    assert list(rows.lines) == [2, 3]


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
        (["a text"], "the training data cannot be made into columns (row 0 is 'a text', not a dict)"),
        (
            {"text": "late"},
            "the training data cannot be made into columns (column 'text' is 'late', not a list of values)",
        ),
        (
            {"a": [1], "b": [1, 2]},
            "the training data cannot be made into columns (Column 1 named b expected length 1 but got length 2)",
        ),
        (
            {"a": [1, [2]]},
            "the training data cannot be made into columns (column 'a': cannot mix list and non-list, non-null values)",
        ),
        (
            datasets.DatasetDict(),
            "the training data cannot be made into columns (they are a DatasetDict; choose one of its parts nothing)",
        ),
        ({"a": 5}, "the training data cannot be made into columns (column 'a': 'int' object is not iterable)"),
    ],
)
def test_unsupported_data_are_rejected(data, said):
    with pytest.raises(DataError) as caught:
        rows_of(data)
    assert str(caught.value) == (
        f"{said}. Give a path, a Dataset, a DataFrame, an Arrow table, a list of dicts or a dict of columns."
    )


def test_a_missing_file_is_reported_before_its_kind():
    with pytest.raises(UnreadableFile) as caught:
        rows_of("none.docx")
    assert str(caught.value) == "none.docx: there is no such file."


def test_a_file_that_no_reader_takes_is_rejected(tmp_path):
    (tmp_path / "train.docx").write_text("")
    with pytest.raises(UnreadableFile) as caught:
        rows_of(tmp_path / "train.docx")
    path, _, problem = str(caught.value).partition(": ")
    assert path == str(tmp_path / "train.docx")
    assert problem.startswith("no reader takes files of this kind. Readers take ")
    assert ".csv" in problem


def reader_of(name, distribution="acme-readers", **claims):
    """A reader that answers with its own name."""

    def read(path, settings):
        return Rows(pa.table({"reader": [name], "path": [path.as_posix()]}), name)

    spec = ReaderSpec(name=name, summary="a planted reader", config=EmptyConfig, read=read, **claims)
    return CatalogEntry(spec, PluginSource(distribution, "2.0", "main", "acme"))


def read_by(data, *entries, **how):
    return read_rows(data, Catalog(entries), "the data", **how).values("reader")[0]


def test_the_longest_suffix_wins(tmp_path):
    (tmp_path / "a.tar.gz").write_text("")
    assert (
        read_by(tmp_path / "a.tar.gz", reader_of("short", suffixes=(".gz",)), reader_of("long", suffixes=(".tar.gz",)))
        == "long"
    )


def test_a_reader_of_every_file_is_taken_where_it_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "b.dat").write_text("")
    entries = (reader_of("any", suffixes=("",)), reader_of("csv", suffixes=(".csv",)))
    assert read_by(tmp_path / "a.csv", *entries) == "csv"
    assert read_by(tmp_path / "a.csv", *entries, reader="any") == "any"
    assert read_by(tmp_path / "b.dat", *entries, reader="any") == "any"
    with pytest.raises(UnreadableFile) as caught:
        read_by(tmp_path / "b.dat", *entries)
    assert str(caught.value) == (f"{tmp_path / 'b.dat'}: no reader takes files of this kind. Readers take .csv.")


def test_a_file_read_for_another_reader_keeps_its_invalid_rows(tmp_path):
    (tmp_path / "a.csv").write_text("a;b\n1;2\n3\n")
    rows = read_file(tmp_path / "a.csv", {"name": "csv", "delimiter": ";"})
    assert rows.values("a") == ["1", None]
    assert rows.invalid == {1: "the row has 1 value, but the header names 2 columns"}
    assert rows.folder == tmp_path


def test_a_folder_is_read_by_the_reader_that_finds_its_pattern(tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.jpg").write_text("")
    entries = (reader_of("images", folder_patterns=("*/*.jpg",)), reader_of("other", folder_patterns=("state.json",)))
    assert read_by(tmp_path, *entries) == "images"


def test_a_folder_that_no_reader_takes_is_rejected(tmp_path):
    with pytest.raises(UnreadableFile) as caught:
        read_by(tmp_path, reader_of("images", folder_patterns=("*/*.jpg", "*/*.png")))
    assert str(caught.value) == f"{tmp_path}: no reader takes this folder. Readers look for *.jpg, *.png in it."


def test_the_text_after_a_scheme_goes_to_its_reader():
    rows = read_rows("store:a/b:c", Catalog((reader_of("store", scheme="store"),)), "the data")
    assert rows.values("path") == ["a/b:c"]


def test_the_reader_that_is_named_reads_files_that_no_other_takes(tmp_path):
    (tmp_path / "data.txt").write_text("text,label\none,a\ntwo,b\n")
    assert rows_of(tmp_path / "data.txt", reader="csv").values("label") == ["a", "b"]


def test_the_reader_that_is_named_wins_over_others_of_its_suffix(tmp_path):
    (tmp_path / "a.dat").write_text("")
    entries = (reader_of("one", suffixes=(".dat",)), reader_of("two", suffixes=(".dat",)))
    assert read_by(tmp_path / "a.dat", *entries, reader="two") == "two"


def test_a_file_of_another_kind_is_read_by_its_suffix_whatever_was_named(tmp_path):
    pd.DataFrame(WANTED).to_parquet(tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet", reader={"name": "csv", "delimiter": ";"}).values("text") == ["one", "two"]


def test_settings_of_the_reader_that_is_named_are_used(tmp_path):
    (tmp_path / "a.csv").write_text("text;label\none;a\n")
    assert rows_of(tmp_path / "a.csv", reader={"name": "csv", "delimiter": ";"}).values("label") == ["a"]


def test_two_readers_of_one_suffix_are_both_named(tmp_path):
    (tmp_path / "a.dat").write_text("")
    with pytest.raises(UnreadableFile) as caught:
        read_by(tmp_path / "a.dat", reader_of("one", suffixes=(".dat",)), reader_of("two", "b", suffixes=(".dat",)))
    assert str(caught.value) == (
        f"{tmp_path / 'a.dat'}: 'acme-readers/one' and 'b/two' both read it. Choose one with data.reader."
    )


def test_a_file_of_invalid_rows_alone_is_an_error_even_where_rows_may_be_skipped(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1\n2\n")
    with pytest.raises(InvalidRows):
        rows_of(tmp_path / "a.csv", on_bad_row="skip")


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame([["a", "b"]], columns=["text", "text"]),
        pa.table([["a"], ["b"]], names=["text", "text"]),
    ],
    ids=["DataFrame", "Arrow table"],
)
def test_two_columns_of_one_name_are_rejected(data):
    with pytest.raises(DataError) as caught:
        rows_of(data)
    assert "text" in str(caught.value)
    assert str(caught.value).endswith(
        "Give a path, a Dataset, a DataFrame, an Arrow table, a list of dicts or a dict of columns."
    )


def test_a_value_that_arrow_cannot_hold_is_rejected():
    with pytest.raises(DataError) as caught:
        rows_of({"text": [[1], "a"]})
    assert str(caught.value) == (
        "the training data cannot be made into columns (column 'text': cannot mix list and non-list, non-null values). "
        "Give a path, a Dataset, a DataFrame, an Arrow table, a list of dicts or a dict of columns."
    )


def test_a_path_that_is_too_long_is_rejected():
    with pytest.raises(UnreadableFile) as caught:
        rows_of("x" * 5_000 + ".csv")
    assert str(caught.value).endswith("it cannot be opened (File name too long).")


def test_a_gap_among_texts_is_missing_in_a_list_of_dicts_as_in_a_dataframe():
    rows = rows_of(pd.DataFrame({"text": ["a", None, "b"]}).astype(object).to_dict("records"))
    gap = rows_of([{"text": "a"}, {"text": float("nan")}])
    assert (rows.values("text"), gap.values("text")) == (["a", None, "b"], ["a", None])
