"""Times: every notation, and which texts are not times."""

import datetime
import time
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from taskgraft_fraud.parse_cells import to_arrow_array
from taskgraft_fraud.parse_times import format_time, parse_formatted_time, parse_times

NOON = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)


def parse(values, **settings):
    return parse_times(to_arrow_array(values), "when", **settings)


def micros(text):
    return parse_formatted_time(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).isoformat())


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        NOON.replace(tzinfo=None),
        NOON.timestamp(),
        "2024-02-29 12:00",
        "2024-02-29T12:00:00",
        " 2024-02-29T12:00:00Z ",
        "2024-02-29T14:00:00+02:00",
        "2024-02-29 14:00+02",
        "2024-02-29T10:30:00.000000999-0130",
    ],
)
def test_a_time_is_the_same_in_every_notation(value):
    parsed = parse([value, None])
    assert parsed.values.tolist() == [NOON.timestamp() * 1e6, 0]
    assert parsed.missing.tolist() == [False, True]
    assert parsed.invalid == {}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2018-04-01", "2018-04-01 00:00:00"),
        ("2018-04-01T10:30:05.25", "2018-04-01 10:30:05.250000"),
        ("2018-04-01T10:30:05.123456789", "2018-04-01 10:30:05.123456"),
        ("2018-04-01T23:30:05-02:00", "2018-04-02 01:30:05"),
        ("9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"),
        ("0001-01-01", "0001-01-01 00:00:00"),
    ],
)
def test_texts_are_parsed_to_the_microsecond(text, same):
    assert parse(["2018-01-01", text]).values.tolist() == [micros("2018-01-01"), micros(same)]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.date32(), pa.date64()]
)
def test_times_of_every_arrow_type_are_parsed(kind):
    stored = pa.array([datetime.datetime(2018, 4, 1), None]).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    parsed = parse(pa.chunked_array([stored.cast(kind)]))
    assert (parsed.values.tolist(), parsed.missing.tolist()) == ([micros("2018-04-01"), 0], [False, True])


def test_nanoseconds_are_truncated_to_microseconds():
    column = pa.chunked_array([pa.array([1_709_208_000_123_456_789], pa.timestamp("ns"))])
    assert parse(column).values.tolist() == [1_709_208_000_123_456]


def test_a_column_may_mix_times_with_and_without_a_zone():
    parsed = parse(["2024-02-29T14:00:00+02:00", "2024-02-29T12:00:00", "2024-02-29", NOON, date(2024, 2, 29)])
    noon, midnight = "2024-02-29T12:00:00+00:00", "2024-02-29T00:00:00+00:00"
    assert [format_time(int(value)) for value in parsed.values] == [noon, noon, midnight, noon, midnight]


@pytest.mark.slow
def test_only_days_that_exist_are_parsed():
    known = {str(date(1896, 1, 1) + timedelta(days=day)) for day in range(365 * 410)}
    written = [f"{year}-{month:02}-{day:02}" for year in range(1896, 2305) for month in range(14) for day in range(33)]
    parsed = parse(written)
    assert {text for row, text in enumerate(written) if row not in parsed.invalid} == known & set(written)
    assert all(value == micros(text) for value, text in zip(parsed.values[::999], written[::999], strict=True) if value)


def test_a_text_that_is_not_a_time_is_invalid_and_the_others_are_parsed():
    bad = ["soon", "2018-02-30", "2018-13-01", "2018-04-01 25:00", "12", "2018-04-01Z"]
    days = [f"2018-04-{day:02}" for day in range(1, 31)]
    parsed = parse(days + bad + days)
    assert parsed.values.tolist() == [*map(micros, days), *[0] * len(bad), *map(micros, days)]
    assert parsed.invalid == {
        30 + row: f"the column 'when' is {text!r}, which is not a time such as 2018-07-25 13:05:00"
        for row, text in enumerate(bad)
    }
    assert parse([True, None]).invalid == {
        0: "the column 'when' is True, which is not a time such as 2018-07-25 13:05:00"
    }


def test_without_a_unit_a_text_is_never_a_number():
    for values in (["12"], ["12", "2018-07-25"], ["12", "13"]):
        assert parse(values).invalid[0] == "the column 'when' is '12', which is not a time such as 2018-07-25 13:05:00"


def test_a_date_among_numbers_is_invalid():
    assert parse(["1", "2", "2018-07-25"], unit="seconds").invalid == {
        2: "the column 'when' is '2018-07-25', which is not a number, as other cells are"
    }


def test_numbers_count_from_the_given_day_in_the_given_unit():
    since = date(2018, 4, 1)
    for values in (["31", "1.5", None], [31, 1.5, None]):
        assert parse(values, unit="seconds", since=since).values.tolist() == [
            micros("2018-04-01 00:00:31"),
            micros("2018-04-01 00:00:01.500000"),
            0,
        ]
        assert parse(values, since=since, unit="days").values.tolist() == [
            micros("2018-05-02"),
            micros("2018-04-02 12:00:00"),
            0,
        ]


def test_milliseconds_are_not_mistaken_for_seconds():
    assert parse([1_522_540_800, 1_522_540_800_000, 1e300]).invalid == {
        1: "the column 'when' is 1522540800000.0, which as a number of seconds is outside the years 1 to 9999",
        2: "the column 'when' is 1e+300, which as a number of seconds is outside the years 1 to 9999",
    }


def test_a_number_of_days_that_overflows_is_invalid():
    assert parse([1e308, 1], unit="days").invalid == {
        0: "the column 'when' is 1e+308, which as a number of days is outside the years 1 to 9999"
    }


def test_years_that_python_does_not_support_are_invalid():
    column = pa.chunked_array([pa.array([micros("9999-12-31") + 86_400_000_000, 0], pa.timestamp("us"))])
    why = "which is outside the years 1 to 9999"
    assert parse(column).invalid == {0: f"the column 'when' is '10000-01-01 00:00:00.000000', {why}"}
    assert parse(["0000-01-01"]).invalid == {0: f"the column 'when' is '0000-01-01', {why}"}


def test_parsing_inverts_formatting():
    for microseconds in (0, 1, 1_709_208_000_123_456, -5_000_001):
        assert parse_formatted_time(format_time(microseconds)) == microseconds


def test_a_long_column_of_invalid_times_is_parsed_quickly():
    began = time.process_time()
    parsed = parse(["2018-01-01"] * 200_000 + ["2018-02-30"] * 2_000 + ["soon"] * 100_000)
    assert (int(parsed.usable.sum()), np.count_nonzero(parsed.values)) == (200_000, 200_000)
    assert time.process_time() - began < 10
