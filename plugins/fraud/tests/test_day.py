from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from taskgraft_fraud.cells import BadCells
from taskgraft_fraud.day import days_of

DAY = 17_737
"""2018-07-25, counted from 1970-01-01."""


@pytest.mark.parametrize(
    "values",
    [
        [datetime(2018, 7, 25), datetime(2018, 7, 25, 23, 59, 59), datetime(2018, 7, 26)],
        [date(2018, 7, 25), date(2018, 7, 25), date(2018, 7, 26)],
        ["2018-07-25", "2018-07-25", "2018-07-26"],
        ["2018-07-25 00:00:00", "2018-07-25T23:59:59.5", " 2018-07-26 00:00:01"],
        ["2018-07-25 00:00:00", "2018-07-25 23:59:59.999999999", "2018-07-26"],
        pa.chunked_array(
            [pa.array([DAY * 86_400 * 10**9 + 1] * 2 + [(DAY + 1) * 86_400 * 10**9 + 1], pa.timestamp("ns"))]
        ),
        ["2018-07-25T00:00:00Z", "2018-07-26T01:30:00+02:00", "2018-07-26T00:00:00Z"],
        pa.chunked_array([pa.array(["2018-07-25", "2018-07-25", "2018-07-26"]).dictionary_encode()]),
        [datetime(2018, 7, 26, 1, tzinfo=timezone(timedelta(hours=2)))] * 2 + [datetime(2018, 7, 26, 3, tzinfo=UTC)],
    ],
    ids=[
        "datetime",
        "date",
        "iso-days",
        "iso-times",
        "iso-nanoseconds",
        "nanoseconds",
        "iso-zones",
        "dictionary",
        "zone",
    ],
)
def test_a_moment_is_on_the_day_that_the_calendar_says(values):
    found = days_of(values, "time", "seconds")
    assert (found.numbers.tolist(), found.dated) == ([DAY, DAY, DAY + 1], True)
    assert found.name(DAY) == "2018-07-25"


@pytest.mark.parametrize(
    "values", [[-1, 0, 86_399, 86_400.5], ["-1", "0", "86399", "86400.5"]], ids=["numbers", "text"]
)
def test_seconds_are_counted_in_days_from_wherever_they_start(values):
    found = days_of(values, "time", "seconds")
    assert (found.numbers.tolist(), found.dated, found.name(1_200)) == ([-1, 0, 0, 1], False, "day 1,200")


def test_days_stay_days():
    assert days_of(["115", "116", "116.5"], "time", "days").numbers.tolist() == [115, 116, 116]


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ([1, None, float("nan")], dict.fromkeys([1, 2], "the column 'time' is empty")),
        (["2018-07-25", "", None], dict.fromkeys([1, 2], "the column 'time' is empty")),
        (
            ["2018-07-25", "25.7.2018"],
            {1: "the column 'time' is '25.7.2018', which is no time like 2018-07-25 13:05:00"},
        ),
        (
            ["1", "soon", "2018-07-25", "2"],
            {
                1: "the column 'time' is 'soon', which is no number, as others are",
                2: "the column 'time' is '2018-07-25', which is no number, as others are",
            },
        ),
        ([[1]], {0: "the column 'time' is [1], which is no time like 2018-07-25 13:05:00"}),
    ],
    ids=["numbers", "text", "german", "mixed", "lists"],
)
def test_a_time_that_cannot_be_read_is_named_with_its_row(values, reasons):
    with pytest.raises(BadCells) as caught:
        days_of(values, "time", "seconds")
    assert caught.value.reasons == reasons


def test_times_that_are_written_in_several_ways_are_on_their_days():
    times = [
        "2018-07-25 00:00:31",
        "2018-07-25",
        date(2018, 7, 25),
        datetime(2018, 7, 25, 23, tzinfo=UTC),
        "2018-07-26T01:00",
    ]
    assert days_of(times, "time", "seconds").numbers.tolist() == [DAY] * 4 + [DAY + 1]
    assert days_of([0, 86_399, 86_400, "172800", -1.0], "time", "seconds").numbers.tolist() == [0, 0, 1, 2, -1]
