"""Times: however they are written, and what is none."""

import datetime
import time
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from taskgraft_fraud.cells import column_of
from taskgraft_fraud.times import moment, times, when

NOON = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)


def read(values, **settings):
    return times(column_of(values), "when", **settings)


def micros(text):
    return moment(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).isoformat())


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
def test_a_time_is_the_same_however_it_is_written(value):
    found = read([value, None])
    assert found.values.tolist() == [NOON.timestamp() * 1e6, 0]
    assert found.missing.tolist() == [False, True]
    assert found.refused == {}


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
def test_texts_are_read_to_the_microsecond(text, same):
    assert read(["2018-01-01", text]).values.tolist() == [micros("2018-01-01"), micros(same)]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.date32(), pa.date64()]
)
def test_times_of_every_kind_of_arrow_are_read(kind):
    stored = pa.array([datetime.datetime(2018, 4, 1), None]).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    found = read(pa.chunked_array([stored.cast(kind)]))
    assert (found.values.tolist(), found.missing.tolist()) == ([micros("2018-04-01"), 0], [False, True])


def test_times_of_nanoseconds_are_read_to_the_microsecond():
    column = pa.chunked_array([pa.array([1_709_208_000_123_456_789], pa.timestamp("ns"))])
    assert read(column).values.tolist() == [1_709_208_000_123_456]


def test_times_with_and_without_a_zone_may_stand_in_one_column():
    found = read(["2024-02-29T14:00:00+02:00", "2024-02-29T12:00:00", "2024-02-29", NOON, date(2024, 2, 29)])
    noon, midnight = "2024-02-29T12:00:00+00:00", "2024-02-29T00:00:00+00:00"
    assert [when(int(value)) for value in found.values] == [noon, noon, midnight, noon, midnight]


def test_days_are_those_that_their_month_has():
    known = {str(date(1896, 1, 1) + timedelta(days=day)) for day in range(365 * 410)}
    written = [f"{year}-{month:02}-{day:02}" for year in range(1896, 2305) for month in range(14) for day in range(33)]
    found = read(written)
    assert {text for row, text in enumerate(written) if row not in found.refused} == known & set(written)
    assert all(value == micros(text) for value, text in zip(found.values[::999], written[::999], strict=True) if value)


def test_what_is_no_time_is_refused_and_the_others_are_read():
    bad = ["soon", "2018-02-30", "2018-13-01", "2018-04-01 25:00", "01.04.2018", "12", "2018-04-01Z"]
    days = [f"2018-04-{day:02}" for day in range(1, 31)]
    found = read(days + bad + days)
    assert found.values.tolist() == [*map(micros, days), *[0] * len(bad), *map(micros, days)]
    assert found.refused == {
        30 + row: f"the column 'when' is {text!r}, which is no time like 2018-07-25 13:05:00"
        for row, text in enumerate(bad)
    }
    assert read([True, None]).refused == {0: "the column 'when' is True, which is no time like 2018-07-25 13:05:00"}


def test_without_a_unit_a_text_is_no_number_whatever_stands_beside_it():
    for values in (["12"], ["12", "2018-07-25"], ["12", "13"]):
        assert read(values).refused[0] == "the column 'when' is '12', which is no time like 2018-07-25 13:05:00"


def test_among_numbers_a_date_is_refused():
    assert read(["1", "2", "2018-07-25"], unit="seconds").refused == {
        2: "the column 'when' is '2018-07-25', which is no number, as others are"
    }


def test_numbers_count_from_the_day_that_is_given_in_the_unit_that_is_given():
    since = date(2018, 4, 1)
    for values in (["31", "1.5", None], [31, 1.5, None]):
        assert read(values, unit="seconds", since=since).values.tolist() == [
            micros("2018-04-01 00:00:31"),
            micros("2018-04-01 00:00:01.500000"),
            0,
        ]
        assert read(values, since=since, unit="days").values.tolist() == [
            micros("2018-05-02"),
            micros("2018-04-02 12:00:00"),
            0,
        ]


def test_milliseconds_are_not_taken_for_seconds():
    assert read([1_522_540_800, 1_522_540_800_000, 1e300]).refused == {
        1: "the column 'when' is 1522540800000.0, which as a number of seconds is no time within the years 1 to 9999",
        2: "the column 'when' is 1e+300, which as a number of seconds is no time within the years 1 to 9999",
    }


def test_a_number_of_days_may_be_as_large_as_numbers_are():
    assert read([1e308, 1], unit="days").refused == {
        0: "the column 'when' is 1e+308, which as a number of days is no time within the years 1 to 9999"
    }


def test_years_that_python_does_not_have_are_refused():
    column = pa.chunked_array([pa.array([micros("9999-12-31") + 86_400_000_000, 0], pa.timestamp("us"))])
    why = "which is no time within the years 1 to 9999"
    assert read(column).refused == {0: f"the column 'when' is '10000-01-01 00:00:00.000000', {why}"}
    assert read(["0000-01-01"]).refused == {0: f"the column 'when' is '0000-01-01', {why}"}


def test_a_moment_survives_being_written():
    for microseconds in (0, 1, 1_709_208_000_123_456, -5_000_001):
        assert moment(when(microseconds)) == microseconds


def test_a_column_of_bad_times_is_read_in_no_time():
    began = time.process_time()
    found = read(["2018-01-01"] * 200_000 + ["2018-02-30"] * 2_000 + ["soon"] * 100_000)
    assert (int(found.usable.sum()), np.count_nonzero(found.values)) == (200_000, 200_000)
    assert time.process_time() - began < 10
