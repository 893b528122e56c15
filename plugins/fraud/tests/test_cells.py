"""Raw cells: what is a number, a time, a category, and what is refused."""

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from taskgraft_fraud import cells
from taskgraft_fraud.columns import kind_of


def read(kind, values, name="amount"):
    return getattr(cells, kind)(cells.column_of(values), name)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "number"),
        ([1.5, None], "number"),
        (["1", " 2.5", "-3e4", "", ".5", "7."], "number"),
        (["1", "007"], "category"),
        (["1", "-01"], "category"),
        (["0", "0.5"], "number"),
        (["1", "nan"], "category"),
        ([*map(str, range(10, 30)), "12,5"], "number"),
        (["2024-01-05"] * 20 + ["soon"], "time"),
        (["1", "1,5"], "category"),
        (["a", "b"], "category"),
        ([True, False], "category"),
        (["2024-01-05", "2024-01-05 10:30", "2024-01-05T10:30:00.25Z", "2024-01-05T10:30+02:00"], "time"),
        (["2024-13-05"], "category"),
        ([datetime.date(2024, 1, 5)], "time"),
        ([datetime.datetime(2024, 1, 5, 1)], "time"),
        ([[1], [2]], None),
        ([b"a"], None),
    ],
)
def test_the_kind_of_a_column_is_inferred_from_its_values(values, kind):
    assert kind_of(cells.column_of(values)) == kind


def test_a_pandas_categorical_is_a_column_of_its_values():
    pandas = pytest.importorskip("pandas")
    column = pa.Table.from_pandas(pandas.DataFrame({"shop": pandas.Categorical(["a", "b", None])}))["shop"]
    assert kind_of(cells.column_of(column.to_pylist())) == "category"
    assert cells.column_of(column.combine_chunks().to_pylist()).to_pylist() == ["a", "b", None]


@pytest.mark.parametrize("values", [[1.5, None, -2.0], ["1.5", "", " -2 "], [1.5, float("nan"), -2.0]])
def test_numbers_are_the_same_from_numbers_and_from_texts(values):
    found = read("numbers", values)
    assert found.values.tolist() == [1.5, 0.0, -2.0]
    assert found.missing.tolist() == [False, True, False]
    assert found.refused == {}


def test_what_is_no_number_is_refused_with_its_row():
    found = read("numbers", ["1", "two", None, "inf", "1e999"])
    assert found.refused == {
        1: "the column 'amount' is 'two', which is no number",
        3: "the column 'amount' is 'inf', which is no number",
        4: "the column 'amount' is '1e999', which is no number",
    }
    assert np.isfinite(found.values).all()
    assert read("numbers", [1.0, float("-inf")]).refused == {1: "the column 'amount' is -inf, which is no number"}


def test_a_column_that_holds_something_else_altogether_is_refused_row_by_row():
    assert read("numbers", [[1], None]).refused == {0: "the column 'amount' is [1], which is no number"}


@pytest.mark.parametrize("values", [[7, 8], [7.0, 8.0], ["7", "8"]])
def test_a_category_is_known_by_one_text_whatever_its_type(values):
    assert read("texts", values).values.to_pylist() == ["7", "8"]


def test_the_text_of_a_category_does_not_depend_on_its_companions():
    assert read("texts", [7.0, 2.5, None]).values.to_pylist() == ["7", "2.5", None]
    assert read("texts", [7.0]).values.to_pylist() == ["7"]


def test_kinds_that_do_not_mix_are_texts():
    mixed = [1, 2.0, True, " x ", None, float("nan"), "", datetime.date(2024, 1, 5)]
    assert cells.column_of(mixed).to_pylist() == ["1", "2", "true", "x", None, None, None, "2024-01-05"]
    assert read("numbers", ["12.5", 3, 2**70]).values.tolist() == [12.5, 3.0, 2.0**70]


def test_white_space_around_a_text_does_not_count():
    assert cells.column_of(["a", " a ", "  "]).to_pylist() == ["a", "a", None]


@pytest.mark.parametrize("kind", ["dictionary", "large_string", "string_view"])
def test_texts_are_the_same_however_arrow_holds_them(kind):
    texts = pa.array(["a", "", None, "a"])
    held = texts.dictionary_encode() if kind == "dictionary" else texts.cast(getattr(pa, kind)())
    assert cells.column_of(pa.chunked_array([held[:1], held[1:]])).to_pylist() == ["a", None, None, "a"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([True, False], [1.0, 0.0]),
        ([" 1.50", "-2", "+.5", "3.", "1e3"], [1.5, -2.0, 0.5, 3.0, 1000.0]),
        ([Decimal("1.50"), None], [1.5, 0.0]),
    ],
)
def test_numbers_are_read_whatever_holds_them(values, found):
    read_so = read("numbers", values)
    assert (read_so.values.tolist(), read_so.refused) == (found, {})


@pytest.mark.parametrize("text", ["x", "1,5", "1 000", "0x10", "nan", "."])
def test_what_only_looks_like_a_number_is_none(text):
    assert read("numbers", ["1", text]).refused == {1: f"the column 'amount' is {text!r}, which is no number"}


def test_a_list_is_no_text():
    found = read("texts", [["a"], None], "shop")
    assert found.values.to_pylist() == [None, None]
    assert found.refused == {0: "the column 'shop' is ['a'], which is no single text or number"}


def test_where_every_cell_has_to_be_there_an_empty_one_is_a_problem():
    found = read("numbers", ["1", None, "x"])
    assert found.usable.tolist() == [True, False, False]
    assert found.problems == {1: "the column 'amount' is empty", 2: "the column 'amount' is 'x', which is no number"}


def test_texts_are_numbered_as_they_come():
    numbers, names = cells.codes(read("texts", ["b", "", "a", None, "b"]).values)
    assert (numbers.tolist(), names) == ([0, -1, 1, -1, 0], ["b", "a"])


def test_columns_without_rows_are_read():
    nothing = cells.column_of(pa.chunked_array([], pa.string()))
    assert len(cells.numbers(nothing, "x").values) == len(cells.codes(cells.texts(nothing, "x").values)[0]) == 0


def test_the_message_of_bad_cells_counts_them():
    assert str(cells.BadCells({1: "the column 'time' is empty"})) == (
        "Row 2: the column 'time' is empty. Mend or leave out such rows, or name another column."
    )
    assert str(cells.BadCells(dict.fromkeys([4, 2, 3], "the column 'time' is empty"))) == (
        "Row 3: the column 'time' is empty. 3 rows have no value that can be used. Mend or leave out such rows, or name "
        "another column."
    )
