from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from taskgraft_fraud.history_columns import codes, moments, numbers, texts

EPOCH = date(1970, 1, 1)


def column(values, kind=None):
    """Give a column in two pieces, as files come."""
    whole = pa.array(values, kind)
    return pa.chunked_array([whole[:1], whole[1:]])


def told(found):
    """Give known values, and None for the others."""
    values, known = found
    return [value if is_known else None for value, is_known in zip(values.tolist(), known.tolist(), strict=True)]


def moment(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1, None, -3], [1.0, None, -3.0]),
        ([1.5, float("nan"), float("inf")], [1.5, None, None]),
        ([" 1.50", "-2", "+.5", "3.", "1e3", "1e400"], [1.5, -2.0, 0.5, 3.0, 1000.0, None]),
        (["", None, "x", "1,5", "1 000", "0x10", "nan"], [None] * 7),
        ([Decimal("1.50"), None], [1.5, None]),
    ],
)
def test_numbers_are_read_whatever_holds_them(values, found):
    assert told(numbers(column(values))) == found


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2018-04-01", "2018-04-01 00:00:00"),
        ("2018-04-01 10:30", "2018-04-01 10:30:00"),
        (" 2018-04-01T10:30:05 ", "2018-04-01 10:30:05"),
        ("2018-04-01T10:30:05.25", "2018-04-01 10:30:05.250000"),
        ("2018-04-01T10:30:05.123456789", "2018-04-01 10:30:05.123456"),
        ("2018-04-01T10:30:05Z", "2018-04-01 10:30:05"),
        ("2018-04-01T10:30:05+02:00", "2018-04-01 08:30:05"),
        ("2020-02-29", "2020-02-29"),
    ],
)
def test_texts_of_moments_are_read(text, same):
    assert told(moments(column(["2018-01-01", text]), EPOCH)) == [moment("2018-01-01"), moment(same)]


def test_a_text_that_is_no_moment_leaves_the_others_as_they_are():
    bad = ["", "soon", "2018-02-30", "2019-02-29", "2018-13-01", "2018-04-01 25:00", "01.04.2018", "12", "0000-01-01"]
    days = [f"2018-04-{day:02}" for day in range(1, 31)]
    found = told(moments(column(days + bad + days), EPOCH))
    assert found == [moment(day) for day in days] + [None] * len(bad) + [moment(day) for day in days]


def test_seconds_count_from_the_day_that_is_given():
    of_texts = told(moments(column(["31", "1.5", "x"]), date(2018, 4, 1)))
    of_numbers = told(moments(column([31, 1.5, None]), date(2018, 4, 1)))
    assert of_texts == of_numbers == [moment("2018-04-01 00:00:31"), moment("2018-04-01 00:00:01.500000"), None]


def test_milliseconds_are_not_taken_for_seconds():
    assert told(moments(column([1_522_540_800, 1_522_540_800_000]), EPOCH)) == [moment("2018-04-01"), None]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.date32(), pa.date64()]
)
def test_moments_of_every_unit_are_read(kind):
    stored = pa.array([datetime(2018, 4, 1), None]).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    assert told(moments(column(stored.cast(kind)), EPOCH)) == [moment("2018-04-01"), None]


def test_keys_are_numbered_as_they_come_whatever_type_they_have():
    of_texts = codes(texts(column(["b", "", "a", None, "b"])))
    assert of_texts.tolist() == [0, -1, 1, -1, 0]
    assert texts(column([7, None])).to_pylist() == texts(column([7.0, None])).to_pylist() == ["7", None]
    assert texts(column([True, False])).to_pylist() == ["1", "0"]


def test_columns_without_rows_are_read():
    nothing = pa.chunked_array([], pa.large_string())
    assert told(numbers(nothing)) == told(moments(nothing, EPOCH)) == codes(texts(nothing)).tolist() == []


def test_a_column_of_bad_moments_is_read_in_no_time():
    values, known = moments(column(["2018-01-01"] + ["2018-02-30"] * 2_000 + ["soon"] * 200_000), EPOCH)
    assert (known.sum(), np.count_nonzero(values)) == (1, 1)
