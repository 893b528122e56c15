"""Raw cells: which are numbers, times, categories, and which are invalid."""

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from taskgraft_fraud import parse_cells
from taskgraft_fraud.column_kinds import infer_kind


def numbers(values):
    return parse_cells.parse_numbers(parse_cells.to_arrow_array(values), "amount")


def texts(values, name="amount"):
    return parse_cells.parse_texts(parse_cells.to_arrow_array(values), name)


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
        (["a", "b"], "category"),
        ([True, False], "category"),
        (["2024-01-05", "2024-01-05 10:30", "2024-01-05T10:30:00.25Z", "2024-01-05T10:30+02:00"], "time"),
        (["2024-13-05"], "category"),
        ([datetime.date(2024, 1, 5)], "time"),
        ([datetime.datetime(2024, 1, 5, 1)], "time"),
        (["2024/01/05", "2024.1.5", "2024-1-5 9:30", "2024-01"], "time"),
        (["1", "2", "a", "b"], "category"),
    ],
)
def test_the_kind_of_a_column_is_inferred_from_its_values(values, kind):
    assert infer_kind(parse_cells.to_arrow_array(values), "x") == kind


def test_a_pandas_categorical_is_a_column_of_its_values():
    pandas = pytest.importorskip("pandas")
    column = pa.Table.from_pandas(pandas.DataFrame({"shop": pandas.Categorical(["a", "b", None])}))["shop"]
    assert infer_kind(parse_cells.to_arrow_array(column.to_pylist()), "shop") == "category"
    assert parse_cells.to_arrow_array(column.combine_chunks().to_pylist()).to_pylist() == ["a", "b", None]


@pytest.mark.parametrize("values", [[1.5, None, -2.0], ["1.5", "", " -2 "], [1.5, float("nan"), -2.0]])
def test_numbers_are_the_same_from_numbers_and_from_texts(values):
    parsed = numbers(values)
    assert parsed.values.tolist() == [1.5, 0.0, -2.0]
    assert parsed.missing.tolist() == [False, True, False]
    assert parsed.invalid == {}


def test_a_cell_that_is_not_a_number_is_invalid():
    parsed = numbers(["1", "two", None, "inf", "1e999"])
    assert parsed.invalid == {
        1: "the column 'amount' is 'two', which is not a number",
        3: "the column 'amount' is 'inf', which is not a number",
        4: "the column 'amount' is '1e999', which is not a number",
    }
    assert np.isfinite(parsed.values).all()
    assert numbers([1.0, float("-inf")]).invalid == {1: "the column 'amount' is -inf, which is not a number"}


def test_every_cell_of_an_unsupported_type_is_invalid():
    assert numbers([[1], None]).invalid == {0: "the column 'amount' is [1], which is not a number"}


@pytest.mark.parametrize("values", [[7, 8], [7.0, 8.0], ["7", "8"]])
def test_a_category_has_one_text_whatever_its_type(values):
    assert texts(values).values.to_pylist() == ["7", "8"]


def test_the_text_of_a_category_does_not_depend_on_other_rows():
    assert texts([7.0, 2.5, None]).values.to_pylist() == ["7", "2.5", None]
    assert texts([7.0]).values.to_pylist() == ["7"]


def test_mixed_types_become_texts():
    mixed = [1, 2.0, True, " x ", None, float("nan"), "", datetime.date(2024, 1, 5)]
    assert parse_cells.to_arrow_array(mixed).to_pylist() == ["1", "2", "true", "x", None, None, None, "2024-01-05"]
    assert numbers(["12.5", 3, 2**70]).values.tolist() == [12.5, 3.0, 2.0**70]


def test_texts_are_trimmed():
    assert parse_cells.to_arrow_array(["a", " a ", "  "]).to_pylist() == ["a", "a", None]


@pytest.mark.parametrize("kind", ["dictionary", "large_string", "string_view"])
def test_texts_are_the_same_for_every_arrow_type(kind):
    texts = pa.array(["a", "", None, "a"])
    stored = texts.dictionary_encode() if kind == "dictionary" else texts.cast(getattr(pa, kind)())
    assert parse_cells.to_arrow_array(pa.chunked_array([stored[:1], stored[1:]])).to_pylist() == ["a", None, None, "a"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], [1.0, 0.0]),
        ([" 1.50", "-2", "+.5", "3.", "1e3"], [1.5, -2.0, 0.5, 3.0, 1000.0]),
        ([Decimal("1.50"), None], [1.5, 0.0]),
    ],
)
def test_numbers_of_every_type_are_parsed(values, expected):
    parsed = numbers(values)
    assert (parsed.values.tolist(), parsed.invalid) == (expected, {})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("x", ""),
        ("0x10", ""),
        ("1,5", '; in another format, write data.decimal = ","'),
        ("1,500", '; in another format, write data.thousands = "," or data.decimal = ","'),
        ("1.500,5", '; in another format, write data.decimal = "," and data.thousands = "."'),
        ("1 000", '; in another format, write data.thousands = " "'),
        ("12 %", '; in another format, write data.units = ["%"]'),
        ("nan", '; if it stands for an empty cell, write data.missing = ["nan"]'),
        (".", '; if it stands for an empty cell, write data.missing = ["."]'),
    ],
)
def test_a_text_that_resembles_a_number_is_invalid_and_the_reason_names_the_setting(text, hint):
    assert numbers(["1", text]).invalid == {1: f"the column 'amount' is {text!r}, which is not a number{hint}"}


def test_a_list_is_not_a_text():
    parsed = texts([["a"], None], "shop")
    assert parsed.values.to_pylist() == [None, None]
    assert parsed.invalid == {0: "the column 'shop' is ['a'], which is not a text or a number"}


def test_the_problems_of_a_required_column_include_missing_cells():
    parsed = numbers(["1", None, "x"])
    assert parsed.usable.tolist() == [True, False, False]
    assert parsed.problems == {
        1: "the column 'amount' is empty",
        2: "the column 'amount' is 'x', which is not a number",
    }


def test_texts_are_factorized_in_order_of_first_occurrence():
    codes, names = parse_cells.factorize(texts(["b", "", "a", None, "b"]).values)
    assert (codes.tolist(), names) == ([0, -1, 1, -1, 0], ["b", "a"])


def test_a_column_without_rows_is_parsed():
    nothing = parse_cells.to_arrow_array(pa.chunked_array([], pa.string()))
    assert (
        len(parse_cells.parse_numbers(nothing, "x").values)
        == len(parse_cells.factorize(parse_cells.parse_texts(nothing, "x").values)[0])
        == 0
    )


def test_the_message_about_invalid_cells_counts_them():
    assert str(parse_cells.InvalidCells({1: "the column 'time' is empty"})) == (
        "Row 2: the column 'time' is empty. Fix or remove these rows, or name another column."
    )
    assert str(parse_cells.InvalidCells(dict.fromkeys([4, 2, 3], "the column 'time' is empty"))) == (
        "Row 3: the column 'time' is empty. 3 rows have no usable value. Fix or remove these rows, or name "
        "another column."
    )
