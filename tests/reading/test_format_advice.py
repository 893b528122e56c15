"""Which settings make numbers or dates of a column of texts."""

import pyarrow as pa
import pytest

from taskgraft.contract.rows import Rows
from taskgraft.reading.format_advice import advise_dates, advise_numbers, format_hint, unclear_points
from taskgraft.recipe import DataConfig


def cells(*values):
    return pa.array(values, pa.large_string())


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (["1", "2.5"], ()),
        (["1,5", "2"], ('data.decimal = ","',)),
        (["1.234,5", "2,5"], ('data.decimal = ","', 'data.thousands = "."')),
        (["1,234.5", "2.5"], ('data.thousands = ","',)),
        (["1 234,5", "2"], ('data.decimal = ","', 'data.thousands = " "')),
        (["1'234", "2.5"], ('data.thousands = "\'"',)),
        (["12 €", "1.5 €", "3"], ('data.units = ["€"]',)),
        (["$1,234.50", "-$5.10"], ('data.thousands = ","', 'data.units = ["$"]')),
        (["1.234.567", "2.345.678"], ('data.decimal = ","', 'data.thousands = "."')),
        (["1.234", "5.678"], ()),
    ],
)
def test_the_fewest_settings_that_read_most_values_are_found(values, settings):
    (reading,) = advise_numbers(cells(*values, None, "NA")).readings
    assert reading.settings == settings


def test_values_that_can_mean_two_numbers_have_two_readings():
    advice = advise_numbers(cells("1,234", "5,678"))
    assert [reading.example for reading in advice.readings] == [("1,234", "1234"), ("1,234", "1.234")]
    assert advise_numbers(cells("1,234", "5,67")).settings == ['For this format write data.decimal = ","']


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (["2026-11-30", "2026/11/30"], [()]),
        (["30.11.2026", "01.02.2026"], [('data.dates = "day-first"',)]),
        (["11/30/2026", "01/02/2026 1:30 PM"], [('data.dates = "month-first"',)]),
        (["03/04/2026", "05/06/2026"], [('data.dates = "day-first"',), ('data.dates = "month-first"',)]),
    ],
)
def test_the_order_of_day_and_month_is_found_where_a_date_shows_it(values, settings):
    assert [reading.settings for reading in advise_dates(cells(*values)).readings] == settings


def test_marks_of_empty_cells_are_named_with_their_counts():
    advice = advise_numbers(cells(*["1"] * 6, "NA", "NA", "?", None))
    assert (advice.share, advice.count, advice.misfits) == (6 / 9, 9, {"NA": 2, "?": 1})
    assert advice.settings == ["If 'NA', '?' stand for an empty cell, write data.missing = [\"NA\", \"?\"]"]


def test_of_many_other_values_only_known_marks_are_taken_for_empty_cells():
    advice = advise_numbers(cells(*map(str, range(20)), *"abcdefg", "NA"))
    assert advice.settings == ["If 'NA' stands for an empty cell, write data.missing = [\"NA\"]"]
    assert advice.problem.endswith(", and 'a' in 1, 'b' in 1, 'c' in 1, 'd' in 1, 'e' in 1, 3 other values in 3")


def test_a_value_with_digits_is_no_mark_of_an_empty_cell():
    assert advise_dates(cells("30.11.2026", "31.12.2026", "11.30.2026")).settings == [
        'For this format write data.dates = "day-first"'
    ]


@pytest.mark.parametrize("cell", ["1.5", "x", "", "2026-01-01", "a1b2", "1,2,3"])
def test_a_cell_that_no_setting_reads_has_no_hint(cell):
    assert format_hint(cell) == ""


def test_numbers_that_all_have_three_decimals_are_reported_once():
    table = {"a": ["1.234", "12.500", ""], "b": ["1.234", "1.2", None], "c": ["1.234"] * 3, "d": [1.234, 1.235, None]}
    rows = Rows(pa.table(table), "x.csv")
    assert unclear_points(rows, list(table), DataConfig()) == (
        "All numbers in 'a' have three digits after the point: '1.234' is read as 1.234. If the point is between thousands, "
        'write data.decimal = "," and data.thousands = ".".',
    )
    assert unclear_points(rows, list(table), DataConfig(decimal=",", thousands=".")) == ()
