"""Raw cells: what is a number, a time, a category, and what is refused."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from taskgraft_fraud import cells


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
    assert cells.kind_of(cells.column_of(values)) == kind


def test_a_pandas_categorical_is_a_column_of_its_values():
    pandas = pytest.importorskip("pandas")
    column = pa.Table.from_pandas(pandas.DataFrame({"shop": pandas.Categorical(["a", "b", None])}))["shop"]
    assert cells.kind_of(cells.column_of(column.to_pylist())) == "category"
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
        1: "'amount' is 'two', not a number",
        3: "'amount' is 'inf', not a number",
        4: "'amount' is '1e999', not a number",
    }
    assert np.isfinite(found.values).all()
    assert read("numbers", [1.0, float("-inf")]).refused == {1: "'amount' is -inf, not a number"}


def test_a_column_that_holds_something_else_altogether_is_refused_row_by_row():
    assert read("numbers", [[1], None]).refused == {0: "'amount' is [1], not a number"}
    assert read("times", [True, None]).refused == {0: "'amount' is True, not a time"}


NOON = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        NOON.replace(tzinfo=None),
        NOON.timestamp(),
        "2024-02-29 12:00",
        "2024-02-29T12:00:00",
        "2024-02-29T12:00:00Z",
        "2024-02-29T14:00:00+02:00",
    ],
)
def test_a_time_is_the_same_however_it_is_written(value):
    found = read("times", [value, None])
    assert found.values.tolist() == [NOON.timestamp() * 1e6, 0]
    assert found.missing.tolist() == [False, True]


def test_times_with_and_without_a_zone_may_stand_in_one_column():
    found = read("times", ["2024-02-29T14:00:00+02:00", "2024-02-29T12:00:00", "2024-02-29"])
    assert [cells.when(int(value)) for value in found.values] == [
        "2024-02-29T12:00:00+00:00",
        "2024-02-29T12:00:00+00:00",
        "2024-02-29T00:00:00+00:00",
    ]


def test_a_day_that_its_month_does_not_have_is_refused_and_the_others_are_read():
    found = read("times", ["2023-02-29", "2024-02-29 12:00", "soon", "2024-02-29T14:00+02:00"])
    assert found.refused == {0: "'amount' is '2023-02-29', not a time", 2: "'amount' is 'soon', not a time"}
    assert found.values[[1, 3]].tolist() == [NOON.timestamp() * 1e6] * 2


def test_a_moment_survives_being_written():
    for microseconds in (0, 1, 1_709_208_000_123_456, -5_000_001):
        assert cells.moment(cells.when(microseconds)) == microseconds


@pytest.mark.parametrize("values", [[7, 8], [7.0, 8.0], ["7", "8"]])
def test_a_category_is_known_by_one_text_whatever_its_type(values):
    assert cells.texts(cells.column_of(values)).to_pylist() == ["7", "8"]


def test_the_text_of_a_category_does_not_depend_on_its_companions():
    assert cells.texts(cells.column_of([7.0, 2.5, None])).to_pylist() == ["7", "2.5", None]
    assert cells.texts(cells.column_of([7.0])).to_pylist() == ["7"]


def test_times_of_nanoseconds_are_read_to_the_microsecond():
    column = pa.chunked_array([pa.array([1_709_208_000_123_456_789], pa.timestamp("ns"))])
    assert cells.times(column.combine_chunks(), "when").values.tolist() == [1_709_208_000_123_456]
