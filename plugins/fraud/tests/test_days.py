from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from taskgraft_fraud.days import parse_days
from taskgraft_fraud.parse_cells import InvalidCells

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
def test_a_time_is_on_its_calendar_day(values):
    days = parse_days(values, "time", "seconds")
    assert (days.numbers.tolist(), days.dated) == ([DAY, DAY, DAY + 1], True)
    assert days.name(DAY) == "2018-07-25"


@pytest.mark.parametrize(
    "values", [[-1, 0, 86_399, 86_400.5], ["-1", "0", "86399", "86400.5"]], ids=["numbers", "text"]
)
def test_seconds_give_days_since_their_origin(values):
    days = parse_days(values, "time", "seconds")
    assert (days.numbers.tolist(), days.dated, days.name(1_200)) == ([-1, 0, 0, 1], False, "day 1,200")


def test_numbers_of_days_are_rounded_down():
    assert parse_days(["115", "116", "116.5"], "time", "days").numbers.tolist() == [115, 116, 116]


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ([1, None, float("nan")], dict.fromkeys([1, 2], "the column 'time' is empty")),
        (["2018-07-25", "", None], dict.fromkeys([1, 2], "the column 'time' is empty")),
        (
            ["2018-07-25", "25.7.2018"],
            {
                1: "the column 'time' is '25.7.2018', which is not a time such as 2018-07-25 13:05:00; in another format, "
                'write data.dates = "day-first"'
            },
        ),
        (
            ["1", "soon", "2018-07-25", "2"],
            {
                1: "the column 'time' is 'soon', which is not a number, as other cells are",
                2: "the column 'time' is '2018-07-25', which is not a number, as other cells are",
            },
        ),
        ([[1]], {0: "the column 'time' is [1], which is not a time such as 2018-07-25 13:05:00"}),
    ],
    ids=["numbers", "text", "german", "mixed", "lists"],
)
def test_a_missing_or_invalid_time_is_named_with_its_row(values, reasons):
    with pytest.raises(InvalidCells) as caught:
        parse_days(values, "time", "seconds")
    assert caught.value.reasons == reasons


def test_a_column_may_mix_notations():
    times = [
        "2018-07-25 00:00:31",
        "2018-07-25",
        date(2018, 7, 25),
        datetime(2018, 7, 25, 23, tzinfo=UTC),
        "2018-07-26T01:00",
    ]
    assert parse_days(times, "time", "seconds").numbers.tolist() == [DAY] * 4 + [DAY + 1]
    assert parse_days([0, 86_399, 86_400, "172800", -1.0], "time", "seconds").numbers.tolist() == [0, 0, 1, 2, -1]
